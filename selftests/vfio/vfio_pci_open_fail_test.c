// SPDX-License-Identifier: GPL-2.0-only
/*
 * What if memory is short while a device is opened?
 *
 * Let each allocation of an open fail in turn.  Either the open fails, or the
 * device works as any other, and in particular is given back by close in the
 * state in which it was opened.  Needs CONFIG_FAILSLAB.
 *
 * What is expected: Documentation/driver-api/vfio-pci-reset-state.rst
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include <libvfio.h>

#include "kselftest_harness.h"

#define FAILSLAB	"/sys/kernel/debug/failslab/"
#define FAIL_NTH	"/proc/thread-self/fail-nth"

/* An open makes far fewer allocations */
#define MAX_NTH		1000

/* There is a reset or two for each allocation */
#define TIMEOUT		300

static const char *device_bdf;

FIXTURE(vfio_pci_open_fail_test) {
	struct iommu *iommu;
	/* By value: the parent process has to find it when the child has ended */
	char driver[64];
	char ignore_gfp_wait[16];
	char verbose[16];
	char power_control[16];
	u8 cache_line_size;
};

/*
 * If the device is enabled beforehand, an open doesn't enable it.  That would
 * look up the IRQ, for which ACPICA allocates memory and doesn't always survive
 * a failure.
 */
static void device_enable(const char *driver, bool enable)
{
	sysfs_driver_unbind(device_bdf);
	sysfs_device_attr_set(device_bdf, "enable", enable ? "1" : "0");
	sysfs_driver_bind(device_bdf, driver);
}

FIXTURE_SETUP(vfio_pci_open_fail_test)
{
	char *driver;

	if (access(FAILSLAB "ignore-gfp-wait", W_OK) || access(FAIL_NTH, W_OK))
		SKIP(return, "Kernel cannot have allocations fail");

	self->iommu = iommu_init(MODE_IOMMUFD);
	driver = sysfs_driver_get(device_bdf);
	VFIO_ASSERT_NOT_NULL(driver);

	sysfs_power_control_get(device_bdf, self->power_control, sizeof(self->power_control));
	sysfs_read(FAILSLAB "ignore-gfp-wait", self->ignore_gfp_wait,
		   sizeof(self->ignore_gfp_wait));
	sysfs_read(FAILSLAB "verbose", self->verbose, sizeof(self->verbose));

	/* From here on, there is something to put back */
	snprintf_assert(self->driver, sizeof(self->driver), "%s", driver);
	free(driver);

	device_enable(self->driver, true);

	/* The registers are looked at after close, so keep the device in D0 */
	sysfs_power_control_set(device_bdf, "on");

	sysfs_write(FAILSLAB "ignore-gfp-wait", "N");
	sysfs_write(FAILSLAB "verbose", "0");

	self->cache_line_size = sysfs_config_readb(device_bdf, PCI_CACHE_LINE_SIZE);
}

/* After the end of the test process, which closes the device */
FIXTURE_TEARDOWN_PARENT(vfio_pci_open_fail_test)
{
	if (!self->driver[0])
		return;

	sysfs_write(FAILSLAB "ignore-gfp-wait", self->ignore_gfp_wait);
	sysfs_write(FAILSLAB "verbose", self->verbose);
	sysfs_power_control_set(device_bdf, self->power_control);
	device_enable(self->driver, false);
}

/*
 * Have the nth allocation from now on fail; 0 is none at all.  Don't open a file
 * for that, because that allocates as well.
 */
static void fail_nth_set(int fail_nth, unsigned int nth)
{
	char buf[16];

	snprintf_assert(buf, sizeof(buf), "%u", nth);
	VFIO_ASSERT_EQ(pwrite(fail_nth, buf, strlen(buf), 0), strlen(buf));
}

/* Call it off, and return whether an allocation has failed */
static bool fail_nth_stop(int fail_nth)
{
	char buf[16] = {};

	VFIO_ASSERT_GT(pread(fail_nth, buf, sizeof(buf) - 1, 0), 0);
	fail_nth_set(fail_nth, 0);

	return !strtoul(buf, NULL, 10);
}

