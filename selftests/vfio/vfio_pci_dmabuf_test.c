// SPDX-License-Identifier: GPL-2.0-only
/*
 * Is a dma-buf of a BAR usable if, and only if, the BAR may be accessed?
 *
 * What is expected: Documentation/driver-api/vfio-pci-reset-state.rst
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/eventfd.h>

#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include <libvfio.h>

#include "kselftest_harness.h"

/* Time that a device may take to suspend */
#define SUSPEND_MS 2000

static const char *device_bdf;

FIXTURE(vfio_pci_dmabuf_test) {
	struct iommu *iommu;
	struct vfio_pci_device *device;
	int dmabuf;
	u8 pm;
};

FIXTURE_SETUP(vfio_pci_dmabuf_test)
{
	int ret;

	self->iommu = iommu_init(MODE_IOMMUFD);
	self->device = vfio_pci_device_init(device_bdf, self->iommu);
	self->pm = sysfs_config_find_capability(device_bdf, PCI_CAP_ID_PM);

	if (!vfio_pci_mapped_bar(self->device))
		SKIP(return, "Device does not have a BAR that can be mapped");

	vfio_pci_cmd_set(self->device, PCI_COMMAND_MEMORY);
	self->dmabuf = vfio_pci_dmabuf_export(self->device);
	if (self->dmabuf == -ENOTTY || self->dmabuf == -EOPNOTSUPP)
		SKIP(return, "Kernel does not support dma-bufs of a BAR");
	VFIO_ASSERT_GE(self->dmabuf, 0);

	ret = iommu_dmabuf_try_map(self->iommu, self->dmabuf);
	if (ret && ret != -ENODEV)
		SKIP(return, "Kernel does not support mapping a dma-buf: %d", ret);
	ASSERT_EQ(0, ret);
}

FIXTURE_TEARDOWN(vfio_pci_dmabuf_test)
{
	ASSERT_EQ(0, close(self->dmabuf));
	vfio_pci_device_cleanup(self->device);
	iommu_cleanup(self->iommu);
}

#define ASSERT_USABLE(_dmabuf) \
	ASSERT_EQ(0, iommu_dmabuf_try_map(self->iommu, _dmabuf))
#define ASSERT_REVOKED(_dmabuf) \
	ASSERT_EQ(-ENODEV, iommu_dmabuf_try_map(self->iommu, _dmabuf))

static int low_power_entry(struct vfio_pci_device *device)
{
	return vfio_device_feature_ioctl(device->fd, VFIO_DEVICE_FEATURE_SET |
					 VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY,
					 NULL, 0);
}

static int low_power_exit(struct vfio_pci_device *device)
{
	return vfio_device_feature_ioctl(device->fd, VFIO_DEVICE_FEATURE_SET |
					 VFIO_DEVICE_FEATURE_LOW_POWER_EXIT,
					 NULL, 0);
}

/* If this fails, the other tests mean nothing */
TEST_F(vfio_pci_dmabuf_test, memory_space)
{
	vfio_pci_cmd_clear(self->device, PCI_COMMAND_MEMORY);
	ASSERT_REVOKED(self->dmabuf);
	vfio_pci_cmd_set(self->device, PCI_COMMAND_MEMORY);
	ASSERT_USABLE(self->dmabuf);
	vfio_pci_device_reset(self->device);
	ASSERT_USABLE(self->dmabuf);
}

struct mapper {
	struct iommu *iommu;
	int dmabuf;
	atomic_bool stop;
	atomic_int nr_mapped;
	int nr_revoked;
	int error;
};

static void *thread_map(void *arg)
{
	struct mapper *mapper = arg;
	int ret;

	while (!mapper->stop) {
		ret = iommu_dmabuf_try_map(mapper->iommu, mapper->dmabuf);
		if (!ret)
			mapper->nr_mapped++;
		else if (ret == -ENODEV)
			mapper->nr_revoked++;
		else
			mapper->error = ret;
		usleep(1000);
	}

	return NULL;
}

/* Nobody can map it during a reset, which takes at least 100 ms if it is an FLR */
TEST_F(vfio_pci_dmabuf_test, reset_meanwhile)
{
	struct mapper mapper = { .iommu = self->iommu, .dmabuf = self->dmabuf };
	char method[64];
	pthread_t thread;

	if (!(self->device->info.flags & VFIO_DEVICE_FLAGS_RESET))
		SKIP(return, "Device does not support reset");
	sysfs_device_attr_get(device_bdf, "reset_method", method, sizeof(method));
	if (strncmp(method, "flr", 3))
		SKIP(return, "A reset by %s may be too short", method);

	ASSERT_EQ(0, pthread_create(&thread, NULL, thread_map, &mapper));
	while (!mapper.nr_mapped && !mapper.error)
		usleep(1000);
	vfio_pci_device_reset(self->device);
	mapper.stop = true;
	ASSERT_EQ(0, pthread_join(thread, NULL));

	EXPECT_EQ(0, mapper.error);
	EXPECT_LT(0, mapper.nr_revoked);
	ASSERT_USABLE(self->dmabuf);
}

TEST_F(vfio_pci_dmabuf_test, d3hot)
{
	if (!self->pm)
		SKIP(return, "Device does not have Power Management");

	vfio_pci_config_writew(self->device, self->pm + PCI_PM_CTRL, D3HOT);
	ASSERT_REVOKED(self->dmabuf);
	vfio_pci_cmd_set(self->device, PCI_COMMAND_MEMORY);
	ASSERT_REVOKED(self->dmabuf);
	vfio_pci_config_writew(self->device, self->pm + PCI_PM_CTRL, D0);
	ASSERT_USABLE(self->dmabuf);
}

