// SPDX-License-Identifier: GPL-2.0-only
/*
 * Does a device come through a kexec with the state that it was promised?
 *
 * Usage: vfio_pci_liveupdate_test -f FIXTURE... BDF...
 *
 *   vfio_pci_liveupdate_refuse_test, vfio_pci_liveupdate_vf_test
 *   vfio_pci_liveupdate_before_test, kexec, vfio_pci_liveupdate_after_test
 *   vfio_pci_liveupdate_list_before_test, kexec, vfio_pci_liveupdate_list_after_test
 *     (with the first device alone)
 *
 * The devices have to be bound to vfio-pci and in IOMMU groups of their own.  What
 * becomes of each depends on its place: see enum role.  If there are all of them,
 * the last two have changed places after the kexec.  A VF, if there is one among
 * them, is not handed over.
 *
 * What is before a kexec, or must refuse one, needs a kernel that was loaded with
 * kexec_file_load(), and $VFIO_SELFTESTS_KEXEC: a kernel that does not refuse what
 * it should refuse is left for the next one.  A process keeps the devices open.
 * With that variable, it is a failure if the kernel before has left no session.
 *
 * What is expected: Documentation/driver-api/vfio-pci-reset-state.rst
 */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/reboot.h>

#include <linux/reboot.h>
#include <linux/sizes.h>
#include <linux/vfio.h>

#include <libliveupdate.h>
#include <libvfio.h>

#include "kselftest_harness.h"

#define SESSION		"vfio_pci_liveupdate"
#define TOKEN_STATES	1000

enum role {
	UNTOUCHED,	/* handed over as it is */
	QUIESCED,	/* closed and opened again before that */
	ABANDONED,	/* handed over, but its user does not come back for it */

	/* Handed over, but the next kernel must not take it for what it was: */
	CORRUPT,	/* what is handed over of it is changed in memory */
	TRUNCATED,	/* the same, but its size */
	REMOVED,	/* removed */
	REPLACED,	/* the next one is in its place, and that in the other's */

	PLAIN,		/* not handed over */
	NR_ROLES
};

/* What the first kernel tells the second one */
struct handed_over {
	struct vfio_pci_state open;	/* on the first open */
	struct vfio_pci_state given;	/* when the device was handed over */
	int frozen_errno;		/* of a read, when its mappings were revoked */
	bool has_mark;			/* see vfio_pci_reset_mark() */
};

static const char *bdfs[NR_ROLES];
static int nr_bdfs;
static int nr_kept, nr_good;	/* how many the next kernel keeps, and should */
static const char *vf_bdf;

/* Of the kernel before, if it had a session */
static int session = -1;
static struct handed_over *states;
static size_t states_size;

static void states_set_bdfs(void)
{
	int i;

	for (i = 0; i < nr_bdfs; i++) {
		states[i].open.bdf = bdfs[i];
		states[i].given.bdf = bdfs[i];
	}
}

static bool is_bound(const char *bdf)
{
	char *driver = sysfs_driver_get(bdf);
	bool ret = driver && !strcmp(driver, "vfio-pci");

	free(driver);
	return ret;
}

static int new_session(void)
{
	int luo = luo_open_device(), ret;

	VFIO_ASSERT_GE(luo, 0, "open(%s) failed\n", LUO_DEVICE);
	ret = luo_create_session(luo, SESSION);
	VFIO_ASSERT_GE(ret, 0, "create session: %s\n", strerror(-ret));
	VFIO_ASSERT_EQ(close(luo), 0);
	return ret;
}

FIXTURE(vfio_pci_liveupdate_after_test) {
	struct iommu *iommu;
	struct vfio_pci_state *now;
};

FIXTURE_SETUP(vfio_pci_liveupdate_after_test)
{
	if (session < 0 && !getenv("VFIO_SELFTESTS_KEXEC"))
		SKIP(return, "the kernel before has not left a session");
	ASSERT_GE(session, 0);
	self->iommu = iommu_init(MODE_IOMMUFD);
	self->now = vfio_pci_state_alloc();
}

FIXTURE_TEARDOWN(vfio_pci_liveupdate_after_test)
{
	iommu_cleanup(self->iommu);
	free(self->now);
}

