// SPDX-License-Identifier: GPL-2.0-only
#include <fcntl.h>
#include <libgen.h>
#include <unistd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <linux/limits.h>
#include <linux/pci_regs.h>

#include <libvfio.h>

#define readlink_safe(_path, _buf) ({					\
	int __ret;							\
									\
	_Static_assert(!__builtin_types_compatible_p(			\
		__typeof__(_buf), char *),				\
	    "readlink_safe: _buf must be an array, not a pointer");	\
									\
	__ret = readlink(_path, _buf, sizeof(_buf) - 1);		\
	if (__ret != -1)						\
		_buf[__ret] = 0;					\
	__ret;								\
})

static void readlink_base(const char *path, const char *data_fmt, void *out_data)
{
	char rl_path[PATH_MAX];
	int ret;

	ret = readlink_safe(path, rl_path);
	VFIO_ASSERT_NE(ret, -1);

	ret = sscanf(basename(rl_path), data_fmt, out_data);
	VFIO_ASSERT_EQ(ret, 1);
}

static int sysfs_val_get_int(const char *component, const char *name,
			     const char *file)
{
	char path[PATH_MAX];
	char buf[32];
	int ret;
	int fd;

	snprintf_assert(path, PATH_MAX, "/sys/bus/pci/%s/%s/%s", component, name, file);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return fd;

	VFIO_ASSERT_GT(read(fd, buf, ARRAY_SIZE(buf)), 0);
	VFIO_ASSERT_EQ(close(fd), 0);

	errno = 0;
	ret = strtol(buf, NULL, 0);
	VFIO_ASSERT_EQ(errno, 0, "sysfs path \"%s\" is not an integer: \"%s\"\n", path, buf);

	return ret;
}

void sysfs_read(const char *path, char *buf, size_t size)
{
	ssize_t ret;
	int fd;

	fd = open(path, O_RDONLY);
	VFIO_ASSERT_GE(fd, 0, "open(%s) failed\n", path);

	ret = read(fd, buf, size - 1);
	VFIO_ASSERT_GE(ret, 0, "Failed to read %s\n", path);
	VFIO_ASSERT_EQ(close(fd), 0);

	buf[ret] = 0;
	buf[strcspn(buf, "\n")] = 0;
}

void sysfs_write(const char *path, const char *val)
{
	int fd;

	fd = open(path, O_WRONLY);
	VFIO_ASSERT_GE(fd, 0, "open(%s) failed\n", path);

	VFIO_ASSERT_EQ(write(fd, val, strlen(val)), strlen(val),
		       "Failed to write \"%s\" to %s\n", val, path);
	VFIO_ASSERT_EQ(close(fd), 0);
}

static void sysfs_val_set(const char *component, const char *name,
			  const char *file, const char *val)
{
	char path[PATH_MAX];

	snprintf_assert(path, PATH_MAX, "/sys/bus/pci/%s/%s/%s", component, name, file);
	sysfs_write(path, val);
}

static int sysfs_device_val_get(const char *bdf, const char *file)
{
	return sysfs_val_get_int("devices", bdf, file);
}

static void sysfs_device_val_set(const char *bdf, const char *file, const char *val)
{
	sysfs_val_set("devices", bdf, file, val);
}

static void sysfs_device_val_set_int(const char *bdf, const char *file, int val)
{
	char val_str[32];

	snprintf_assert(val_str, sizeof(val_str), "%d", val);
	sysfs_device_val_set(bdf, file, val_str);
}

int sysfs_sriov_totalvfs_get(const char *bdf)
{
	return sysfs_device_val_get(bdf, "sriov_totalvfs");
}

int sysfs_sriov_numvfs_get(const char *bdf)
{
	return sysfs_device_val_get(bdf, "sriov_numvfs");
}

void sysfs_sriov_numvfs_set(const char *bdf, int numvfs)
{
	sysfs_device_val_set_int(bdf, "sriov_numvfs", numvfs);
}

char *sysfs_sriov_vf_bdf_get(const char *pf_bdf, int i)
{
	char path[PATH_MAX];
	char *out_vf_bdf;

	/* Fit "0000:00:00.0" */
	out_vf_bdf = calloc_assert(16, sizeof(char));

	snprintf_assert(path, PATH_MAX, "/sys/bus/pci/devices/%s/virtfn%d", pf_bdf, i);
	readlink_base(path, "%s", out_vf_bdf);

	return out_vf_bdf;
}

int sysfs_iommu_group_get(const char *bdf)
{
	char path[PATH_MAX];
	int group;

	snprintf_assert(path, PATH_MAX, "/sys/bus/pci/devices/%s/iommu_group", bdf);
	readlink_base(path, "%d", &group);

	return group;
}

char *sysfs_driver_get(const char *bdf)
{
	char driver_path[PATH_MAX];
	char path[PATH_MAX];
	char *out_driver;
	int ret;

	snprintf_assert(path, PATH_MAX, "/sys/bus/pci/devices/%s/driver", bdf);
	ret = readlink_safe(path, driver_path);
	if (ret == -1) {
		if (errno == ENOENT)
			return NULL;

		VFIO_FAIL("Failed to read %s\n", path);
	}

	out_driver = strdup(basename(driver_path));
	VFIO_ASSERT_NOT_NULL(out_driver);

	return out_driver;
}

void sysfs_driver_bind(const char *bdf, const char *driver)
{
	sysfs_val_set("drivers", driver, "bind", bdf);
}

