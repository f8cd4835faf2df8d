// SPDX-License-Identifier: GPL-2.0-only
/*
 * Is a device that is reset in D3hot the same as before?
 *
 * A device with No_Soft_Reset clear loses its state on the way from D3hot to
 * D0 (PCIe r6.0, sec 5.3.1.4.1 and 7.5.2.2).  Many don't, in particular emulated
 * ones.  So clear in its stead what it would lose, through sysfs and thus
 * behind the back of vfio, while the device is in D3hot.
 *
 * What is expected: Documentation/driver-api/vfio-pci-reset-state.rst
 */
#include <string.h>
#include <unistd.h>

#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include <libvfio.h>

#include "kselftest_harness.h"

#define CACHE_LINE_SIZE	0x10
#define DEVCTL_MASK	(PCI_EXP_DEVCTL_CERE | PCI_EXP_DEVCTL_NFERE | \
			 PCI_EXP_DEVCTL_FERE | PCI_EXP_DEVCTL_URRE)

static const char *device_bdf;

FIXTURE(vfio_pci_d3hot_test) {
	struct iommu *iommu;
	struct vfio_pci_device *device;
	u8 pm, exp, af;
};

enum reset { RESET_IOCTL, RESET_EXP, RESET_AF };

FIXTURE_VARIANT(vfio_pci_d3hot_test) {
	enum reset reset;
};

FIXTURE_VARIANT_ADD(vfio_pci_d3hot_test, ioctl) { .reset = RESET_IOCTL };
FIXTURE_VARIANT_ADD(vfio_pci_d3hot_test, exp_flr) { .reset = RESET_EXP };
FIXTURE_VARIANT_ADD(vfio_pci_d3hot_test, af_flr) { .reset = RESET_AF };

FIXTURE_SETUP(vfio_pci_d3hot_test)
{
	self->iommu = iommu_init(default_iommu_mode);
	self->device = vfio_pci_device_init(device_bdf, self->iommu);
	self->pm = sysfs_config_find_capability(device_bdf, PCI_CAP_ID_PM);
	self->exp = sysfs_config_find_capability(device_bdf, PCI_CAP_ID_EXP);
	self->af = sysfs_config_find_capability(device_bdf, PCI_CAP_ID_AF);

	if (!self->pm)
		SKIP(return, "Device does not have Power Management");
	if (sysfs_config_readw(device_bdf, self->pm + PCI_PM_CTRL) & PCI_PM_CTRL_NO_SOFT_RESET)
		SKIP(return, "Device has No_Soft_Reset set");
	if (!(self->device->info.flags & VFIO_DEVICE_FLAGS_RESET))
		SKIP(return, "Device does not support reset");
	if (variant->reset == RESET_EXP &&
	    (!self->exp || !(sysfs_config_readl(device_bdf, self->exp + PCI_EXP_DEVCAP) &
			     PCI_EXP_DEVCAP_FLR)))
		SKIP(return, "Device does not have FLR");
	if (variant->reset == RESET_AF &&
	    (!self->af || !(sysfs_config_readb(device_bdf, self->af + PCI_AF_CAP) &
			    PCI_AF_CAP_FLR)))
		SKIP(return, "Device does not have Advanced Features FLR");
}

FIXTURE_TEARDOWN(vfio_pci_d3hot_test)
{
	vfio_pci_device_cleanup(self->device);
	iommu_cleanup(self->iommu);
}

static void device_reset(struct vfio_pci_device *device, enum reset reset, u8 exp, u8 af)
{
	u16 devctl;

	switch (reset) {
	case RESET_IOCTL:
		vfio_pci_device_reset(device);
		break;
	case RESET_EXP:
		devctl = vfio_pci_config_readw(device, exp + PCI_EXP_DEVCTL);
		vfio_pci_config_writew(device, exp + PCI_EXP_DEVCTL,
				       devctl | PCI_EXP_DEVCTL_BCR_FLR);
		break;
	case RESET_AF:
		vfio_pci_config_writeb(device, af + PCI_AF_CTRL, PCI_AF_CTRL_FLR);
		break;
	}
}

static void device_set_power_state(struct vfio_pci_device *device, u8 pm, u16 state)
{
	u16 pmcsr = vfio_pci_config_readw(device, pm + PCI_PM_CTRL);

	vfio_pci_config_writew(device, pm + PCI_PM_CTRL,
			       (pmcsr & ~PCI_PM_CTRL_STATE_MASK) | state);
	pmcsr = sysfs_config_readw(device_bdf, pm + PCI_PM_CTRL);
	VFIO_ASSERT_EQ(pmcsr & PCI_PM_CTRL_STATE_MASK, state);
}

TEST_F(vfio_pci_d3hot_test, reset)
{
	u16 command, devctl = 0, pmcsr;
	u8 cache_line_size;

	vfio_pci_cmd_set(self->device, PCI_COMMAND_MEMORY);
	vfio_pci_config_writeb(self->device, PCI_CACHE_LINE_SIZE, CACHE_LINE_SIZE);
	command = sysfs_config_readw(device_bdf, PCI_COMMAND);
	cache_line_size = sysfs_config_readb(device_bdf, PCI_CACHE_LINE_SIZE);
	ASSERT_TRUE(command & PCI_COMMAND_MEMORY);
	if (self->exp) {
		devctl = sysfs_config_readw(device_bdf, self->exp + PCI_EXP_DEVCTL) | DEVCTL_MASK;
		vfio_pci_config_writew(self->device, self->exp + PCI_EXP_DEVCTL, devctl);
		devctl = sysfs_config_readw(device_bdf, self->exp + PCI_EXP_DEVCTL);
	}

	device_set_power_state(self->device, self->pm, D3HOT);

	sysfs_config_writew(device_bdf, PCI_COMMAND, 0);
	sysfs_config_write(device_bdf, PCI_CACHE_LINE_SIZE, 0, u8);
	ASSERT_EQ(0, sysfs_config_readw(device_bdf, PCI_COMMAND));
	/* The reset by config write needs the other bits of the register */
	if (self->exp && variant->reset != RESET_EXP)
		sysfs_config_writew(device_bdf, self->exp + PCI_EXP_DEVCTL, 0);

	device_reset(self->device, variant->reset, self->exp, self->af);

	pmcsr = sysfs_config_readw(device_bdf, self->pm + PCI_PM_CTRL);
	ASSERT_EQ(D0, pmcsr & PCI_PM_CTRL_STATE_MASK);
	EXPECT_EQ(command, sysfs_config_readw(device_bdf, PCI_COMMAND));
	EXPECT_EQ(cache_line_size, sysfs_config_readb(device_bdf, PCI_CACHE_LINE_SIZE));
	if (self->exp)
		EXPECT_EQ(devctl, sysfs_config_readw(device_bdf, self->exp + PCI_EXP_DEVCTL));
}

int main(int argc, char *argv[])
{
	device_bdf = vfio_selftests_get_bdf(&argc, argv);
	return test_harness_run(argc, argv);
}