/* Neither firmware nor the PCI core nor a driver has changed anything */
TEST_F(vfio_pci_liveupdate_after_test, config_space)
{
	int i;

	for (i = 0; i < nr_kept; i++) {
		/* Reads of config space, below, wake it up */
		EXPECT_FALSE(sysfs_device_suspends(bdfs[i], 100));
		vfio_pci_state_read_config(bdfs[i], self->now);
		EXPECT_EQ(0, vfio_pci_state_diff(&states[i].given, self->now));
		EXPECT_TRUE(is_bound(bdfs[i]));
	}
}

/* Only who retrieves the file of a device may open it */
TEST_F(vfio_pci_liveupdate_after_test, other_user)
{
	int i;

	for (i = 0; i < nr_kept; i++)
		EXPECT_EQ(-EBUSY, vfio_pci_device_try_open(bdfs[i], self->iommu));
}

/* It was the user's up to its freeze, and not after */
TEST_F(vfio_pci_liveupdate_after_test, frozen)
{
	EXPECT_EQ(EBUSY, states[UNTOUCHED].frozen_errno);
}

/*
 * Its user finds the device as he has left it, and it works.  That the next kernel
 * has not reset it is seen by the mark in UNTOUCHED alone.
 */
static void retrieved(struct __test_metadata *_metadata, struct iommu *iommu,
		      struct vfio_pci_state *now, int i)
{
	struct vfio_pci_device *device;
	int fd;

	if (i >= nr_bdfs)
		SKIP(return, "needs %d devices", i + 1);

	fd = luo_session_retrieve_fd(session, i);
	ASSERT_GE(fd, 0);
	/* Nor is it open to others before its user has bound it */
	ASSERT_EQ(-EBUSY, vfio_pci_device_try_open(bdfs[i], iommu));
	device = vfio_pci_device_init_fd(bdfs[i], iommu, fd);
	vfio_pci_state_read(device, now);
	ASSERT_EQ(0, vfio_pci_state_diff(&states[i].given, now));
	if (i == UNTOUCHED && states[i].has_mark)
		ASSERT_FALSE(vfio_pci_reset_mark_removed(device));

	if (device->driver.ops) {
		struct dma_region *region = &device->driver.region;
		u64 value;

		region->size = SZ_2M;
		region->vaddr = mmap(NULL, SZ_2M, PROT_READ | PROT_WRITE,
				     MAP_ANONYMOUS | MAP_SHARED, -1, 0);
		ASSERT_NE(MAP_FAILED, region->vaddr);
		region->iova = SZ_1G;
		iommu_map(iommu, region);
		vfio_pci_driver_init(device);
		if (device->driver.ops->send_msi) {
			vfio_pci_driver_send_msi(device);
			ASSERT_EQ(8, read(device->msi_eventfds[device->driver.msi], &value, 8));
		}
		vfio_pci_driver_remove(device);
	}

	if (device->info.flags & VFIO_DEVICE_FLAGS_RESET) {
		vfio_pci_state_read(device, now);
		memcpy(&states[i].given, now, sizeof(*now));
		vfio_pci_device_reset(device);
		vfio_pci_state_read(device, now);
		ASSERT_EQ(0, vfio_pci_state_diff(&states[i].given, now));
	}
}

TEST_F(vfio_pci_liveupdate_after_test, untouched)
{
	retrieved(_metadata, self->iommu, self->now, UNTOUCHED);
}

TEST_F(vfio_pci_liveupdate_after_test, quiesced)
{
	retrieved(_metadata, self->iommu, self->now, QUIESCED);
}

/* The beginning of struct vfio_pci_ser, see include/linux/kho/abi/vfio_pci.h */
struct handed_data {
	u32 size;
	u32 crc;
	u32 domain;
	u16 bdf;
	u16 flags;
	u32 map_crc;
	u32 cfg_size;
	u64 bar[6];
	u8 vconfig[];
};

/* The beginning of struct pci_ser, see include/linux/kho/abi/pci.h */
struct handed_list {
	u32 crc;
	u32 nr_devices;
	u32 domain;
	u16 bdf;
	u16 vendor;
	u16 device;
	u16 reserved;
	char driver[36];
};

