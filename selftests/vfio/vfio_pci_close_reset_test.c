// SPDX-License-Identifier: GPL-2.0-only
/*
 * Is the driver told of the reset of a device when its last user closes it?
 *
 * What is expected: Documentation/driver-api/vfio-pci-reset-state.rst
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/kernel.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include <libvfio.h>

#include "kselftest_harness.h"

#define TRACING	"/sys/kernel/tracing/"
#define EVENT	"vfio_pci_close_reset_test"

static const char *device_bdf;

/* Drivers whose reset_done() callback can be watched by means of a kprobe */
static const struct {
	const char *driver;
	const char *reset_done;
} variants[] = {
	{ "hisi-acc-vfio-pci",		"hisi_acc_vf_pci_aer_reset_done" },
	{ "mlx5_vfio_pci",		"mlx5vf_pci_aer_reset_done" },
	{ "nvgrace_gpu_vfio_pci",	"nvgrace_gpu_vfio_pci_reset_done" },
	{ "pds_vfio_pci",		"pds_vfio_pci_aer_reset_done" },
	{ "qat_vfio_pci",		"qat_vf_pci_aer_reset_done" },
	{ "virtio_vfio_pci",		"virtiovf_pci_aer_reset_done" },
	{ "xe-vfio-pci",		"xe_vfio_pci_reset_done" },
};

static bool device_can_reset(struct iommu *iommu)
{
	struct vfio_pci_device *device = vfio_pci_device_init(device_bdf, iommu);
	bool can_reset = device->info.flags & VFIO_DEVICE_FLAGS_RESET;

	vfio_pci_device_cleanup(device);
	return can_reset;
}

static int tracing_write(const char *file, int flags, const char *val)
{
	char path[128];
	ssize_t ret;
	int fd;

	snprintf_assert(path, sizeof(path), TRACING "%s", file);
	fd = open(path, O_WRONLY | flags);
	if (fd < 0)
		return -errno;

	ret = write(fd, val, strlen(val));
	if (ret < 0)
		ret = -errno;
	VFIO_ASSERT_EQ(close(fd), 0);

	return ret < 0 ? ret : 0;
}

static void kprobe_remove(void)
{
	tracing_write("events/kprobes/" EVENT "/enable", 0, "0");
	tracing_write("kprobe_events", O_APPEND, "-:" EVENT);
}

static int kprobe_add(const char *symbol)
{
	char def[128];
	int ret;

	kprobe_remove();

	snprintf_assert(def, sizeof(def), "p:" EVENT " %s", symbol);
	ret = tracing_write("kprobe_events", O_APPEND, def);
	if (!ret)
		ret = tracing_write("events/kprobes/" EVENT "/enable", 0, "1");

	return ret;
}

static unsigned long kprobe_hits(void)
{
	unsigned long hits = ~0UL;
	char line[256];
	FILE *f;

	f = fopen(TRACING "kprobe_profile", "r");
	VFIO_ASSERT_NOT_NULL(f, "Failed to open kprobe_profile\n");

	while (fgets(line, sizeof(line), f))
		if (sscanf(line, " " EVENT " %lu", &hits) == 1)
			break;

	VFIO_ASSERT_NE(hits, ~0UL);
	VFIO_ASSERT_EQ(fclose(f), 0);
	return hits;
}

FIXTURE(vfio_pci_close_callback_test) {
	struct iommu *iommu;
};

FIXTURE_SETUP(vfio_pci_close_callback_test)
{
	char *driver = sysfs_driver_get(device_bdf);
	const char *symbol = NULL;
	int i;

	VFIO_ASSERT_NOT_NULL(driver);
	for (i = 0; i < ARRAY_SIZE(variants); i++)
		if (!strcmp(driver, variants[i].driver))
			symbol = variants[i].reset_done;
	free(driver);

	if (!symbol)
		SKIP(return, "Driver does not have a reset_done() callback");

	self->iommu = iommu_init(default_iommu_mode);
	if (!device_can_reset(self->iommu))
		SKIP(return, "Device does not support reset");

	if (kprobe_add(symbol))
		SKIP(return, "Cannot add a kprobe");
}

FIXTURE_TEARDOWN(vfio_pci_close_callback_test)
{
	kprobe_remove();
	iommu_cleanup(self->iommu);
}

TEST_F(vfio_pci_close_callback_test, reset_done)
{
	struct vfio_pci_device *device;
	unsigned long hits;

	/* The open resets the device, too, so this tells that the probe works */
	hits = kprobe_hits();
	device = vfio_pci_device_init(device_bdf, self->iommu);
	ASSERT_EQ(hits + 1, kprobe_hits());

	hits = kprobe_hits();
	vfio_pci_device_reset(device);
	ASSERT_EQ(hits + 1, kprobe_hits());

	hits = kprobe_hits();
	vfio_pci_device_cleanup(device);
	ASSERT_EQ(hits + 1, kprobe_hits());
}

int main(int argc, char *argv[])
{
	device_bdf = vfio_selftests_get_bdf(&argc, argv);
	return test_harness_run(argc, argv);
}
