// SPDX-License-Identifier: GPL-2.0-only
/*
 * Is the IOMMU stopped for a device with ATS while that is reset?
 *
 * Needs a device with ATS below an IOMMU that makes use of it, bound to vfio-pci.
 * The kernel attaches the device to a domain that blocks all for the time of the
 * reset, and back to the domain of its user afterwards: that is what is counted.
 *
 * What is expected: Documentation/driver-api/vfio-pci-reset-state.rst
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/ioctl.h>

#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include <libvfio.h>

#include "kselftest_harness.h"

#define TRACING		"/sys/kernel/tracing/"
#define ATTACH_EVENT	TRACING "events/iommu/attach_device_to_domain/enable"

static const char *device_bdf;

FIXTURE(vfio_pci_ats_test) {
	struct iommu *iommu;
	struct vfio_pci_device *device;
	struct vfio_pci_state *before;
	struct vfio_pci_state *after;
	int attached;
};

static bool ats_enabled(const struct vfio_pci_state *state)
{
	u16 where = vfio_pci_state_find_ext_cap(state, PCI_EXT_CAP_ID_ATS);
	const u8 *ctrl = state->config + where + PCI_ATS_CTRL;

	return where && (ctrl[0] | ctrl[1] << 8) & PCI_ATS_CTRL_ENABLE;
}

/* How often has the device been attached to a domain, as far as the trace goes back? */
static int attached(void)
{
	char line[512];
	int n = 0;
	FILE *f;

	f = fopen(TRACING "trace", "r");
	VFIO_ASSERT_NOT_NULL(f);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, "attach_device_to_domain") && strstr(line, device_bdf);
	VFIO_ASSERT_EQ(fclose(f), 0);
	return n;
}

FIXTURE_SETUP(vfio_pci_ats_test)
{
	if (access(ATTACH_EVENT, W_OK))
		SKIP(return, "No trace event of attached devices");

	self->before = vfio_pci_state_alloc();
	self->after = vfio_pci_state_alloc();
	self->iommu = iommu_init(default_iommu_mode);
	self->device = vfio_pci_device_init(device_bdf, self->iommu);
	vfio_pci_state_fill(self->device);
	vfio_pci_state_read(self->device, self->before);
	if (!ats_enabled(self->before))
		SKIP(return, "ATS is not in use");

	sysfs_write(ATTACH_EVENT, "1");
	self->attached = attached();
}

/* The end of the child process has closed the device */
FIXTURE_TEARDOWN_PARENT(vfio_pci_ats_test)
{
	if (!access(ATTACH_EVENT, W_OK))
		sysfs_write(ATTACH_EVENT, "0");
}

/* Attached twice, to the domain that blocks and back, and otherwise as before? */
static bool was_stopped(struct vfio_pci_device *device, int attached_before,
			const struct vfio_pci_state *before,
			struct vfio_pci_state *after)
{
	int n = attached() - attached_before;

	vfio_pci_state_read(device, after);
	if (n != 2)
		printf("%s: attached to a domain %d times, not twice\n", device_bdf, n);
	return n == 2 && !vfio_pci_state_diff(before, after);
}

TEST_F(vfio_pci_ats_test, device_reset)
{
	if (!(self->device->info.flags & VFIO_DEVICE_FLAGS_RESET))
		SKIP(return, "Device does not support reset");

	vfio_pci_device_reset(self->device);
	ASSERT_TRUE(was_stopped(self->device, self->attached, self->before, self->after));
}

TEST_F(vfio_pci_ats_test, hot_reset)
{
	int ret;

	if (self->device->group_fd > 0)
		SKIP(return, "Needs a device opened by its character device");

	ret = vfio_pci_device_hot_reset(self->device, NULL, 0);
	if (ret)
		SKIP(return, "No hot reset of this device: %s", strerror(-ret));
	ASSERT_TRUE(was_stopped(self->device, self->attached, self->before, self->after));
}

int main(int argc, char *argv[])
{
	device_bdf = vfio_selftests_get_bdf(&argc, argv);
	return test_harness_run(argc, argv);
}
