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

/* The next user finds what this one found, in what is not in hardware as well */
TEST_F(vfio_pci_config_test, close)
{
	static const u8 virtualized[] = {
		PCI_BASE_ADDRESS_0, PCI_BASE_ADDRESS_1, PCI_BASE_ADDRESS_2,
		PCI_BASE_ADDRESS_3, PCI_BASE_ADDRESS_4, PCI_BASE_ADDRESS_5,
		PCI_ROM_ADDRESS, PCI_INTERRUPT_LINE,
	};
	u8 msi = sysfs_config_find_capability(device_bdf, PCI_CAP_ID_MSI);
	u32 opened[ARRAY_SIZE(virtualized)], address = 0;
	int i, nr_written = 0;
	u16 cmd;

	cmd = vfio_pci_config_readw(self->device, PCI_COMMAND);
	vfio_pci_config_writew(self->device, PCI_COMMAND, cmd ^ PCI_COMMAND_INTX_DISABLE);
	ASSERT_EQ(cmd ^ PCI_COMMAND_INTX_DISABLE,
		  vfio_pci_config_readw(self->device, PCI_COMMAND));

	for (i = 0; i < ARRAY_SIZE(virtualized); i++) {
		opened[i] = vfio_pci_config_readl(self->device, virtualized[i]);
		vfio_pci_config_writel(self->device, virtualized[i], ~opened[i]);
		nr_written += vfio_pci_config_readl(self->device, virtualized[i]) != opened[i];
	}
	ASSERT_NE(0, nr_written);

	if (msi) {
		address = vfio_pci_config_readl(self->device, msi + PCI_MSI_ADDRESS_LO);
		vfio_pci_config_writel(self->device, msi + PCI_MSI_ADDRESS_LO, ~address);
		ASSERT_NE(address, vfio_pci_config_readl(self->device, msi + PCI_MSI_ADDRESS_LO));
	}

	vfio_pci_device_cleanup(self->device);
	self->device = vfio_pci_device_init(device_bdf, self->iommu);

	EXPECT_EQ(cmd, vfio_pci_config_readw(self->device, PCI_COMMAND));
	for (i = 0; i < ARRAY_SIZE(virtualized); i++) {
		EXPECT_EQ(opened[i], vfio_pci_config_readl(self->device, virtualized[i]))
			TH_LOG("at 0x%02x", virtualized[i]);
	}
	if (msi) {
		EXPECT_EQ(address,
			  vfio_pci_config_readl(self->device, msi + PCI_MSI_ADDRESS_LO));
	}
}

int main(int argc, char *argv[])
{
	device_bdf = vfio_selftests_get_bdf(&argc, argv);
	return test_harness_run(argc, argv);
}