static u16 bdf_id(const char *bdf, u32 *domain)
{
	unsigned int bus, slot, fn;
	int nr = sscanf(bdf, "%x:%x:%x.%x", domain, &bus, &slot, &fn);

	VFIO_ASSERT_EQ(nr, 4);
	return bus << 8 | slot << 3 | fn;
}

static bool is_data_of(const void *page, const char *bdf)
{
	const struct handed_data *data = page;
	u32 domain;
	u16 id = bdf_id(bdf, &domain);

	return data->domain == domain && data->bdf == id && data->cfg_size == 4096 &&
	       data->size > 4096 && data->size < SZ_64K;
}

static bool is_list_of(const void *page, const char *bdf)
{
	const struct handed_list *list = page;
	u32 domain;
	u16 id = bdf_id(bdf, &domain);

	return list->nr_devices == 1 && list->domain == domain && list->bdf == id &&
	       !list->reserved && !strcmp(list->driver, "vfio-pci");
}

static bool is_page(const void *page, const char *bdf)
{
	return true;
}

/*
 * Find what is handed over: the page that it begins with.  Returns NULL if this
 * kernel does not let its memory be mapped.
 */
static void *find_page(bool (*is_it)(const void *page, const char *bdf), const char *bdf)
{
	FILE *iomem = fopen("/proc/iomem", "r");
	int mem = open("/dev/mem", O_RDWR);
	unsigned long long start, end;
	void *map, *p, *found = NULL;
	char line[256];

	VFIO_ASSERT_NOT_NULL(iomem);
	while (mem >= 0 && !found && fgets(line, sizeof(line), iomem)) {
		if (!strstr(line, ": System RAM") || line[0] == ' ' ||
		    sscanf(line, "%llx-%llx", &start, &end) != 2)
			continue;
		/* The test does not need the rest */
		start = (start + SZ_1M - 1) / SZ_1M * SZ_1M;
		end = (end + 1) / SZ_1M * SZ_1M;
		if (start >= end)
			continue;
		map = mmap(NULL, end - start, PROT_READ | PROT_WRITE, MAP_SHARED, mem, start);
		if (map == MAP_FAILED)
			continue;
		for (p = map; p < map + (end - start) && !found; p += SZ_4K)
			found = is_it(p, bdf) ? p : NULL;
		if (!found)
			VFIO_ASSERT_EQ(munmap(map, end - start), 0);
	}
	VFIO_ASSERT_EQ(fclose(iomem), 0);
	if (mem >= 0)
		VFIO_ASSERT_EQ(close(mem), 0);
	return found;
}