struct result {
	struct vfio_pci_device *device;
	bool alloc_failed;
	int ret;
};

static void device_open(struct iommu *iommu, unsigned int nth, struct result *result)
{
	struct vfio_pci_device *device = vfio_pci_device_alloc(device_bdf, iommu);
	struct vfio_region_info *config = &device->config_space;
	int fail_nth = open(FAIL_NTH, O_RDWR);

	VFIO_ASSERT_GE(fail_nth, 0);
	vfio_pci_cdev_open(device, device_bdf);

	fail_nth_set(fail_nth, nth);
	result->ret = __vfio_device_bind_iommufd(device->fd, iommu->iommufd, NULL);
	result->alloc_failed = fail_nth_stop(fail_nth) && nth;
	result->device = device;

	VFIO_ASSERT_EQ(close(fail_nth), 0);
	if (result->ret)
		return;

	/* Of the set-up of a device, all that is needed here */
	config->argsz = sizeof(*config);
	config->index = VFIO_PCI_CONFIG_REGION_INDEX;
	ioctl_assert(device->fd, VFIO_DEVICE_GET_REGION_INFO, config);
}

static void device_close(struct vfio_pci_device *device)
{
	VFIO_ASSERT_EQ(close(device->fd), 0);
	vfio_pci_device_free(device);
}

static bool device_can_reset(struct vfio_pci_device *device)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };

	ioctl_assert(device->fd, VFIO_DEVICE_GET_INFO, &info);
	return info.flags & VFIO_DEVICE_FLAGS_RESET;
}

/*
 * Change what is to be restored on close, and have it saved by a reset, so
 * that there is something wrong that may be restored instead.
 */
static bool device_dirty(struct vfio_pci_device *device, u8 val)
{
	vfio_pci_config_writeb(device, PCI_CACHE_LINE_SIZE, val);
	vfio_pci_device_reset(device);

	return sysfs_config_readb(device->bdf, PCI_CACHE_LINE_SIZE) == val;
}

TEST_F_TIMEOUT(vfio_pci_open_fail_test, config_restored, TIMEOUT)
{
	unsigned int nth = 0, nr_open_failed = 0, nr_open = 0;
	u8 dirty = self->cache_line_size ^ 0x30;
	struct result result;

	/* No failure: what is tested must work at all */
	device_open(self->iommu, 0, &result);
	ASSERT_EQ(0, result.ret);
	if (!device_can_reset(result.device)) {
		device_close(result.device);
		SKIP(return, "Device does not support reset");
	}
	if (!device_dirty(result.device, dirty)) {
		device_close(result.device);
		SKIP(return, "Cache Line Size is not writable");
	}
	device_close(result.device);
	ASSERT_EQ(self->cache_line_size, sysfs_config_readb(device_bdf, PCI_CACHE_LINE_SIZE));

	do {
		ASSERT_LT(++nth, MAX_NTH);
		device_open(self->iommu, nth, &result);

		if (result.ret) {
			ASSERT_TRUE(result.alloc_failed) TH_LOG("open: %d", result.ret);
			nr_open_failed++;
		} else {
			ASSERT_TRUE(device_dirty(result.device, dirty));
			nr_open++;
		}

		device_close(result.device);
		EXPECT_EQ(self->cache_line_size,
			  sysfs_config_readb(device_bdf, PCI_CACHE_LINE_SIZE)) {
			TH_LOG("Not restored, with allocation %u failing", nth);
			/* Don't let the next round take this for good */
			sysfs_config_write(device_bdf, PCI_CACHE_LINE_SIZE,
					   self->cache_line_size, u8);
		}
	} while (result.alloc_failed);

	TH_LOG("%u opens failed, %u did not", nr_open_failed, nr_open);
	ASSERT_NE(0, nr_open_failed);
}

int main(int argc, char *argv[])
{
	device_bdf = vfio_selftests_get_bdf(&argc, argv);
	return test_harness_run(argc, argv);
}
