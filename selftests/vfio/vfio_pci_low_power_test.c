// SPDX-License-Identifier: GPL-2.0-only
/*
 * What has a device after a while in D3hot, or in the low power that its user
 * has asked for?
 *
 * vfio_pci_dmabuf_test has the same for dma-bufs, vfio_pci_intx_test for INTx.
 *
 * What is expected: Documentation/driver-api/vfio-pci-reset-state.rst
 */
#include <stdlib.h>

#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include <libvfio.h>

#include "kselftest_harness.h"

/* Time that a device may take to suspend */
#define SUSPEND_MS 2000

static const char *device_bdf;

FIXTURE(vfio_pci_low_power_test) {
	struct iommu *iommu;
	struct vfio_pci_device *device;
	u8 pm;
};

FIXTURE_VARIANT(vfio_pci_low_power_test) {
	bool low_power;
	bool d3hot;
};

/* VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY */
FIXTURE_VARIANT_ADD(vfio_pci_low_power_test, low_power) {
	.low_power = true,
};

/* By a write to the PM capability */
FIXTURE_VARIANT_ADD(vfio_pci_low_power_test, d3hot) {
	.d3hot = true,
};

/* Low power of a device that the user has put in D3hot ends in D0 */
FIXTURE_VARIANT_ADD(vfio_pci_low_power_test, low_power_d3hot) {
	.low_power = true,
	.d3hot = true,
};

FIXTURE_SETUP(vfio_pci_low_power_test)
{
	self->iommu = iommu_init(default_iommu_mode);
	self->device = vfio_pci_device_init(device_bdf, self->iommu);
	self->pm = sysfs_config_find_capability(device_bdf, PCI_CAP_ID_PM);
	vfio_pci_cmd_set(self->device, PCI_COMMAND_MEMORY);

	if (!self->pm)
		SKIP(return, "Device does not have Power Management");
	if (variant->low_power && !sysfs_device_has_pm(device_bdf))
		SKIP(return, "Kernel does not have power management");
}

FIXTURE_TEARDOWN(vfio_pci_low_power_test)
{
	vfio_pci_device_cleanup(self->device);
	iommu_cleanup(self->iommu);
}

static void feature_set(struct vfio_pci_device *device, u32 feature)
{
	VFIO_ASSERT_EQ(vfio_device_feature_ioctl(device->fd, VFIO_DEVICE_FEATURE_SET | feature,
						 NULL, 0), 0);
}

static u16 power_state(u8 pm)
{
	return sysfs_config_readw(device_bdf, pm + PCI_PM_CTRL) & PCI_PM_CTRL_STATE_MASK;
}

static void low_power_entry(struct vfio_pci_device *device, u8 pm, bool low_power,
			    bool d3hot)
{
	if (d3hot) {
		vfio_pci_config_writew(device, pm + PCI_PM_CTRL, D3HOT);
		VFIO_ASSERT_EQ(power_state(pm), D3HOT);
	}
	if (low_power) {
		feature_set(device, VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY);
		VFIO_ASSERT_TRUE(sysfs_device_suspends(device_bdf, SUSPEND_MS));
	}
}

static void low_power_exit(struct vfio_pci_device *device, u8 pm, bool low_power)
{
	if (low_power)
		feature_set(device, VFIO_DEVICE_FEATURE_LOW_POWER_EXIT);
	else
		vfio_pci_config_writew(device, pm + PCI_PM_CTRL, D0);
	VFIO_ASSERT_EQ(power_state(pm), D0);
}

#define ENTRY() low_power_entry(self->device, self->pm, variant->low_power, variant->d3hot)
#define EXIT() low_power_exit(self->device, self->pm, variant->low_power)

TEST_F(vfio_pci_low_power_test, state)
{
	struct vfio_pci_state *before = vfio_pci_state_alloc();
	struct vfio_pci_state *after = vfio_pci_state_alloc();

	vfio_pci_state_fill(self->device);
	if (self->device->msix_info.count)
		vfio_pci_msix_enable(self->device, 0, 1);
	vfio_pci_cmd_set(self->device, PCI_COMMAND_MASTER);
	vfio_pci_state_read(self->device, before);

	ENTRY();
	EXIT();

	vfio_pci_state_read(self->device, after);
	ASSERT_EQ(0, vfio_pci_state_diff(before, after));

	free(before);
	free(after);
}

TEST_F(vfio_pci_low_power_test, mapping)
{
	struct vfio_pci_bar *bar = vfio_pci_mapped_bar(self->device);

	if (!bar)
		SKIP(return, "Device does not have a BAR that can be mapped");

	ASSERT_TRUE(vfio_pci_mapping_works(bar->vaddr));

	ENTRY();
	ASSERT_FALSE(vfio_pci_mapping_works(bar->vaddr));
	vfio_pci_cmd_set(self->device, PCI_COMMAND_MEMORY);
	ASSERT_FALSE(vfio_pci_mapping_works(bar->vaddr));
	EXIT();
	ASSERT_TRUE(vfio_pci_mapping_works(bar->vaddr));

	vfio_pci_cmd_clear(self->device, PCI_COMMAND_MEMORY);
	ENTRY();
	EXIT();
	ASSERT_FALSE(vfio_pci_mapping_works(bar->vaddr));

	vfio_pci_cmd_set(self->device, PCI_COMMAND_MEMORY);
	ASSERT_TRUE(vfio_pci_mapping_works(bar->vaddr));
}

int main(int argc, char *argv[])
{
	device_bdf = vfio_selftests_get_bdf(&argc, argv);
	return test_harness_run(argc, argv);
}