/* Too small, and nothing else is wrong with it */
static void ser_truncate(struct handed_data *data)
{
	const u8 *p = (u8 *)&data->domain;
	u32 crc = 0;
	int bit;

	data->size = offsetof(struct handed_data, vconfig);
	for (; p < data->vconfig; p++) {
		crc ^= *p;
		for (bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	data->crc = crc;
}

static void corrupt(struct __test_metadata *_metadata, enum role role)
{
	int kmsg = kmsg_open();
	struct handed_data *data;

	if (nr_bdfs <= role)
		SKIP(return, "needs %d devices", role + 1);
	data = find_page(is_data_of, bdfs[role]);
	if (!data)
		SKIP(return, "needs a kernel without CONFIG_STRICT_DEVMEM");

	if (role == CORRUPT)
		data->vconfig[PCI_INTERRUPT_LINE] ^= 1;
	else
		ser_truncate(data);

	ASSERT_EQ(-EINVAL, luo_session_retrieve_fd(session, role));
	ASSERT_TRUE(kmsg_has(kmsg, "vfio", "data of a preserved device is corrupt"));
	close(kmsg);
}

TEST_F(vfio_pci_liveupdate_after_test, corrupt)
{
	corrupt(_metadata, CORRUPT);
}

TEST_F(vfio_pci_liveupdate_after_test, truncated)
{
	corrupt(_metadata, TRUNCATED);
}

static bool device_exists(const char *bdf)
{
	char path[PATH_MAX];

	snprintf_assert(path, PATH_MAX, "/sys/bus/pci/devices/%s", bdf);
	return !access(path, F_OK);
}

/* It is a new device, for any driver and user */
static void new_device(struct __test_metadata *_metadata, const char *bdf, struct iommu *iommu)
{
	char *driver;
	int tries;

	ASSERT_FALSE(is_bound(bdf));
	sysfs_device_attr_set(bdf, "driver_override", "vfio-pci");
	/* A driver of the host may be about to be bound */
	for (tries = 0; !is_bound(bdf) && tries < 1000; tries++) {
		driver = sysfs_driver_get(bdf);
		if (driver)
			sysfs_driver_unbind(bdf);
		free(driver);
		sysfs_write("/sys/bus/pci/drivers_probe", bdf);
		usleep(10000);
	}
	ASSERT_TRUE(is_bound(bdf));
	vfio_pci_device_cleanup(vfio_pci_device_init(bdf, iommu));
}

/* Gone, and found again */
TEST_F(vfio_pci_liveupdate_after_test, removed)
{
	int kmsg = kmsg_open();

	if (nr_bdfs <= REMOVED)
		SKIP(return, "needs %d devices", REMOVED + 1);

	sysfs_device_attr_set(bdfs[REMOVED], "remove", "1");
	ASSERT_FALSE(device_exists(bdfs[REMOVED]));
	ASSERT_EQ(-ENODEV, luo_session_retrieve_fd(session, REMOVED));
	ASSERT_TRUE(kmsg_has(kmsg, bdfs[REMOVED], "preserved device is not there"));

	sysfs_write("/sys/bus/pci/rescan", "1");
	ASSERT_TRUE(device_exists(bdfs[REMOVED]));
	ASSERT_EQ(-ENODEV, luo_session_retrieve_fd(session, REMOVED));
	new_device(_metadata, bdfs[REMOVED], self->iommu);
	close(kmsg);
}

/* There is another device in its place */
TEST_F(vfio_pci_liveupdate_after_test, replaced)
{
	int kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);

	if (nr_bdfs <= PLAIN)
		SKIP(return, "needs %d devices", PLAIN + 1);

	/* From the start of the log */
	ASSERT_GE(kmsg, 0);
	ASSERT_TRUE(kmsg_has(kmsg, bdfs[PLAIN], "this is another device"));
	ASSERT_EQ(-ENODEV, luo_session_retrieve_fd(session, REPLACED));
	close(kmsg);
}

/* What a kexec and the next open do to a device that is not handed over */
TEST_F(vfio_pci_liveupdate_after_test, not_handed_over)
{
	struct vfio_pci_device *device;

	if (nr_bdfs <= PLAIN)
		SKIP(return, "needs %d devices", PLAIN + 1);

	device = vfio_pci_device_init(bdfs[PLAIN], self->iommu);
	vfio_pci_state_read(device, self->now);
	ASSERT_EQ(vfio_pci_state_readl(&states[PLAIN].given, PCI_VENDOR_ID),
		  vfio_pci_state_readl(self->now, PCI_VENDOR_ID));
	ASSERT_NE(0, vfio_pci_state_diff(&states[PLAIN].given, self->now));
	vfio_pci_device_cleanup(device);
}

/*
 * When they are closed, devices are as they were on the first open, in the
 * kernel before, and so is one that nobody has come for.  All are devices as any
 * other.
 */
TEST_F(vfio_pci_liveupdate_after_test, finish)
{
	struct vfio_pci_device *device;
	int i;

	ASSERT_EQ(0, luo_session_finish(session));

	for (i = 0; i < nr_good; i++) {
		vfio_pci_state_read_config(bdfs[i], self->now);
		EXPECT_EQ(0, vfio_pci_state_diff(&states[i].open, self->now));
	}

	for (i = 0; i < nr_kept; i++) {
		device = vfio_pci_device_init(bdfs[i], self->iommu);
		vfio_pci_state_read(device, self->now);
		if (i < nr_good)
			EXPECT_EQ(0, vfio_pci_state_diff(&states[i].open, self->now));
		vfio_pci_device_cleanup(device);
	}
}

/* Make a device idle, so that it can be handed over */
static void idle(struct vfio_pci_device *device)
{
	vfio_pci_cmd_clear(device, PCI_COMMAND_MASTER);
	vfio_pci_device_detach(device);
}

FIXTURE(vfio_pci_liveupdate_refuse_test) {
	struct iommu *iommu;
	struct vfio_pci_device *device;
	struct vfio_pci_state *before;
	struct vfio_pci_state *after;
	int session;
};

FIXTURE_SETUP(vfio_pci_liveupdate_refuse_test)
{
	if (!getenv("VFIO_SELFTESTS_KEXEC"))
		SKIP(return, "$VFIO_SELFTESTS_KEXEC is not set");

	self->before = vfio_pci_state_alloc();
	self->after = vfio_pci_state_alloc();
	self->iommu = iommu_init(default_iommu_mode);
	self->device = vfio_pci_device_init(bdfs[0], self->iommu);
	self->session = new_session();
}

FIXTURE_TEARDOWN(vfio_pci_liveupdate_refuse_test)
{
	close(self->session);
	vfio_pci_device_cleanup(self->device);
	iommu_cleanup(self->iommu);
	free(self->before);
	free(self->after);
}

/* The kexec fails for this reason, and neither device nor user notice anything */
static void refused(struct __test_metadata *_metadata, struct vfio_pci_device *device,
		    const char *why)
{
	struct vfio_pci_state *before = vfio_pci_state_alloc();
	struct vfio_pci_state *after = vfio_pci_state_alloc();
	int kmsg = kmsg_open();

	vfio_pci_state_read(device, before);
	ASSERT_EQ(-1, reboot(LINUX_REBOOT_CMD_KEXEC));
	ASSERT_EQ(EBUSY, errno);
	ASSERT_TRUE(kmsg_has(kmsg, bdfs[0], why));

	vfio_pci_state_read(device, after);
	ASSERT_EQ(0, vfio_pci_state_diff(before, after));
	close(kmsg);
	free(before);
	free(after);
}

TEST_F(vfio_pci_liveupdate_refuse_test, interrupts)
{
	u32 index = self->device->msix_info.count ? VFIO_PCI_MSIX_IRQ_INDEX :
						    VFIO_PCI_MSI_IRQ_INDEX;
	u64 value;

	idle(self->device);
	vfio_pci_irq_enable(self->device, index, 0, 1);
	ASSERT_EQ(0, luo_session_preserve_fd(self->session, self->device->fd, 0));
	refused(_metadata, self->device, "interrupts are enabled");

	vfio_pci_irq_trigger(self->device, index, 0);
	ASSERT_EQ(8, read(self->device->msi_eventfds[0], &value, 8));
	vfio_pci_irq_disable(self->device, index);
}

TEST_F(vfio_pci_liveupdate_refuse_test, attached)
{
	vfio_pci_cmd_clear(self->device, PCI_COMMAND_MASTER);
	ASSERT_EQ(0, luo_session_preserve_fd(self->session, self->device->fd, 0));
	refused(_metadata, self->device, "attached to an I/O address space");
}

TEST_F(vfio_pci_liveupdate_refuse_test, master)
{
	idle(self->device);
	vfio_pci_cmd_set(self->device, PCI_COMMAND_MASTER);
	ASSERT_EQ(0, luo_session_preserve_fd(self->session, self->device->fd, 0));
	refused(_metadata, self->device, "Bus Master is enabled");
}

TEST_F(vfio_pci_liveupdate_refuse_test, ioeventfd)
{
	struct vfio_pci_bar *bar = vfio_pci_mapped_bar(self->device);
	struct vfio_device_ioeventfd ioeventfd = {
		.argsz = sizeof(ioeventfd),
		.flags = VFIO_DEVICE_IOEVENTFD_32,
		.fd = eventfd(0, 0),
	};

	if (!bar)
		SKIP(return, "no BAR that can be mapped");
	idle(self->device);
	ioeventfd.offset = bar->info.offset;
	if (ioctl(self->device->fd, VFIO_DEVICE_IOEVENTFD, &ioeventfd))
		SKIP(return, "cannot enable an ioeventfd: %s", strerror(errno));
	ASSERT_EQ(0, luo_session_preserve_fd(self->session, self->device->fd, 0));
	refused(_metadata, self->device, "an ioeventfd is enabled");
	close(ioeventfd.fd);
}

TEST_F(vfio_pci_liveupdate_refuse_test, dmabuf)
{
	int fd;

	if (!vfio_pci_mapped_bar(self->device))
		SKIP(return, "no BAR that can be mapped");
	idle(self->device);
	fd = vfio_pci_dmabuf_export(self->device);
	if (fd < 0)
		SKIP(return, "cannot export a dma-buf: %s", strerror(-fd));
	ASSERT_EQ(0, luo_session_preserve_fd(self->session, self->device->fd, 0));
	refused(_metadata, self->device, "exported as a dma-buf");
	close(fd);
}

TEST_F(vfio_pci_liveupdate_refuse_test, d3hot)
{
	u16 pm;

	idle(self->device);
	vfio_pci_state_read(self->device, self->before);
	pm = vfio_pci_state_find_cap(self->before, PCI_CAP_ID_PM);
	if (!pm)
		SKIP(return, "no PM capability");
	vfio_pci_config_writew(self->device, pm + PCI_PM_CTRL, D3HOT);
	ASSERT_EQ(0, luo_session_preserve_fd(self->session, self->device->fd, 0));
	refused(_metadata, self->device, "low power state");
}

/* One device is idle and frozen, another one is not:  The first one thaws. */
TEST_F(vfio_pci_liveupdate_refuse_test, other_device)
{
	struct vfio_pci_bar *bar = vfio_pci_mapped_bar(self->device);
	struct vfio_pci_device *other;

	if (nr_bdfs < 2 || !bar)
		SKIP(return, "needs two devices, the first one with a BAR that can be mapped");

	other = vfio_pci_device_init(bdfs[1], self->iommu);
	vfio_pci_cmd_set(other, PCI_COMMAND_MASTER);
	vfio_pci_device_detach(other);
	ASSERT_GT(vfio_pci_state_fill(self->device), 0);
	idle(self->device);
	vfio_pci_cmd_set(self->device, PCI_COMMAND_MEMORY);
	ASSERT_EQ(0, luo_session_preserve_fd(self->session, self->device->fd, 0));
	ASSERT_EQ(0, luo_session_preserve_fd(self->session, other->fd, 1));

	vfio_pci_state_read(self->device, self->before);
	ASSERT_EQ(-1, reboot(LINUX_REBOOT_CMD_KEXEC));
	ASSERT_EQ(EBUSY, errno);

	vfio_pci_state_read(self->device, self->after);
	ASSERT_EQ(0, vfio_pci_state_diff(self->before, self->after));
	ASSERT_TRUE(vfio_pci_mapping_works(bar->vaddr));
	if (self->device->info.flags & VFIO_DEVICE_FLAGS_RESET)
		vfio_pci_device_reset(self->device);

	close(self->session);
	self->session = -1;
	vfio_pci_device_cleanup(other);
}

/* Only an open character device stands for a device */
TEST_F(vfio_pci_liveupdate_refuse_test, not_bound)
{
	const char *path = vfio_pci_get_cdev_path(bdfs[0]);
	int fd = open(path, O_RDWR);

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, luo_session_preserve_fd(self->session, self->device->fd, 0));
	ASSERT_EQ(-ENOENT, luo_session_preserve_fd(self->session, fd, 1));
	ASSERT_EQ(-EBUSY, luo_session_preserve_fd(self->session, self->device->fd, 2));
	close(fd);
	free((void *)path);
}

