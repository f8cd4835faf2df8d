// SPDX-License-Identifier: GPL-2.0-only
/*
 * What happens to the VFs of a PF that is open, when it is reset or closed?
 *
 * Needs a PF that is bound to vfio-pci, without VFs, and vfio_pci.enable_sriov=1.
 *
 * What is expected: Documentation/driver-api/vfio-pci-reset-state.rst
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sys/ioctl.h>

#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include <libvfio.h>

#include "kselftest_harness.h"

#define NR_VFS 2

static const char *pf_bdf;

FIXTURE(vfio_pci_sriov_reset_test) {
	struct iommu *iommu;
	struct vfio_pci_device *pf;
	struct vfio_pci_state *before;
	struct vfio_pci_state *after;
};

FIXTURE_SETUP(vfio_pci_sriov_reset_test)
{
	if (sysfs_sriov_totalvfs_get(pf_bdf) < NR_VFS)
		SKIP(return, "Needs a PF with VFs");

	self->before = vfio_pci_state_alloc();
	self->after = vfio_pci_state_alloc();
	self->iommu = iommu_init(default_iommu_mode);
	self->pf = vfio_pci_device_init(pf_bdf, self->iommu);
}

/* The end of the child process has closed the device */
FIXTURE_TEARDOWN_PARENT(vfio_pci_sriov_reset_test)
{
	if (sysfs_sriov_numvfs_get(pf_bdf) > 0)
		sysfs_sriov_numvfs_set(pf_bdf, 0);
}

/* Are all the VFs there? */
static bool vfs_respond(void)
{
	bool respond = true;
	char *bdf;
	int i;

	for (i = 0; i < NR_VFS; i++) {
		bdf = sysfs_sriov_vf_bdf_get(pf_bdf, i);
		/* Vendor ID and Device ID of a VF read as all ones: so another one */
		respond &= sysfs_config_readw(bdf, PCI_STATUS) != 0xffff;
		free(bdf);
	}

	return respond;
}

TEST_F(vfio_pci_sriov_reset_test, device_reset)
{
	if (!(self->pf->info.flags & VFIO_DEVICE_FLAGS_RESET))
		SKIP(return, "Device does not support reset");

	sysfs_sriov_numvfs_set(pf_bdf, NR_VFS);
	vfio_pci_state_read(self->pf, self->before);
	vfio_pci_device_reset(self->pf);
	vfio_pci_state_read(self->pf, self->after);

	ASSERT_EQ(0, vfio_pci_state_diff(self->before, self->after));
	ASSERT_TRUE(vfs_respond());
}

/* The VFs are on the bus, too, and the user of the PF does not own them. */
TEST_F(vfio_pci_sriov_reset_test, hot_reset)
{
	int ret;

	if (self->pf->group_fd > 0)
		SKIP(return, "Needs a device opened by its character device");

	ret = vfio_pci_device_hot_reset(self->pf, NULL, 0);
	if (ret)
		SKIP(return, "No hot reset of this device: %s", strerror(-ret));

	sysfs_sriov_numvfs_set(pf_bdf, NR_VFS);
	vfio_pci_state_read(self->pf, self->before);
	ASSERT_EQ(-EINVAL, vfio_pci_device_hot_reset(self->pf, NULL, 0));
	vfio_pci_state_read(self->pf, self->after);

	ASSERT_EQ(0, vfio_pci_state_diff(self->before, self->after));
	ASSERT_TRUE(vfs_respond());
}

TEST_F(vfio_pci_sriov_reset_test, close)
{
	sysfs_sriov_numvfs_set(pf_bdf, NR_VFS);
	vfio_pci_state_read_config(pf_bdf, self->before);
	vfio_pci_device_cleanup(self->pf);
	self->pf = NULL;
	vfio_pci_state_read_config(pf_bdf, self->after);

	ASSERT_EQ(0, vfio_pci_state_diff(self->before, self->after));
	ASSERT_TRUE(vfs_respond());
}

int main(int argc, char *argv[])
{
	pf_bdf = vfio_selftests_get_bdf(&argc, argv);
	return test_harness_run(argc, argv);
}
