/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_SLOT_POWER_H
#define SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_SLOT_POWER_H

#include <stdbool.h>

#include <linux/types.h>

/*
 * The power of the slot that a device is in.  There are no pointers in here,
 * so that a fixture can hold it that is torn down in the parent process.
 */
struct slot_power {
	/* The device and the PCIe port above it */
	char bdf[16];
	char port[16];

	/* What the device responds with, and how it got its driver */
	u32 id;
	char driver[32];
	char driver_override[32];

	/* The port's PCI Express capability, and whether it reports the link */
	u8 pcie_cap;
	bool link_active;
};

/*
 * Find the slot of a device.
 *
 * Cutting the power is not for every machine: firmware may own the slot.  Only
 * with the environment variable $VFIO_SELFTESTS_SLOT_POWER is it ours to cut.
 *
 * Returns NULL, or the reason why the power of that slot is not ours to cut.
 * The functions below do nothing in that case.
 */
const char *slot_power_init(struct slot_power *slot, const char *bdf);

/*
 * Cut the power.  The device does not respond any more when this returns.
 */
void slot_power_off(struct slot_power *slot);

/*
 * Give the power back.  The device responds when this returns.  It has lost
 * its state, except for what the kernel restores.
 */
void slot_power_on(struct slot_power *slot);

/*
 * Leave the device powered, configured as on boot and bound to its driver,
 * whatever has become of it.  Nobody may have it open.
 */
void slot_power_cleanup(struct slot_power *slot);

#endif /* SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_SLOT_POWER_H */