FIXTURE(vfio_pci_liveupdate_vf_test) {
	struct iommu *iommu;
	struct vfio_pci_device *device;
};

FIXTURE_SETUP(vfio_pci_liveupdate_vf_test)
{
	if (!vf_bdf)
		SKIP(return, "no VF");
	self->iommu = iommu_init(default_iommu_mode);
	self->device = vfio_pci_device_init(vf_bdf, self->iommu);
}

FIXTURE_TEARDOWN(vfio_pci_liveupdate_vf_test)
{
	vfio_pci_device_cleanup(self->device);
	iommu_cleanup(self->iommu);
}

TEST_F(vfio_pci_liveupdate_vf_test, refused)
{
	int kmsg = kmsg_open(), fd = new_session();

	ASSERT_EQ(-EOPNOTSUPP, luo_session_preserve_fd(fd, self->device->fd, 0));
	ASSERT_TRUE(kmsg_has(kmsg, vf_bdf, "cannot be preserved: is a VF"));
	close(fd);
	close(kmsg);
}

FIXTURE(vfio_pci_liveupdate_before_test) {
};

FIXTURE_SETUP(vfio_pci_liveupdate_before_test)
{
	if (!getenv("VFIO_SELFTESTS_KEXEC"))
		SKIP(return, "$VFIO_SELFTESTS_KEXEC is not set");
}

