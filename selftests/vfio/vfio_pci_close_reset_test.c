// SPDX-License-Identifier: GPL-2.0-only
/*
 * Is the driver told of the reset of a device when its last user closes it?
 *
 * What is expected: Documentation/driver-api/vfio-pci-reset-state.rst
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/kernel.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include <libvfio.h>

#include "kselftest_harness.h"

static const char *device_bdf;

/* Drivers whose reset_done() callback can be watched by means of a kprobe */
static const struct {
	const char *driver;
	const char *reset_done;
} variants[] = {
	{ "hisi-acc-vfio-pci",		"hisi_acc_vf_pci_aer_reset_done" },
	{ "mlx5_vfio_pci",		"mlx5vf_pci_aer_reset_done" },
	{ "nvgrace_gpu_vfio_pci",	"nvgrace_gpu_vfio_pci_reset_done" },
	{ "pds_vfio_pci",		"pds_vfio_pci_aer_reset_done" },
	{ "qat_vfio_pci",		"qat_vf_pci_aer_reset_done" },
	{ "virtio_vfio_pci",		"virtiovf_pci_aer_reset_done" },
	{ "xe-vfio-pci",		"xe_vfio_pci_reset_done" },
};

static bool device_can_reset(struct iommu *iommu)
{
	struct vfio_pci_device *device = vfio_pci_device_init(device_bdf, iommu);
	bool can_reset = device->info.flags & VFIO_DEVICE_FLAGS_RESET;

	vfio_pci_device_cleanup(device);
	return can_reset;
}

FIXTURE(vfio_pci_close_callback_test) {
	struct iommu *iommu;
	bool has_kprobe;
};

FIXTURE_SETUP(vfio_pci_close_callback_test)
{
	char *driver = sysfs_driver_get(device_bdf);
	const char *symbol = NULL;
	int i;

	VFIO_ASSERT_NOT_NULL(driver);
	for (i = 0; i < ARRAY_SIZE(variants); i++)
		if (!strcmp(driver, variants[i].driver))
			symbol = variants[i].reset_done;
	free(driver);

	if (!symbol)
		SKIP(return, "Driver does not have a reset_done() callback");

	self->iommu = iommu_init(default_iommu_mode);
	if (!device_can_reset(self->iommu))
		SKIP(return, "Device does not support reset");

	if (kprobe_add(symbol))
		SKIP(return, "Cannot add a kprobe");
	self->has_kprobe = true;
}

/* After the end of the test process, wherever it has ended */
FIXTURE_TEARDOWN_PARENT(vfio_pci_close_callback_test)
{
	if (self->has_kprobe)
		kprobe_remove();
}

TEST_F(vfio_pci_close_callback_test, reset_done)
{
	struct vfio_pci_device *device;
	unsigned long hits;

	device = vfio_pci_device_init(device_bdf, self->iommu);

	/* This tells that the probe works */
	hits = kprobe_hits();
	vfio_pci_device_reset(device);
	ASSERT_EQ(hits + 1, kprobe_hits());

	hits = kprobe_hits();
	vfio_pci_device_cleanup(device);
	ASSERT_EQ(hits + 1, kprobe_hits());
}

int main(int argc, char *argv[])
{
	device_bdf = vfio_selftests_get_bdf(&argc, argv);
	return test_harness_run(argc, argv);
}
