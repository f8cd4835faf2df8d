// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who may reset a device together with others, and what do they have afterwards?
 *
 * Needs two functions that are reset together, bound to vfio-pci, each in an
 * IOMMU group of its own.
 *
 * What is expected: Documentation/driver-api/vfio-pci-reset-state.rst
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <sys/ioctl.h>

#include <linux/limits.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include <libvfio.h>

#include "kselftest_harness.h"

#define NR_DEVICES 2

static char **device_bdfs;
static int nr_devices;

struct device {
	struct vfio_pci_device *vfio;
	struct vfio_pci_state *before;
	struct vfio_pci_state *marked;	/* the same, with the mark of vfio_pci_reset_mark() */
	struct vfio_pci_state *after;
	bool has_mark;
};

static const char *unfit(void)
{
	if (nr_devices < NR_DEVICES)
		return "Needs two devices";
	if (sysfs_iommu_group_get(device_bdfs[0]) == sysfs_iommu_group_get(device_bdfs[1]))
		return "Both devices are in one IOMMU group";
	return NULL;
}

static void device_open(struct device *d, const char *bdf, struct iommu *iommu)
{
	d->before = vfio_pci_state_alloc();
	d->marked = vfio_pci_state_alloc();
	d->after = vfio_pci_state_alloc();
	d->vfio = vfio_pci_device_init(bdf, iommu);
	if (!vfio_pci_state_fill(d->vfio))
		printf("No register could be set to a value other than its default\n");
	vfio_pci_cmd_set(d->vfio, PCI_COMMAND_MEMORY);
	vfio_pci_state_read(d->vfio, d->before);
	d->has_mark = vfio_pci_reset_mark(d->vfio);
	vfio_pci_state_read(d->vfio, d->marked);
}

/* Has the device what it had, and was it reset if, and only if, it should be? */
static bool device_is_right(struct device *d, bool reset)
{
	if (d->has_mark && vfio_pci_reset_mark_removed(d->vfio) != reset) {
		printf("%s: %s reset\n", d->vfio->bdf, reset ? "was not" : "was");
		return false;
	}

	vfio_pci_state_read(d->vfio, d->after);
	return !vfio_pci_state_diff(reset ? d->before : d->marked, d->after);
}

static void device_close(struct device *d)
{
	vfio_pci_device_cleanup(d->vfio);
	d->vfio = NULL;
	free(d->before);
	free(d->marked);
	free(d->after);
}

static int hot_reset(struct device *d, const s32 *group_fds, u32 nr_group_fds)
{
	return vfio_pci_device_hot_reset(d->vfio, group_fds, nr_group_fds);
}

/* Does VFIO say that the caller owns all devices that are reset together? */
static bool hot_reset_owned(struct device *d)
{
	u8 buf[sizeof(struct vfio_pci_hot_reset_info) +
	       16 * sizeof(struct vfio_pci_dependent_device)] = {};
	struct vfio_pci_hot_reset_info *info = (void *)buf;

	info->argsz = sizeof(buf);
	ioctl_assert(d->vfio->fd, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, info);
	VFIO_ASSERT_GE(info->count, NR_DEVICES);
	return info->flags & VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED;
}

FIXTURE(vfio_pci_hot_reset_test) {
	struct iommu *iommu[NR_DEVICES];
	struct device device[NR_DEVICES];
};

FIXTURE_SETUP(vfio_pci_hot_reset_test)
{
	if (unfit())
		SKIP(return, "%s", unfit());

	self->iommu[0] = iommu_init(MODE_IOMMUFD);
	device_open(&self->device[0], device_bdfs[0], self->iommu[0]);
}

FIXTURE_TEARDOWN(vfio_pci_hot_reset_test)
{
	for (int i = NR_DEVICES - 1; i >= 0; i--) {
		if (self->device[i].vfio)
			device_close(&self->device[i]);
		if (self->iommu[i])
			iommu_cleanup(self->iommu[i]);
		sysfs_device_attr_set(device_bdfs[i], "reset_method", "default");
	}
}

/* One user has both */
TEST_F_TIMEOUT(vfio_pci_hot_reset_test, own, 60)
{
	device_open(&self->device[1], device_bdfs[1], self->iommu[0]);
	EXPECT_TRUE(hot_reset_owned(&self->device[0]));
	ASSERT_EQ(0, hot_reset(&self->device[0], NULL, 0));
	for (int i = 0; i < NR_DEVICES; i++)
		EXPECT_TRUE(device_is_right(&self->device[i], true));
}

/* The other one is not open, and somebody else may open it */
TEST_F_TIMEOUT(vfio_pci_hot_reset_test, not_open, 60)
{
	EXPECT_FALSE(hot_reset_owned(&self->device[0]));
	EXPECT_EQ(-EINVAL, hot_reset(&self->device[0], NULL, 0));
	EXPECT_TRUE(device_is_right(&self->device[0], false));
}