FIXTURE_TEARDOWN(vfio_pci_liveupdate_before_test)
{
}

/*
 * The session lasts until the kexec, so somebody has to keep it open, and sees
 * when the device is frozen.  He uses a mapping for that, because a device whose
 * file is in use is not frozen.
 */
static void keep_open(struct vfio_pci_device *device, struct handed_over *state)
{
	struct vfio_pci_bar *bar = vfio_pci_mapped_bar(device);
	int null;
	u16 cmd;

	if (fork())
		return;

	null = open("/dev/null", O_RDWR);
	dup2(null, 0);
	dup2(null, 1);
	dup2(null, 2);
	setsid();
	while (vfio_pci_mapping_works(bar->vaddr))
		;
	if (pread(device->fd, &cmd, 2, device->config_space.offset + PCI_COMMAND) < 0)
		state->frozen_errno = errno;
	for (;;)
		pause();
}

/*
 * Swap the numbers of two buses that have one device each, below ports on a root
 * bus.  Nobody but the next kernel looks at those devices afterwards, except for
 * their Command and Device Status, which are the same.
 */
static void swap_buses(const char *a, const char *b)
{
	char *port_a = sysfs_upstream_bridge_get(a);
	char *port_b = sysfs_upstream_bridge_get(b);
	u32 buses_a, buses_b;

	VFIO_ASSERT_TRUE(port_a && port_b);
	buses_a = sysfs_config_readl(port_a, PCI_PRIMARY_BUS);
	buses_b = sysfs_config_readl(port_b, PCI_PRIMARY_BUS);
	sysfs_config_writel(port_a, PCI_PRIMARY_BUS, buses_b);
	sysfs_config_writel(port_b, PCI_PRIMARY_BUS, buses_a);
	free(port_a);
	free(port_b);
}

