// SPDX-License-Identifier: GPL-2.0-only
/*
 * Can the user of a zPCI function recover it from an error?
 *
 * On s390 the platform stops a function that accesses memory which it must not.
 * The kernel leaves it to the user to recover a function that is open: the user
 * learns of the error by VFIO_DEVICE_FEATURE_ZPCI_ERROR, and resets it.
 *
 * What is expected: Documentation/driver-api/vfio-pci-reset-state.rst
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/io.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include <libvfio.h>

#include "kselftest_harness.h"

/* As arch/s390/pci/pci_event.c has it */
struct ccdf_err {
	u32 reserved1;
	u32 fh;
	u32 fid;
	u32 flags;
	u64 faddr;
	u32 reserved2;
	u16 reserved3;
	u16 pec;
};

/* NVM Express Base Specification 2.0, sec 3.1 */
#define PCI_CLASS_NVME		0x010802
#define NVME_CC			0x14
/* Enabled, with queue entries of 64 and 16 bytes */
#define NVME_CC_EN		(1 | 6 << 16 | 4 << 20)
#define NVME_CSTS		0x1c
#define NVME_CSTS_RDY		1
#define NVME_AQA		0x24
#define NVME_ASQ		0x28
#define NVME_ACQ		0x30
#define NVME_SQ0TDBL		0x1000

static const char *device_bdf;

FIXTURE(vfio_pci_zpci_test) {
	struct iommu *iommu;
	struct vfio_pci_device *device;
	struct vfio_pci_state *before;
	struct vfio_pci_state *after;
};

FIXTURE_VARIANT(vfio_pci_zpci_test) {
	bool msix;
};

FIXTURE_VARIANT_ADD(vfio_pci_zpci_test, no_irq) {
};

FIXTURE_VARIANT_ADD(vfio_pci_zpci_test, msix) {
	.msix = true,
};

static int get_error(struct vfio_pci_device *device, struct ccdf_err *ccdf)
{
	struct vfio_device_feature_zpci_err err = { .data = (uintptr_t)ccdf };

	return vfio_device_feature_ioctl(device->fd, VFIO_DEVICE_FEATURE_GET |
					 VFIO_DEVICE_FEATURE_ZPCI_ERROR, &err, sizeof(err));
}

FIXTURE_SETUP(vfio_pci_zpci_test)
{
	struct ccdf_err ccdf;
	int ret;

	self->iommu = iommu_init(default_iommu_mode);
	self->device = vfio_pci_device_init(device_bdf, self->iommu);
	self->before = vfio_pci_state_alloc();
	self->after = vfio_pci_state_alloc();

	ret = get_error(self->device, &ccdf);
	if (ret == -ENOTTY || ret == -ENODEV)
		SKIP(return, "Device is no zPCI function");
	ASSERT_EQ(-ENOMSG, ret);
	if (vfio_pci_config_readl(self->device, PCI_CLASS_REVISION) >> 8 != PCI_CLASS_NVME)
		SKIP(return, "The test cannot have this device do DMA");
}

FIXTURE_TEARDOWN(vfio_pci_zpci_test)
{
	vfio_pci_device_cleanup(self->device);
	iommu_cleanup(self->iommu);
	free(self->before);
	free(self->after);
}

static void nvme_enable(void *bar0, bool enable)
{
	int tries = 1000;

	writel(enable ? NVME_CC_EN : 0, bar0 + NVME_CC);
	while ((readl(bar0 + NVME_CSTS) & NVME_CSTS_RDY) != enable && tries--)
		usleep(1000);
	VFIO_ASSERT_GT(tries, 0, "The controller does not become ready\n");
}

/* Have the device read a command from where there is no memory */
static void dma_error(struct vfio_pci_device *device)
{
	void *bar0 = device->bars[0].vaddr;

	vfio_pci_cmd_set(device, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	/* A reset by the slot in QEMU leaves registers in BARs alone */
	nvme_enable(bar0, false);
	writel(1 << 16 | 1, bar0 + NVME_AQA);
	/* Nothing is mapped.   */
	writel(0x10000000, bar0 + NVME_ASQ);
	writel(1, bar0 + NVME_ASQ + 4);
	writel(0x20000000, bar0 + NVME_ACQ);
	writel(1, bar0 + NVME_ACQ + 4);
	nvme_enable(bar0, true);
	writel(1, bar0 + NVME_SQ0TDBL);
}

/* Is there an error?  If so, what is told of it? */
static bool provoke(struct vfio_pci_device *device, struct ccdf_err *ccdf)
{
	int ret, tries = 500;
	struct ccdf_err more;

	dma_error(device);
	while ((ret = get_error(device, ccdf)) == -ENOMSG && tries--)
		usleep(10000);
	if (ret == -ENOMSG)
		return false;

	VFIO_ASSERT_EQ(ret, 0);
	printf("Event 0x%x, address 0x%llx\n", ccdf->pec, (unsigned long long)ccdf->faddr);
	VFIO_ASSERT_NE(ccdf->pec, 0);
	VFIO_ASSERT_EQ(get_error(device, &more), -ENOMSG, "There is but one error\n");
	return true;
}

/*
 * The kernel can neither save nor read the configuration in that state, so the
 * function gets back what it had on open, but for Command, and its interrupts.
 */
TEST_F_TIMEOUT(vfio_pci_zpci_test, device_reset, 60)
{
	struct ccdf_err ccdf = {};
	int i;

	if (variant->msix)
		vfio_pci_msix_enable(self->device, 0, self->device->msix_info.count);
	vfio_pci_state_read(self->device, self->before);
	vfio_pci_state_fill(self->device);

	/* The kernel knows what the user has written to Command, see dma_error() */
	self->before->config[PCI_COMMAND] |= PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;

	/* The second one finds a function that works */
	for (i = 0; i < 2; i++) {
		if (!provoke(self->device, &ccdf))
			SKIP(return, "The platform does not tell of an error");
		vfio_pci_device_reset(self->device);
		vfio_pci_state_read(self->device, self->after);
		/* But not in what is not in hardware, which has kept all */
		memcpy(self->before->vconfig, self->after->vconfig, sizeof(self->before->vconfig));
		ASSERT_EQ(0, vfio_pci_state_diff(self->before, self->after));
		EXPECT_EQ(-ENOMSG, get_error(self->device, &ccdf));
	}
}

/* Whoever does not recover it leaves that to close and the next open */
TEST_F_TIMEOUT(vfio_pci_zpci_test, close, 60)
{
	struct ccdf_err ccdf = {};

	vfio_pci_state_read(self->device, self->before);
	vfio_pci_state_fill(self->device);
	if (variant->msix)
		vfio_pci_msix_enable(self->device, 0, self->device->msix_info.count);
	if (!provoke(self->device, &ccdf))
		SKIP(return, "The platform does not tell of an error");

	vfio_pci_device_cleanup(self->device);
	self->device = vfio_pci_device_init(device_bdf, self->iommu);
	vfio_pci_state_read(self->device, self->after);
	ASSERT_EQ(0, vfio_pci_state_diff(self->before, self->after));
	EXPECT_EQ(-ENOMSG, get_error(self->device, &ccdf));

	/* For this user it works */
	if (!provoke(self->device, &ccdf))
		SKIP(return, "The platform does not tell of an error");
	vfio_pci_device_reset(self->device);
}

int main(int argc, char *argv[])
{
	device_bdf = vfio_selftests_get_bdf(&argc, argv);
	return test_harness_run(argc, argv);
}
