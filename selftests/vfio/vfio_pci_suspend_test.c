// SPDX-License-Identifier: GPL-2.0-only
/*
 * Does a device have what its user had set up when the system has slept?
 *
 * The system goes to sleep only as far as pm_test has it, and wakes up on its
 * own.  Needs CONFIG_PM_DEBUG, and a machine where nobody minds.
 *
 * What is expected: Documentation/driver-api/vfio-pci-reset-state.rst
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/ioctl.h>

#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include <libvfio.h>

#include "kselftest_harness.h"

#define TIMEOUT 120

#define PM_TEST "/sys/power/pm_test"
#define PM_TEST_DELAY "/sys/module/suspend/parameters/pm_test_delay"
#define STATE "/sys/power/state"

static const char *device_bdf;

FIXTURE(vfio_pci_suspend_test) {
	struct iommu *iommu;
	struct vfio_pci_device *device;
	struct vfio_pci_state *before;
	struct vfio_pci_state *after;
	char pm_test_delay[16];
};

FIXTURE_VARIANT(vfio_pci_suspend_test) {
	int irq_index;
	bool low_power;
};

FIXTURE_VARIANT_ADD(vfio_pci_suspend_test, noirq) {
	.irq_index = VFIO_PCI_NUM_IRQS,
};

FIXTURE_VARIANT_ADD(vfio_pci_suspend_test, msi) {
	.irq_index = VFIO_PCI_MSI_IRQ_INDEX,
};

FIXTURE_VARIANT_ADD(vfio_pci_suspend_test, msix) {
	.irq_index = VFIO_PCI_MSIX_IRQ_INDEX,
};

/* Asleep before the system is */
FIXTURE_VARIANT_ADD(vfio_pci_suspend_test, low_power) {
	.irq_index = VFIO_PCI_NUM_IRQS,
	.low_power = true,
};

static bool irq_supported(struct vfio_pci_device *device, int irq_index)
{
	switch (irq_index) {
	case VFIO_PCI_MSI_IRQ_INDEX:
		return device->msi_info.count;
	case VFIO_PCI_MSIX_IRQ_INDEX:
		return device->msix_info.count;
	}

	return true;
}

FIXTURE_SETUP(vfio_pci_suspend_test)
{
	if (access(PM_TEST, W_OK) || access(PM_TEST_DELAY, W_OK))
		SKIP(return, "There is no " PM_TEST);

	self->iommu = iommu_init(default_iommu_mode);
	self->device = vfio_pci_device_init(device_bdf, self->iommu);
	if (!irq_supported(self->device, variant->irq_index)) {
		vfio_pci_device_cleanup(self->device);
		iommu_cleanup(self->iommu);
		SKIP(return, "Device does not support this kind of interrupt");
	}

	self->before = vfio_pci_state_alloc();
	self->after = vfio_pci_state_alloc();

	sysfs_read(PM_TEST_DELAY, self->pm_test_delay, sizeof(self->pm_test_delay));
	sysfs_write(PM_TEST_DELAY, "1");
	sysfs_write(PM_TEST, "platform");
}

FIXTURE_TEARDOWN(vfio_pci_suspend_test)
{
	sysfs_write(PM_TEST, "none");
	sysfs_write(PM_TEST_DELAY, self->pm_test_delay);
	vfio_pci_device_cleanup(self->device);
	iommu_cleanup(self->iommu);
	free(self->before);
	free(self->after);
}

static int low_power(struct vfio_pci_device *device, u32 entry_or_exit)
{
	return vfio_device_feature_ioctl(device->fd, VFIO_DEVICE_FEATURE_SET | entry_or_exit,
					 NULL, 0);
}

static void irq_check(struct vfio_pci_device *device, int irq_index)
{
	int fd = device->msi_eventfds[0];
	u64 value;

	fcntl_set_nonblock(fd);
	vfio_pci_irq_trigger(device, irq_index, 0);
	VFIO_ASSERT_EQ(read(fd, &value, sizeof(value)), sizeof(value));
}

TEST_F_TIMEOUT(vfio_pci_suspend_test, freeze, TIMEOUT)
{
	vfio_pci_state_fill(self->device);
	if (variant->irq_index != VFIO_PCI_NUM_IRQS)
		vfio_pci_irq_enable(self->device, variant->irq_index, 0, 1);
	vfio_pci_cmd_set(self->device, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
	vfio_pci_state_read(self->device, self->before);

	if (variant->low_power &&
	    low_power(self->device, VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY))
		SKIP(return, "Device does not support low power");

	sysfs_write(STATE, "freeze");

	if (variant->low_power)
		ASSERT_EQ(0, low_power(self->device, VFIO_DEVICE_FEATURE_LOW_POWER_EXIT));

	vfio_pci_state_read(self->device, self->after);
	ASSERT_EQ(0, vfio_pci_state_diff(self->before, self->after));
	if (variant->irq_index != VFIO_PCI_NUM_IRQS)
		irq_check(self->device, variant->irq_index);

	/* It still can be reset. */
	if (!(self->device->info.flags & VFIO_DEVICE_FLAGS_RESET))
		return;
	vfio_pci_device_reset(self->device);
	vfio_pci_state_read(self->device, self->after);
	ASSERT_EQ(0, vfio_pci_state_diff(self->before, self->after));
}

/* Nobody has it open, and it may be suspended already. */
TEST_F_TIMEOUT(vfio_pci_suspend_test, closed, TIMEOUT)
{
	if (variant->low_power || variant->irq_index != VFIO_PCI_NUM_IRQS)
		SKIP(return, "Once is enough");

	vfio_pci_state_read(self->device, self->before);
	vfio_pci_device_cleanup(self->device);
	sysfs_write(STATE, "freeze");

	self->device = vfio_pci_device_init(device_bdf, self->iommu);
	vfio_pci_state_read(self->device, self->after);
	ASSERT_EQ(0, vfio_pci_state_diff(self->before, self->after));
}

int main(int argc, char *argv[])
{
	device_bdf = vfio_selftests_get_bdf(&argc, argv);
	return test_harness_run(argc, argv);
}
