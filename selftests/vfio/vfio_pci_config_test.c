// SPDX-License-Identifier: GPL-2.0-only
/*
 * Does virtualized configuration space behave like that of hardware?
 *
 * What is expected: Documentation/driver-api/vfio-pci-reset-state.rst
 */
#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include <libvfio.h>

#include "kselftest_harness.h"

static const char *device_bdf;

FIXTURE(vfio_pci_config_test) {
	struct iommu *iommu;
	struct vfio_pci_device *device;
};

FIXTURE_SETUP(vfio_pci_config_test)
{
	self->iommu = iommu_init(default_iommu_mode);
	self->device = vfio_pci_device_init(device_bdf, self->iommu);
}

FIXTURE_TEARDOWN(vfio_pci_config_test)
{
	vfio_pci_device_cleanup(self->device);
	iommu_cleanup(self->iommu);
}

TEST_F(vfio_pci_config_test, msi_read_only)
{
	const u16 read_only = (u16)~(PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE);
	u8 msi = sysfs_config_find_capability(device_bdf, PCI_CAP_ID_MSI);
	u32 address = 0xfee00000;
	u16 flags;

	if (!msi)
		SKIP(return, "Device does not have MSI");

	flags = sysfs_config_readw(device_bdf, msi + PCI_MSI_FLAGS);
	ASSERT_EQ(flags & read_only,
		  vfio_pci_config_readw(self->device, msi + PCI_MSI_FLAGS) & read_only);

	/* Writes do get there */
	vfio_pci_config_writel(self->device, msi + PCI_MSI_ADDRESS_LO, address);
	ASSERT_EQ(address, vfio_pci_config_readl(self->device, msi + PCI_MSI_ADDRESS_LO));

	vfio_pci_config_writew(self->device, msi + PCI_MSI_FLAGS, flags ^ read_only);
	EXPECT_EQ(flags & read_only,
		  vfio_pci_config_readw(self->device, msi + PCI_MSI_FLAGS) & read_only);
	EXPECT_EQ(PCI_CAP_ID_MSI,
		  vfio_pci_config_readb(self->device, msi + PCI_CAP_LIST_ID));
	EXPECT_EQ(flags, sysfs_config_readw(device_bdf, msi + PCI_MSI_FLAGS));
}

int main(int argc, char *argv[])
{
	device_bdf = vfio_selftests_get_bdf(&argc, argv);
	return test_harness_run(argc, argv);
}
