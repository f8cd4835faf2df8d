// SPDX-License-Identifier: GPL-2.0-only
/*
 * INTx is as usable after MSI and MSI-X, a reset and low power as it was before.
 *
 * For MSI and MSI-X, best run with vfio_pci.nointxmask=1: if vfio-pci masks INTx
 * in the device, it clears INTx Disable on each enabling of INTx.
 *
 * What is expected: Documentation/driver-api/vfio-pci-reset-state.rst
 */
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include <sys/eventfd.h>

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

/* Does vfio-pci mask INTx in the device, or at the interrupt controller? */
static bool intx_masked_in_device(struct vfio_pci_device *device)
{
	bool ret;

	vfio_pci_intx_enable(device);
	vfio_pci_intx_mask(device);
	ret = disintx();
	vfio_pci_intx_unmask(device);
	vfio_pci_intx_disable(device);

	return ret;
}

/* Use MSI or MSI-X for a while */
static void use_msi(struct vfio_pci_device *device, int irq_index, bool reset)
{
	vfio_pci_irq_enable(device, irq_index, 0, 1);
	if (reset)
		vfio_pci_device_reset(device);
	vfio_pci_irq_disable(device, irq_index);
}

/* Nobody handles INTx afterwards, so it is off if vfio-pci can turn it off */
TEST_F(vfio_pci_intx_test, disintx_restored)
{
	bool masked = intx_masked_in_device(self->device);
	bool before = disintx();

	use_msi(self->device, variant->irq_index, variant->reset);
	ASSERT_EQ(before || masked, disintx());
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
	u16 expected;

	if (intx_masked_in_device(self->device))
		expected = PCI_COMMAND_INTX_DISABLE;
	else
		expected = 0;

	vfio_pci_cmd_clear(self->device, PCI_COMMAND_MEMORY);
	expected |= sysfs_config_readw(device_bdf, PCI_COMMAND);
	ASSERT_FALSE(expected & PCI_COMMAND_MEMORY);

	use_msi(self->device, variant->irq_index, variant->reset);
	ASSERT_EQ(expected, sysfs_config_readw(device_bdf, PCI_COMMAND));
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

/*
 * The user masks or unmasks INTx while the host resets the device, or while it is
 * in D3hot.  The function is in reset for at least 100 ms (PCIe r6.0, sec 6.6.2).
 */
#define NR_RESETS	3
#define IN_RESET_US	50000

FIXTURE(vfio_pci_intx_meanwhile_test) {
	struct iommu *iommu;
	struct vfio_pci_device *device;
};

FIXTURE_VARIANT(vfio_pci_intx_meanwhile_test) {
	bool mask;
};

FIXTURE_VARIANT_ADD(vfio_pci_intx_meanwhile_test, mask) { .mask = true };
FIXTURE_VARIANT_ADD(vfio_pci_intx_meanwhile_test, unmask) { .mask = false };

FIXTURE_SETUP(vfio_pci_intx_meanwhile_test)
{
	self->iommu = iommu_init(default_iommu_mode);
	self->device = vfio_pci_device_init(device_bdf, self->iommu);

	if (!self->device->intx_info.count)
		SKIP(return, "INTx not supported");

	vfio_pci_intx_enable(self->device);
	vfio_pci_intx_mask(self->device);
	if (!disintx())
		SKIP(return, "INTx is masked at the interrupt controller");
}

FIXTURE_TEARDOWN(vfio_pci_intx_meanwhile_test)
{
	vfio_pci_device_cleanup(self->device);
	iommu_cleanup(self->iommu);
}

static void intx_set_masked(struct vfio_pci_device *device, bool mask)
{
	if (mask)
		vfio_pci_intx_mask(device);
	else
		vfio_pci_intx_unmask(device);
}

static void intx_drain(struct vfio_pci_device *device)
{
	u64 value;

	VFIO_ASSERT_EQ(read(device->msi_eventfds[0], &value, sizeof(value)), sizeof(value));
}

static bool intx_sent(struct vfio_pci_device *device)
{
	struct pollfd pollfd = { .events = POLLIN, .fd = device->msi_eventfds[0] };

	if (poll(&pollfd, 1, 0) <= 0)
		return false;

	intx_drain(device);
	return true;
}

static void *thread_reset(void *ended)
{
	sysfs_device_attr_set(device_bdf, "reset", "1");
	__atomic_store_n((bool *)ended, true, __ATOMIC_RELEASE);
	return NULL;
}

TEST_F(vfio_pci_intx_meanwhile_test, sysfs_reset)
{
	int tries = 10, in_reset = 0;
	pthread_t thread;
	char method[64];
	bool ended;

	if (!(self->device->info.flags & VFIO_DEVICE_FLAGS_RESET))
		SKIP(return, "Device does not support reset");

	sysfs_device_attr_get(device_bdf, "reset_method", method, sizeof(method));

	while (in_reset < NR_RESETS && tries--) {
		intx_set_masked(self->device, !variant->mask);

		ended = false;
		ASSERT_EQ(0, pthread_create(&thread, NULL, thread_reset, &ended));
		usleep(IN_RESET_US);
		intx_set_masked(self->device, variant->mask);
		if (!__atomic_load_n(&ended, __ATOMIC_ACQUIRE))
			in_reset++;
		ASSERT_EQ(0, pthread_join(thread, NULL));

		/* INTx was sent instead if the device did not respond just then */
		if (!variant->mask && intx_sent(self->device))
			vfio_pci_intx_unmask(self->device);

		ASSERT_EQ(variant->mask, disintx())
			TH_LOG("INTx Disable does not follow the masking after a reset by %s",
			       method);
	}

	if (!in_reset)
		SKIP(return, "A reset by %s ends before it can be met", method);
}

TEST_F(vfio_pci_intx_meanwhile_test, d3hot)
{
	u8 pm = sysfs_config_find_capability(device_bdf, PCI_CAP_ID_PM);
	u16 pmcsr;

	if (!pm)
		SKIP(return, "Device does not have Power Management");
	pmcsr = sysfs_config_readw(device_bdf, pm + PCI_PM_CTRL);
	if (pmcsr & PCI_PM_CTRL_NO_SOFT_RESET)
		SKIP(return, "Device has No_Soft_Reset set");

	intx_set_masked(self->device, !variant->mask);

	pmcsr = vfio_pci_config_readw(self->device, pm + PCI_PM_CTRL) & ~PCI_PM_CTRL_STATE_MASK;
	vfio_pci_config_writew(self->device, pm + PCI_PM_CTRL, pmcsr | D3HOT);
	intx_set_masked(self->device, variant->mask);
	vfio_pci_config_writew(self->device, pm + PCI_PM_CTRL, pmcsr | D0);

	ASSERT_EQ(variant->mask, disintx())
		TH_LOG("INTx Disable does not follow the masking after D3hot");
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

/* An eventfd that unmasks INTx, which does not wake the device up as an ioctl does */
static int intx_unmask_eventfd(struct vfio_pci_device *device)
{
	u8 buf[sizeof(struct vfio_irq_set) + sizeof(s32)] __aligned(4) = {};
	struct vfio_irq_set *irq = (void *)buf;
	int fd = eventfd(0, 0);

	VFIO_ASSERT_GE(fd, 0);
	irq->argsz = sizeof(buf);
	irq->flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_UNMASK;
	irq->index = VFIO_PCI_INTX_IRQ_INDEX;
	irq->count = 1;
	*(s32 *)irq->data = fd;
	ioctl_assert(device->fd, VFIO_DEVICE_SET_IRQS, irq);
	return fd;
}

/* The port stays awake, so that UNMASK reaches the device */
TEST_F(vfio_pci_intx_low_power_test, unmasked_meanwhile)
{
	struct vfio_pci_device *device = self->device;
	char *port = sysfs_upstream_bridge_get(device_bdf);
	char control[16];
	u64 one = 1;
	int fd;

	if (!port)
		SKIP(return, "No port above the device");

	vfio_pci_intx_enable(device);
	vfio_pci_intx_mask(device);
	fd = intx_unmask_eventfd(device);
	if (!disintx())
		SKIP(return, "INTx is masked at the interrupt controller");

	sysfs_device_attr_get(port, "power/control", control, sizeof(control));
	sysfs_device_attr_set(port, "power/control", "on");

	feature_set(device, VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY);
	VFIO_ASSERT_TRUE(sysfs_device_suspends(device_bdf, SUSPEND_MS));
	ASSERT_EQ(sizeof(one), write(fd, &one, sizeof(one)));
	feature_set(device, VFIO_DEVICE_FEATURE_LOW_POWER_EXIT);

	close(fd);
	sysfs_device_attr_set(port, "power/control", control);
	free(port);

	if (intx_sent(device))
		vfio_pci_intx_unmask(device);
	ASSERT_FALSE(disintx());
	ASSERT_TRUE(e1000_intx_raise(device));
	e1000_intx_clear(device);
	vfio_pci_intx_disable(device);
}

int main(int argc, char *argv[])
{
	device_bdf = vfio_selftests_get_bdf(&argc, argv);
	return test_harness_run(argc, argv);
}