/* The device suspends, so whatever the user does next has to resume it */
#define LOW_POWER_ENTRY() do {				\
	ASSERT_EQ(0, low_power_entry(self->device));	\
	ASSERT_TRUE(sysfs_device_suspends(device_bdf, SUSPEND_MS));			\
	ASSERT_REVOKED(self->dmabuf);			\
} while (0)

#define LOW_POWER_EXIT() do {				\
	ASSERT_EQ(0, low_power_exit(self->device));	\
	ASSERT_USABLE(self->dmabuf);			\
} while (0)

TEST_F(vfio_pci_dmabuf_test, low_power)
{
	if (!sysfs_device_has_pm(device_bdf))
		SKIP(return, "Kernel does not have power management");
	LOW_POWER_ENTRY();
	LOW_POWER_EXIT();
}

TEST_F(vfio_pci_dmabuf_test, low_power_command)
{
	if (!sysfs_device_has_pm(device_bdf))
		SKIP(return, "Kernel does not have power management");
	LOW_POWER_ENTRY();
	vfio_pci_cmd_set(self->device, PCI_COMMAND_MEMORY);
	ASSERT_TRUE(sysfs_device_suspends(device_bdf, SUSPEND_MS));
	ASSERT_REVOKED(self->dmabuf);
	LOW_POWER_EXIT();
}

TEST_F(vfio_pci_dmabuf_test, low_power_pm)
{
	if (!self->pm)
		SKIP(return, "Device does not have Power Management");

	if (!sysfs_device_has_pm(device_bdf))
		SKIP(return, "Kernel does not have power management");
	LOW_POWER_ENTRY();
	vfio_pci_config_writew(self->device, self->pm + PCI_PM_CTRL, D0);
	ASSERT_TRUE(sysfs_device_suspends(device_bdf, SUSPEND_MS));
	ASSERT_REVOKED(self->dmabuf);
	LOW_POWER_EXIT();
}

TEST_F(vfio_pci_dmabuf_test, low_power_reset)
{
	if (!(self->device->info.flags & VFIO_DEVICE_FLAGS_RESET))
		SKIP(return, "Device does not support reset");

	if (!sysfs_device_has_pm(device_bdf))
		SKIP(return, "Kernel does not have power management");
	LOW_POWER_ENTRY();
	vfio_pci_device_reset(self->device);
	ASSERT_TRUE(sysfs_device_suspends(device_bdf, SUSPEND_MS));
	ASSERT_REVOKED(self->dmabuf);
	LOW_POWER_EXIT();
}

TEST_F(vfio_pci_dmabuf_test, low_power_export)
{
	int dmabuf;

	if (!sysfs_device_has_pm(device_bdf))
		SKIP(return, "Kernel does not have power management");
	LOW_POWER_ENTRY();
	dmabuf = vfio_pci_dmabuf_export(self->device);
	ASSERT_LE(0, dmabuf);
	ASSERT_TRUE(sysfs_device_suspends(device_bdf, SUSPEND_MS));
	ASSERT_REVOKED(dmabuf);
	LOW_POWER_EXIT();
	ASSERT_USABLE(dmabuf);
	ASSERT_EQ(0, close(dmabuf));
}

/* Once there was a notification, LOW_POWER_EXIT is optional */
TEST_F(vfio_pci_dmabuf_test, low_power_wakeup)
{
	struct vfio_device_low_power_entry_with_wakeup entry = {};
	u64 value = 0;

	if (!sysfs_device_has_pm(device_bdf))
		SKIP(return, "Kernel does not have power management");

	entry.wakeup_eventfd = eventfd(0, EFD_NONBLOCK);
	ASSERT_LE(0, entry.wakeup_eventfd);
	ASSERT_EQ(0, vfio_device_feature_ioctl(self->device->fd, VFIO_DEVICE_FEATURE_SET |
					       VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
					       &entry, sizeof(entry)));
	ASSERT_TRUE(sysfs_device_suspends(device_bdf, SUSPEND_MS));
	ASSERT_REVOKED(self->dmabuf);
	ASSERT_EQ(-1, read(entry.wakeup_eventfd, &value, sizeof(value)));

	vfio_pci_config_readw(self->device, PCI_COMMAND);
	ASSERT_EQ(sizeof(value), read(entry.wakeup_eventfd, &value, sizeof(value)));
	ASSERT_FALSE(sysfs_device_suspends(device_bdf, SUSPEND_MS));
	ASSERT_USABLE(self->dmabuf);
	ASSERT_EQ(0, close(entry.wakeup_eventfd));
}

/* The next user must not share the device with whoever holds one of this user */
TEST_F(vfio_pci_dmabuf_test, close)
{
	int dmabuf;

	vfio_pci_device_cleanup(self->device);
	ASSERT_REVOKED(self->dmabuf);

	self->device = vfio_pci_device_init(device_bdf, self->iommu);
	vfio_pci_cmd_set(self->device, PCI_COMMAND_MEMORY);
	ASSERT_REVOKED(self->dmabuf);

	dmabuf = vfio_pci_dmabuf_export(self->device);
	ASSERT_LE(0, dmabuf);
	ASSERT_USABLE(dmabuf);
	ASSERT_REVOKED(self->dmabuf);
	ASSERT_EQ(0, close(dmabuf));
}

int main(int argc, char *argv[])
{
	device_bdf = vfio_selftests_get_bdf(&argc, argv);
	return test_harness_run(argc, argv);
}
