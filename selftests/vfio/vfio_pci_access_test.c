// SPDX-License-Identifier: GPL-2.0-only
/*
 * What may a user write or read that is not its own, or not at that time?
 *
 * What is expected: Documentation/driver-api/vfio-pci-reset-state.rst
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <sys/ioctl.h>

#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include <libvfio.h>

#include "kselftest_harness.h"

static const char *device_bdf;

FIXTURE(vfio_pci_access_test) {
	struct iommu *iommu;
	struct vfio_pci_device *device;
	struct vfio_pci_state *state;
};

FIXTURE_SETUP(vfio_pci_access_test)
{
	self->state = vfio_pci_state_alloc();
	self->iommu = iommu_init(default_iommu_mode);
	self->device = vfio_pci_device_init(device_bdf, self->iommu);
	vfio_pci_state_read(self->device, self->state);
}

FIXTURE_TEARDOWN(vfio_pci_access_test)
{
	vfio_pci_device_cleanup(self->device);
	iommu_cleanup(self->iommu);
	free(self->state);
}

/* Capabilities that vfio-pci does not show, and a register of each that can be written */
static const struct {
	const char *name;
	u16 id;
	u16 reg;
} hidden[] = {
	{ "PTM Control", PCI_EXT_CAP_ID_PTM, PCI_PTM_CTRL },
	{ "L1 PM Substates Control 1", PCI_EXT_CAP_ID_L1SS, PCI_L1SS_CTL1 },
	{ "PASID Control", PCI_EXT_CAP_ID_PASID, PCI_PASID_CTRL },
};

TEST_F(vfio_pci_access_test, hidden_capability)
{
	unsigned int nr = 0;

	for (int i = 0; i < ARRAY_SIZE(hidden); i++) {
		u16 where = vfio_pci_state_find_ext_cap(self->state, hidden[i].id);
		u16 val;

		if (!where)
			continue;

		/* The first one of all is there to find the others by */
		if (where != PCI_CFG_SPACE_SIZE)
			EXPECT_EQ(hidden[i].id, vfio_pci_config_readw(self->device, where));

		/* Can it be written at all? */
		where += hidden[i].reg;
		val = sysfs_config_readw(device_bdf, where);
		sysfs_config_writew(device_bdf, where, val ^ 1);
		if (sysfs_config_readw(device_bdf, where) == val)
			continue;
		sysfs_config_writew(device_bdf, where, val);

		EXPECT_EQ(val, vfio_pci_config_readw(self->device, where));
		vfio_pci_config_writew(self->device, where, val ^ 1);
		EXPECT_EQ(val, sysfs_config_readw(device_bdf, where)) {
			TH_LOG("%s was written", hidden[i].name);
		}
		sysfs_config_writew(device_bdf, where, val);
		nr++;
	}
	if (!nr)
		SKIP(return, "Device has no capability that is hidden and can be written");
}

static ssize_t rom_read(struct vfio_pci_device *device, u16 *val)
{
	struct vfio_region_info info = {
		.argsz = sizeof(info),
		.index = VFIO_PCI_ROM_REGION_INDEX,
	};
	ssize_t ret;

	ioctl_assert(device->fd, VFIO_DEVICE_GET_REGION_INFO, &info);
	if (!info.size)
		return 0;

	ret = pread(device->fd, val, sizeof(*val), info.offset);
	return ret < 0 ? -errno : ret;
}

/* As in a reset, when Memory Space is off, the device would not answer */
TEST_F(vfio_pci_access_test, rom)
{
	u16 val = 0;

	vfio_pci_cmd_set(self->device, PCI_COMMAND_MEMORY);
	if (!rom_read(self->device, &val))
		SKIP(return, "Device has no ROM");
	ASSERT_EQ(0xaa55, val);

	vfio_pci_cmd_clear(self->device, PCI_COMMAND_MEMORY);
	ASSERT_EQ(-EIO, rom_read(self->device, &val));

	vfio_pci_cmd_set(self->device, PCI_COMMAND_MEMORY);
	val = 0;
	ASSERT_EQ(sizeof(val), rom_read(self->device, &val));
	ASSERT_EQ(0xaa55, val);
}

int main(int argc, char *argv[])
{
	device_bdf = vfio_selftests_get_bdf(&argc, argv);
	return test_harness_run(argc, argv);
}
