// SPDX-License-Identifier: GPL-2.0-only
/*
 * Is a device reset once between two users, and not twice?
 *
 * Needs a device that can be reset on its own, bound to vfio-pci.
 *
 * What is expected: Documentation/driver-api/vfio-pci-reset-state.rst
 */
#include <stdlib.h>

#include <sys/ioctl.h>

#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include <libvfio.h>

#include "kselftest_harness.h"

static const char *device_bdf;

FIXTURE(vfio_pci_reopen_test) {
	struct iommu *iommu;
	struct vfio_pci_state *before;
	struct vfio_pci_state *after;
};

FIXTURE_SETUP(vfio_pci_reopen_test)
{
	struct vfio_pci_device *device;
	bool can_reset;

	self->before = vfio_pci_state_alloc();
	self->after = vfio_pci_state_alloc();
	self->iommu = iommu_init(default_iommu_mode);
	device = vfio_pci_device_init(device_bdf, self->iommu);
	can_reset = device->info.flags & VFIO_DEVICE_FLAGS_RESET;
	vfio_pci_state_read(device, self->before);
	/* Leave something behind, which must not be there next time */
	vfio_pci_state_fill(device);
	vfio_pci_device_cleanup(device);

	if (!can_reset)
		SKIP(return, "Device does not support reset");
	if (kprobe_add("__pci_reset_function_locked"))
		SKIP(return, "Cannot add a kprobe");
}

FIXTURE_TEARDOWN(vfio_pci_reopen_test)
{
	kprobe_remove();
	iommu_cleanup(self->iommu);
	free(self->before);
	free(self->after);
}

TEST_F(vfio_pci_reopen_test, once)
{
	struct vfio_pci_device *device;
	unsigned long hits;
	u64 start;

	hits = kprobe_hits();
	start = monotonic_ms();
	device = vfio_pci_device_init(device_bdf, self->iommu);
	printf("Opened again in %lu ms\n", (unsigned long)(monotonic_ms() - start));
	ASSERT_EQ(hits, kprobe_hits());

	vfio_pci_state_read(device, self->after);
	ASSERT_EQ(0, vfio_pci_state_diff(self->before, self->after));
	vfio_pci_device_cleanup(device);
	ASSERT_EQ(hits + 1, kprobe_hits());
}

/* A device that was bound since may have been used by another driver */
TEST_F(vfio_pci_reopen_test, bound)
{
	char *driver = sysfs_driver_get(device_bdf);
	struct vfio_pci_device *device;
	unsigned long hits;

	sysfs_driver_unbind(device_bdf);
	sysfs_driver_bind(device_bdf, driver);
	free(driver);

	hits = kprobe_hits();
	device = vfio_pci_device_init(device_bdf, self->iommu);
	ASSERT_EQ(hits + 1, kprobe_hits());
	vfio_pci_device_cleanup(device);
}

int main(int argc, char *argv[])
{
	device_bdf = vfio_selftests_get_bdf(&argc, argv);
	return test_harness_run(argc, argv);
}