static void preserve(struct __test_metadata *_metadata)
{
	struct iommu *iommu = iommu_init(MODE_IOMMUFD);
	struct vfio_pci_device *device, *watched = NULL;
	int fd = new_session(), memfd, nr_filled, i;

	states_size = nr_bdfs * sizeof(*states);
	memfd = memfd_create("states", 0);
	ASSERT_EQ(0, ftruncate(memfd, states_size));
	states = mmap(NULL, states_size, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	ASSERT_NE(MAP_FAILED, states);

	for (i = 0; i < nr_bdfs; i++) {
		device = vfio_pci_device_init(bdfs[i], iommu);
		vfio_pci_state_read(device, &states[i].open);
		nr_filled = vfio_pci_state_fill(device);
		/* What was not retrieved has what its user left in the kernel before */
		if (i < CORRUPT)
			ASSERT_GT(nr_filled, 0);
		states[i].has_mark = vfio_pci_reset_mark(device);
		vfio_pci_cmd_set(device, PCI_COMMAND_MEMORY);
		if (i == UNTOUCHED) {
			ASSERT_NE(NULL, vfio_pci_mapped_bar(device));
			watched = device;
		}
		if (i == QUIESCED) {
			vfio_pci_device_cleanup(device);
			device = vfio_pci_device_init(bdfs[i], iommu);
		}
		idle(device);
		vfio_pci_state_read(device, &states[i].given);
		if (i == QUIESCED)
			EXPECT_EQ(0, vfio_pci_state_diff(&states[i].open, &states[i].given));
		if (i != PLAIN)
			EXPECT_EQ(0, luo_session_preserve_fd(fd, device->fd, i));
	}

	ASSERT_EQ(0, luo_session_preserve_fd(fd, memfd, TOKEN_STATES));
	if (nr_bdfs > PLAIN)
		swap_buses(bdfs[REPLACED], bdfs[PLAIN]);
	keep_open(watched, &states[UNTOUCHED]);
}

TEST_F(vfio_pci_liveupdate_before_test, preserve)
{
	preserve(_metadata);
}

FIXTURE(vfio_pci_liveupdate_list_before_test) {
};

FIXTURE_SETUP(vfio_pci_liveupdate_list_before_test)
{
	if (!getenv("VFIO_SELFTESTS_KEXEC"))
		SKIP(return, "$VFIO_SELFTESTS_KEXEC is not set");
	if (!find_page(is_page, NULL))
		SKIP(return, "needs a kernel without CONFIG_STRICT_DEVMEM");
}

FIXTURE_TEARDOWN(vfio_pci_liveupdate_list_before_test)
{
}

/* Of the first device alone, so that the list is found */
TEST_F(vfio_pci_liveupdate_list_before_test, corrupt)
{
	struct handed_list *list;

	nr_bdfs = 1;
	preserve(_metadata);
	list = find_page(is_list_of, bdfs[0]);
	ASSERT_NE(NULL, list);
	list->device ^= 1;
}

FIXTURE(vfio_pci_liveupdate_list_after_test) {
	struct iommu *iommu;
};

FIXTURE_SETUP(vfio_pci_liveupdate_list_after_test)
{
	if (session < 0 && !getenv("VFIO_SELFTESTS_KEXEC"))
		SKIP(return, "the kernel before has not left a session");
	ASSERT_GE(session, 0);
	self->iommu = iommu_init(MODE_IOMMUFD);
}

FIXTURE_TEARDOWN(vfio_pci_liveupdate_list_after_test)
{
	iommu_cleanup(self->iommu);
}

/* All devices are new */
TEST_F(vfio_pci_liveupdate_list_after_test, corrupt)
{
	int kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);

	/* From the start of the log */
	ASSERT_GE(kmsg, 0);
	ASSERT_TRUE(kmsg_has(kmsg, "liveupdate", "list of preserved devices is corrupt"));
	ASSERT_EQ(-ENODEV, luo_session_retrieve_fd(session, 0));
	new_device(_metadata, bdfs[0], self->iommu);
	ASSERT_EQ(0, luo_session_finish(session));
	close(kmsg);
}

