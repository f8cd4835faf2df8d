// SPDX-License-Identifier: GPL-2.0-only
/*
 * INTx is as usable after MSI and MSI-X as it was before.
 *
 * Best run with vfio_pci.nointxmask=1: if vfio-pci masks INTx in the device,
 * it clears INTx Disable on each enabling of INTx.
 *
 * What is expected: Documentation/driver-api/vfio-pci-reset-state.rst
 */
#include <poll.h>
#include <unistd.h>

#include <linux/io.h>
#include <linux/pci_ids.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include <libvfio.h>

#include "kselftest_harness.h"
#include "lib/drivers/igb/e1000_defines.h"
#include "lib/drivers/igb/e1000_regs.h"

#define PCI_DEVICE_ID_INTEL_82574L	0x10d3
#define PCI_DEVICE_ID_INTEL_82576	0x10c9

/* Time that a device may take to suspend */
#define SUSPEND_MS 2000

static const char *device_bdf;

FIXTURE(vfio_pci_intx_test) {
	struct iommu *iommu;
	struct vfio_pci_device *device;
};

FIXTURE_VARIANT(vfio_pci_intx_test) {
	int irq_index;
	bool reset;
};

FIXTURE_VARIANT_ADD(vfio_pci_intx_test, msi) {
	.irq_index = VFIO_PCI_MSI_IRQ_INDEX,
};

FIXTURE_VARIANT_ADD(vfio_pci_intx_test, msi_reset) {
	.irq_index = VFIO_PCI_MSI_IRQ_INDEX,
	.reset = true,
};

FIXTURE_VARIANT_ADD(vfio_pci_intx_test, msix) {
	.irq_index = VFIO_PCI_MSIX_IRQ_INDEX,
};

FIXTURE_VARIANT_ADD(vfio_pci_intx_test, msix_reset) {
	.irq_index = VFIO_PCI_MSIX_IRQ_INDEX,
	.reset = true,
};

FIXTURE_SETUP(vfio_pci_intx_test)
{
	struct vfio_pci_device *device;

	self->iommu = iommu_init(default_iommu_mode);
	self->device = vfio_pci_device_init(device_bdf, self->iommu);
	device = self->device;

	if (!device->intx_info.count)
		SKIP(return, "INTx not supported");

	if (variant->irq_index == VFIO_PCI_MSI_IRQ_INDEX && !device->msi_info.count)
		SKIP(return, "MSI not supported");

	if (variant->irq_index == VFIO_PCI_MSIX_IRQ_INDEX && !device->msix_info.count)
		SKIP(return, "MSI-X not supported");

	if (variant->reset && !(device->info.flags & VFIO_DEVICE_FLAGS_RESET))
		SKIP(return, "Device does not support reset");
}

FIXTURE_TEARDOWN(vfio_pci_intx_test)
{
	vfio_pci_device_cleanup(self->device);
	iommu_cleanup(self->iommu);
}

/* Is INTx disabled in the hardware?  What the user sees is a virtual bit. */
static bool disintx(void)
{
	return sysfs_config_readw(device_bdf, PCI_COMMAND) & PCI_COMMAND_INTX_DISABLE;
}

/* Use MSI or MSI-X for a while */
static void use_msi(struct vfio_pci_device *device, int irq_index, bool reset)
{
	vfio_pci_irq_enable(device, irq_index, 0, 1);
	if (reset)
		vfio_pci_device_reset(device);
	vfio_pci_irq_disable(device, irq_index);
}

TEST_F(vfio_pci_intx_test, disintx_restored)
{
	bool before = disintx();

	use_msi(self->device, variant->irq_index, variant->reset);
	ASSERT_EQ(before, disintx());
}

TEST_F(vfio_pci_intx_test, disintx_restored_user_disabled)
{
	bool before;

	vfio_pci_cmd_set(self->device, PCI_COMMAND_INTX_DISABLE);
	before = disintx();

	use_msi(self->device, variant->irq_index, variant->reset);
	ASSERT_EQ(before, disintx());
}

/*
 * vfio-pci enables this to reach the MSI-X table.  It must not leave it so, nor
 * take anything else back with it.
 */
TEST_F(vfio_pci_intx_test, memory_stays_disabled)
{
	u16 before;

	vfio_pci_cmd_clear(self->device, PCI_COMMAND_MEMORY);
	before = sysfs_config_readw(device_bdf, PCI_COMMAND);
	ASSERT_FALSE(before & PCI_COMMAND_MEMORY);

	use_msi(self->device, variant->irq_index, variant->reset);
	ASSERT_EQ(before, sysfs_config_readw(device_bdf, PCI_COMMAND));
}

/* These have the same registers for what is used here */
static bool is_e1000(struct vfio_pci_device *device)
{
	return vfio_pci_device_match(device, PCI_VENDOR_ID_INTEL,
				     PCI_DEVICE_ID_INTEL_82574L) ||
	       vfio_pci_device_match(device, PCI_VENDOR_ID_INTEL,
				     PCI_DEVICE_ID_INTEL_82576);
}

