// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfio-pci and a device that does not respond, so that all its registers read
 * as all ones.  Cuts the power of the slot that the device is in, and needs a
 * port with a power controller for that.
 *
 * Better run in a virtual machine:  A kernel that fails may write to memory of
 * the host that is outside of the device's BARs, where it believes the MSI-X
 * Table to be.
 *
 * What is expected: Documentation/driver-api/vfio-pci-reset-state.rst
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include <linux/kernel.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include <libvfio.h>

#include "kselftest_harness.h"

/* The kernel waits for the device to come back on each reset and resume. */
#define TIMEOUT 120

/* Time that a device may take to suspend */
#define SUSPEND_MS 1000

static const char *device_bdf;

FIXTURE(vfio_pci_inaccessible_test) {
	struct slot_power slot;
	struct iommu *iommu;
};

FIXTURE_SETUP(vfio_pci_inaccessible_test)
{
	const char *reason = slot_power_init(&self->slot, device_bdf);

	if (reason)
		SKIP(return, "Cannot cut the power of %s: %s", device_bdf, reason);

	self->iommu = iommu_init(default_iommu_mode);
}

/*
 * In the parent process, because libvfio ends the child where it fails, and
 * because that has closed the device by then.
 */
FIXTURE_TEARDOWN_PARENT(vfio_pci_inaccessible_test)
{
	slot_power_cleanup(&self->slot);
}

/* What the hardware has in some of the registers that the kernel saves */
struct regs {
	u32 val[11];
};

static void regs_read(struct regs *regs)
{
	u8 exp = sysfs_config_find_capability(device_bdf, PCI_CAP_ID_EXP);
	u32 *val = regs->val;
	int i;

	/* It is in a slot of PCI Express */
	VFIO_ASSERT_NE(exp, 0, "%s has no PCI Express Capability\n", device_bdf);

	for (i = 0; i < PCI_STD_NUM_BARS; i++)
		*val++ = sysfs_config_readl(device_bdf, PCI_BASE_ADDRESS_0 + i * 4);

	*val++ = sysfs_config_readl(device_bdf, PCI_ROM_ADDRESS);

	/* An open enables these two, whatever has become of the BARs */
	*val++ = sysfs_config_readw(device_bdf, PCI_COMMAND) &
		 ~(PCI_COMMAND_IO | PCI_COMMAND_MEMORY);

	*val++ = sysfs_config_readb(device_bdf, PCI_CACHE_LINE_SIZE);
	*val++ = sysfs_config_readw(device_bdf, exp + PCI_EXP_DEVCTL);
	*val++ = sysfs_config_readw(device_bdf, exp + PCI_EXP_DEVCTL2);
}

static void regs_print(const char *when, struct regs *regs)
{
	int i;

	printf("%s:", when);
	for (i = 0; i < ARRAY_SIZE(regs->val); i++)
		printf(" %x", regs->val[i]);
	printf("\n");
}

/* Open and close the device, and expect that to work */
static bool device_use(struct iommu *iommu)
{
	vfio_pci_device_cleanup(vfio_pci_device_init(device_bdf, iommu));
	return sysfs_device_suspends(device_bdf, SUSPEND_MS);
}

TEST_F_TIMEOUT(vfio_pci_inaccessible_test, open, TIMEOUT)
{
	struct regs before, power_on, after;
	struct vfio_pci_device *device;
	bool suspends;
	int i, ret;

	suspends = device_use(self->iommu);
	regs_read(&before);
	regs_print("before", &before);

	slot_power_off(&self->slot);

	device = vfio_pci_device_alloc(device_bdf, self->iommu);
	vfio_pci_cdev_open(device, device_bdf);
	ret = __vfio_device_bind_iommufd(device->fd, self->iommu->iommufd, NULL);
	EXPECT_EQ(-EIO, ret);

	/* Once there is power, a suspend would save what the reset has left */
	if (ret && suspends)
		ASSERT_TRUE(sysfs_device_suspends(device_bdf, SUSPEND_MS));

	slot_power_on(&self->slot);
	regs_read(&power_on);
	regs_print("power on", &power_on);

	/* If the open succeeded, this restores what it has saved */
	ASSERT_EQ(0, close(device->fd));
	vfio_pci_device_free(device);

	device_use(self->iommu);
	regs_read(&after);
	regs_print("after", &after);

	/*
	 * A device that suspends has its registers saved then, and restored
	 * when it resumes.  Without that the registers stay as they were when
	 * power came back: nothing else may be written to them.
	 */
	for (i = 0; i < ARRAY_SIZE(after.val); i++) {
		if (suspends || after.val[i] != power_on.val[i])
			EXPECT_EQ(before.val[i], after.val[i]);
	}
}

TEST_F_TIMEOUT(vfio_pci_inaccessible_test, msix_count, TIMEOUT)
{
	struct vfio_pci_device *device;
	struct vfio_irq_info info;

	device = vfio_pci_device_init(device_bdf, self->iommu);
	if (!device->msix_info.count)
		SKIP(return, "MSI-X not supported");

	/* All ones in Message Control */
	if (device->msix_info.count == PCI_MSIX_FLAGS_QSIZE + 1)
		SKIP(return, "Device has as many vectors as an inaccessible one");

	slot_power_off(&self->slot);
	vfio_pci_irq_get(device, VFIO_PCI_MSIX_IRQ_INDEX, &info);
	ASSERT_EQ(device->msix_info.count, info.count);
}

TEST_F_TIMEOUT(vfio_pci_inaccessible_test, msi_count, TIMEOUT)
{
	struct vfio_pci_device *device;
	struct vfio_irq_info info;

	device = vfio_pci_device_init(device_bdf, self->iommu);
	if (!device->msi_info.count)
		SKIP(return, "MSI not supported");

	slot_power_off(&self->slot);
	vfio_pci_irq_get(device, VFIO_PCI_MSI_IRQ_INDEX, &info);
	ASSERT_EQ(device->msi_info.count, info.count);
}

TEST_F_TIMEOUT(vfio_pci_inaccessible_test, msix_enable, TIMEOUT)
{
	struct vfio_pci_device *device;

	device = vfio_pci_device_init(device_bdf, self->iommu);
	if (!device->msix_info.count)
		SKIP(return, "MSI-X not supported");

	slot_power_off(&self->slot);
	ASSERT_EQ(-EIO, __vfio_pci_irq_enable(device, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1));
}

int main(int argc, char *argv[])
{
	device_bdf = vfio_selftests_get_bdf(&argc, argv);
	return test_harness_run(argc, argv);
}