/* Somebody else has it open */
TEST_F_TIMEOUT(vfio_pci_hot_reset_test, foreign, 60)
{
	self->iommu[1] = iommu_init(MODE_IOMMUFD);
	device_open(&self->device[1], device_bdfs[1], self->iommu[1]);
	for (int i = 0; i < NR_DEVICES; i++) {
		EXPECT_FALSE(hot_reset_owned(&self->device[i]));
		EXPECT_EQ(-EINVAL, hot_reset(&self->device[i], NULL, 0));
	}
	for (int i = 0; i < NR_DEVICES; i++)
		EXPECT_TRUE(device_is_right(&self->device[i], false));
}

/* Devices that have no reset of their own are reset when the last one is closed */
TEST_F_TIMEOUT(vfio_pci_hot_reset_test, last_close, 60)
{
	device_close(&self->device[0]);
	for (int i = 0; i < NR_DEVICES; i++) {
		sysfs_device_attr_set(device_bdfs[i], "reset_method", "\n");
		device_open(&self->device[i], device_bdfs[i], self->iommu[0]);
	}

	for (int i = 0; i < NR_DEVICES; i++) {
		if (!self->device[i].has_mark)
			SKIP(return, "Cannot tell whether this device was reset");
	}

	device_close(&self->device[0]);
	self->device[0].vfio = vfio_pci_device_init(device_bdfs[0], self->iommu[0]);
	EXPECT_FALSE(vfio_pci_reset_mark_removed(self->device[0].vfio))
		TH_LOG("Reset though the other one is open");
	vfio_pci_device_cleanup(self->device[0].vfio);
	device_close(&self->device[1]);

	for (int i = 0; i < NR_DEVICES; i++) {
		self->device[i].vfio = vfio_pci_device_init(device_bdfs[i], self->iommu[0]);
		EXPECT_TRUE(vfio_pci_reset_mark_removed(self->device[i].vfio))
			TH_LOG("%s was not reset", device_bdfs[i]);
		vfio_pci_device_cleanup(self->device[i].vfio);
		self->device[i].vfio = NULL;
	}
}

/* Who accesses a BAR meanwhile waits for the end of the reset */
TEST_F_TIMEOUT(vfio_pci_hot_reset_test, mapping, 60)
{
	struct vfio_pci_bar_reader reader;
	struct vfio_pci_bar *bar;
	u64 reset_ms;

	device_open(&self->device[1], device_bdfs[1], self->iommu[0]);
	bar = vfio_pci_mapped_bar(self->device[1].vfio);
	if (!bar)
		SKIP(return, "Device does not have a BAR that can be mapped");

	ASSERT_EQ(0, hot_reset(&self->device[0], NULL, 0));

	vfio_pci_bar_reader_start(&reader, bar);
	reset_ms = monotonic_ms();
	EXPECT_EQ(0, hot_reset(&self->device[0], NULL, 0));
	reset_ms = monotonic_ms() - reset_ms;
	vfio_pci_bar_reader_stop(&reader);
	EXPECT_EQ(0, reader.nr_failed)
		TH_LOG("%d reads of %d", reader.nr_failed, reader.nr_reads);
	EXPECT_LE(reset_ms / 2, reader.longest_ms)
		TH_LOG("No read waited for a reset of %lu ms", reset_ms);
}

FIXTURE(vfio_pci_hot_reset_group_test) {
	struct iommu *iommu;
	struct device device;
	s32 fds[NR_DEVICES];
};

FIXTURE_SETUP(vfio_pci_hot_reset_group_test)
{
	char path[PATH_MAX];

	if (unfit())
		SKIP(return, "%s", unfit());

	self->iommu = iommu_init(MODE_VFIO_TYPE1_IOMMU);
	device_open(&self->device, device_bdfs[0], self->iommu);
	self->fds[0] = self->device.vfio->group_fd;
	snprintf_assert(path, sizeof(path), "/dev/vfio/%d",
			sysfs_iommu_group_get(device_bdfs[1]));
	self->fds[1] = open(path, O_RDWR);
	ASSERT_LE(0, self->fds[1]);
}

FIXTURE_TEARDOWN(vfio_pci_hot_reset_group_test)
{
	close(self->fds[1]);
	device_close(&self->device);
	iommu_cleanup(self->iommu);
}

TEST_F_TIMEOUT(vfio_pci_hot_reset_group_test, own, 60)
{
	ASSERT_EQ(0, hot_reset(&self->device, self->fds, 2));
	EXPECT_TRUE(device_is_right(&self->device, true));
}

/* Only one of the two groups is named, or none */
TEST_F_TIMEOUT(vfio_pci_hot_reset_group_test, foreign, 60)
{
	EXPECT_EQ(-EINVAL, hot_reset(&self->device, self->fds, 1));
	EXPECT_EQ(-EINVAL, hot_reset(&self->device, self->fds + 1, 1));
	EXPECT_EQ(-EINVAL, hot_reset(&self->device, NULL, 0));
	EXPECT_TRUE(device_is_right(&self->device, false));
}

int main(int argc, char *argv[])
{
	device_bdfs = vfio_selftests_get_bdfs(&argc, argv, &nr_devices);
	return test_harness_run(argc, argv);
}