/* Have the device raise INTx, and see whether it arrives */
static bool e1000_intx_raise(struct vfio_pci_device *device)
{
	struct pollfd pollfd = { .events = POLLIN, .fd = device->msi_eventfds[0] };
	void *bar0 = device->bars[0].vaddr;
	int ret;

	writel(E1000_ICR_LSC, bar0 + E1000_IMS);
	writel(E1000_ICR_LSC, bar0 + E1000_ICS);

	ret = poll(&pollfd, 1, 1000);
	VFIO_ASSERT_GE(ret, 0);

	return ret;
}

static void e1000_intx_clear(struct vfio_pci_device *device)
{
	void *bar0 = device->bars[0].vaddr;

	/* Reading ICR clears it */
	writel(~0, bar0 + E1000_IMC);
	readl(bar0 + E1000_ICR);
}

static bool e1000_intx_arrives(struct vfio_pci_device *device)
{
	bool ret;

	vfio_pci_intx_enable(device);
	ret = e1000_intx_raise(device);
	e1000_intx_clear(device);
	vfio_pci_intx_disable(device);

	return ret;
}

TEST_F(vfio_pci_intx_test, arrives)
{
	if (!is_e1000(self->device))
		SKIP(return, "Don't know how this device is made to raise INTx");

	ASSERT_TRUE(e1000_intx_arrives(self->device));
	use_msi(self->device, variant->irq_index, variant->reset);
	ASSERT_TRUE(e1000_intx_arrives(self->device));
}

/*
 * Nobody handles INTx that the device asserts while it is turned off.  So what
 * the handler has masked stays masked until INTx is turned on again.
 */
TEST_F(vfio_pci_intx_test, stays_masked)
{
	struct vfio_pci_device *device = self->device;

	if (!is_e1000(device))
		SKIP(return, "Don't know how this device is made to raise INTx");

	vfio_pci_intx_enable(device);
	ASSERT_TRUE(e1000_intx_raise(device));
	vfio_pci_intx_disable(device);
	if (!disintx()) {
		e1000_intx_clear(device);
		SKIP(return, "INTx is masked at the interrupt controller");
	}

	use_msi(device, variant->irq_index, variant->reset);
	ASSERT_TRUE(disintx());

	e1000_intx_clear(device);
	ASSERT_TRUE(e1000_intx_arrives(device));
}

/* Low power leaves INTx masked if, and only if, it was. */
FIXTURE(vfio_pci_intx_low_power_test) {
	struct iommu *iommu;
	struct vfio_pci_device *device;
};

FIXTURE_SETUP(vfio_pci_intx_low_power_test)
{
	self->iommu = iommu_init(default_iommu_mode);
	self->device = vfio_pci_device_init(device_bdf, self->iommu);

	if (!self->device->intx_info.count)
		SKIP(return, "INTx not supported");
	if (!is_e1000(self->device))
		SKIP(return, "Don't know how this device is made to raise INTx");
}

FIXTURE_TEARDOWN(vfio_pci_intx_low_power_test)
{
	vfio_pci_device_cleanup(self->device);
	iommu_cleanup(self->iommu);
}

static void feature_set(struct vfio_pci_device *device, u32 feature)
{
	VFIO_ASSERT_EQ(vfio_device_feature_ioctl(device->fd, VFIO_DEVICE_FEATURE_SET | feature,
						 NULL, 0), 0);
}

static void use_low_power(struct vfio_pci_device *device)
{
	feature_set(device, VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY);
	VFIO_ASSERT_TRUE(sysfs_device_suspends(device_bdf, SUSPEND_MS));
	feature_set(device, VFIO_DEVICE_FEATURE_LOW_POWER_EXIT);
}

static void intx_drain(struct vfio_pci_device *device)
{
	u64 value;

	VFIO_ASSERT_EQ(read(device->msi_eventfds[0], &value, sizeof(value)), sizeof(value));
}

TEST_F(vfio_pci_intx_low_power_test, masked)
{
	struct vfio_pci_device *device = self->device;

	vfio_pci_intx_enable(device);
	vfio_pci_intx_mask(device);
	if (!disintx())
		SKIP(return, "INTx is masked at the interrupt controller");

	use_low_power(device);
	ASSERT_FALSE(e1000_intx_raise(device));

	vfio_pci_intx_unmask(device);
	ASSERT_TRUE(e1000_intx_raise(device));
	e1000_intx_clear(device);
	vfio_pci_intx_disable(device);
}

TEST_F(vfio_pci_intx_low_power_test, unmasked)
{
	struct vfio_pci_device *device = self->device;

	vfio_pci_intx_enable(device);
	use_low_power(device);
	ASSERT_TRUE(e1000_intx_raise(device));

	/* The interrupt has masked it */
	e1000_intx_clear(device);
	intx_drain(device);
	use_low_power(device);
	ASSERT_FALSE(e1000_intx_raise(device));
	e1000_intx_clear(device);
	vfio_pci_intx_disable(device);
}

int main(int argc, char *argv[])
{
	device_bdf = vfio_selftests_get_bdf(&argc, argv);
	return test_harness_run(argc, argv);
}