/* What the kernel before has left, if it has */
static void retrieve_session(void)
{
	int luo = luo_open_device(), memfd;

	if (luo < 0)
		return;

	session = luo_retrieve_session(luo, SESSION);
	VFIO_ASSERT_EQ(close(luo), 0);
	if (session < 0)
		return;

	memfd = luo_session_retrieve_fd(session, TOKEN_STATES);
	VFIO_ASSERT_GE(memfd, 0, "retrieve: %s\n", strerror(-memfd));
	states_size = nr_bdfs * sizeof(*states);
	states = mmap(NULL, states_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, memfd, 0);
	VFIO_ASSERT_NE(states, MAP_FAILED);
	VFIO_ASSERT_EQ(close(memfd), 0);
	states_set_bdfs();
}

static bool is_vf(const char *bdf)
{
	char path[PATH_MAX];

	snprintf_assert(path, PATH_MAX, "/sys/bus/pci/devices/%s/physfn", bdf);
	return !access(path, F_OK);
}

int main(int argc, char *argv[])
{
	char **args;
	int i, nr;

	args = vfio_selftests_get_bdfs(&argc, argv, &nr);
	for (i = 0; i < nr; i++) {
		if (is_vf(args[i]))
			vf_bdf = args[i];
		else if (nr_bdfs < NR_ROLES)
			bdfs[nr_bdfs++] = args[i];
	}

	nr_kept = nr_bdfs < REPLACED ? nr_bdfs : REPLACED;
	nr_good = nr_bdfs < CORRUPT ? nr_bdfs : CORRUPT;

	retrieve_session();
	return test_harness_run(argc, argv);
}