void sysfs_driver_unbind(const char *bdf)
{
	sysfs_device_val_set(bdf, "driver/unbind", bdf);
}

char *sysfs_upstream_bridge_get(const char *bdf)
{
	char path[PATH_MAX], device_path[PATH_MAX];
	unsigned int s, b, d, f;
	char *bridge;

	snprintf_assert(path, PATH_MAX, "/sys/bus/pci/devices/%s", bdf);
	VFIO_ASSERT_NOT_NULL(realpath(path, device_path));

	/* The parent is a bridge or, on a root bus, a host bridge: pci0000:00 */
	bridge = basename(dirname(device_path));
	if (sscanf(bridge, "%4x:%2x:%2x.%1x", &s, &b, &d, &f) != 4)
		return NULL;

	bridge = strdup(bridge);
	VFIO_ASSERT_NOT_NULL(bridge);

	return bridge;
}

void sysfs_device_attr_get(const char *bdf, const char *attr, char *buf,
			   size_t size)
{
	char path[PATH_MAX];

	snprintf_assert(path, PATH_MAX, "/sys/bus/pci/devices/%s/%s", bdf, attr);
	sysfs_read(path, buf, size);
}

int __sysfs_device_attr_set(const char *bdf, const char *attr, const char *val)
{
	char path[PATH_MAX];
	int fd, ret = 0;

	snprintf_assert(path, PATH_MAX, "/sys/bus/pci/devices/%s/%s", bdf, attr);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return -errno;

	if (write(fd, val, strlen(val)) != strlen(val))
		ret = -errno;

	VFIO_ASSERT_EQ(close(fd), 0);
	return ret;
}

void sysfs_device_attr_set(const char *bdf, const char *attr, const char *val)
{
	int ret = __sysfs_device_attr_set(bdf, attr, val);

	VFIO_ASSERT_EQ(ret, 0, "Failed to write \"%s\" to %s of %s\n", val,
		       attr, bdf);
}

bool sysfs_device_has_pm(const char *bdf)
{
	char path[PATH_MAX];

	snprintf_assert(path, PATH_MAX, "/sys/bus/pci/devices/%s/power/control", bdf);
	return !access(path, F_OK);
}

void sysfs_power_control_get(const char *bdf, char *buf, size_t size)
{
	buf[0] = 0;
	if (sysfs_device_has_pm(bdf))
		sysfs_device_attr_get(bdf, "power/control", buf, size);
}

void sysfs_power_control_set(const char *bdf, const char *val)
{
	if (sysfs_device_has_pm(bdf))
		sysfs_device_attr_set(bdf, "power/control", val);
}

bool sysfs_device_suspends(const char *bdf, unsigned int timeout_ms)
{
	unsigned int tries = timeout_ms / 10;
	char status[16];

	while (tries--) {
		sysfs_device_attr_get(bdf, "power/runtime_status", status, sizeof(status));
		if (!strcmp(status, "suspended"))
			return true;
		usleep(10000);
	}

	return false;
}

void *sysfs_bar_map(const char *bdf, int bar, size_t offset, size_t size)
{
	char path[PATH_MAX];
	void *vaddr;
	int fd;

	snprintf_assert(path, PATH_MAX, "/sys/bus/pci/devices/%s/resource%d", bdf, bar);
	fd = open(path, O_RDWR);
	VFIO_ASSERT_GE(fd, 0, "open(%s) failed\n", path);

	vaddr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
	VFIO_ASSERT_NE(vaddr, MAP_FAILED, "mmap(%s) failed\n", path);
	VFIO_ASSERT_EQ(close(fd), 0);

	return vaddr;
}

int __sysfs_config_access(const char *bdf, bool write, size_t config,
			  size_t size, void *data)
{
	char path[PATH_MAX];
	ssize_t n;
	int fd, ret = 0;

	snprintf_assert(path, PATH_MAX, "/sys/bus/pci/devices/%s/config", bdf);
	fd = open(path, write ? O_WRONLY : O_RDONLY);
	if (fd < 0)
		return -errno;

	if (write)
		n = pwrite(fd, data, size, config);
	else
		n = pread(fd, data, size, config);

	if (n < 0)
		ret = -errno;
	else if (n != size)
		ret = -EIO;

	VFIO_ASSERT_EQ(close(fd), 0);
	return ret;
}

void sysfs_config_access(const char *bdf, bool write, size_t config,
			 size_t size, void *data)
{
	int ret = __sysfs_config_access(bdf, write, config, size, data);

	VFIO_ASSERT_EQ(ret, 0, "Failed to %s config space of %s: 0x%zx\n",
		       write ? "write to" : "read from", bdf, config);
}

u8 sysfs_config_find_capability(const char *bdf, u8 id)
{
	/* There is no room for more in the first 256 bytes */
	int ttl = (PCI_CFG_SPACE_SIZE - PCI_STD_HEADER_SIZEOF) / PCI_CAP_SIZEOF;
	u8 pos;

	if (!(sysfs_config_readw(bdf, PCI_STATUS) & PCI_STATUS_CAP_LIST))
		return 0;

	pos = sysfs_config_readb(bdf, PCI_CAPABILITY_LIST) & ~3;
	while (pos >= PCI_STD_HEADER_SIZEOF && ttl--) {
		if (sysfs_config_readb(bdf, pos + PCI_CAP_LIST_ID) == id)
			return pos;

		pos = sysfs_config_readb(bdf, pos + PCI_CAP_LIST_NEXT) & ~3;
	}

	return 0;
}
