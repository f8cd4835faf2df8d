/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_VFIO_PCI_STATE_H
#define SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_VFIO_PCI_STATE_H

#include <linux/pci_regs.h>
#include <linux/types.h>
#include <linux/vfio.h>

#include <libvfio/vfio_pci_device.h>

struct vfio_pci_msix_entry {
	u32 addr_lo;
	u32 addr_hi;
	u32 data;
	u32 ctrl;
};

/*
 * What a PCI function looks like at one moment. Large: use
 * vfio_pci_state_alloc().
 */
struct vfio_pci_state {
	const char *bdf;

	/* Config space as the hardware holds it, read through sysfs. */
	u8 config[PCI_CFG_SPACE_EXP_SIZE];
	size_t config_size;

	/* Does the kernel save the AER registers? Not without CONFIG_PCIEAER. */
	bool aer_saved;

	/* What follows is valid only if the device was open. */
	bool open;

	/* The power state that the kernel believes the device is in: "D0" */
	char power_state[16];

	/* Config space as VFIO shows it to its user. */
	u8 vconfig[PCI_CFG_SPACE_EXP_SIZE];

	u64 region_size[VFIO_PCI_NUM_REGIONS];
	u32 irq_count[VFIO_PCI_NUM_IRQS];

	/*
	 * The MSI-X table, read through the BAR. msix_count is 0 if there is
	 * no table, it cannot be mapped, or the device is inaccessible or not
	 * in D0.
	 */
	u32 msix_count;
	struct vfio_pci_msix_entry msix_table[PCI_MSIX_FLAGS_QSIZE + 1];
};

static inline struct vfio_pci_state *vfio_pci_state_alloc(void)
{
	return calloc_assert(1, sizeof(struct vfio_pci_state));
}

/*
 * Take a snapshot of an open device. Memory Space is enabled while the MSI-X
 * table is read and then put back; config space is read before that, because
 * VFIO repairs BARs on a write to Command.
 */
void vfio_pci_state_read(struct vfio_pci_device *device, struct vfio_pci_state *state);

/* Take a snapshot of the hardware's config space, open or not. */
void vfio_pci_state_read_config(const char *bdf, struct vfio_pci_state *state);

/*
 * Compare two snapshots of the same function: all that the kernel promises to
 * restore after a reset and all that no reset may change. Prints one line for
 * each register that differs, and returns the number of such registers. Only
 * what both snapshots contain is compared.
 */
int vfio_pci_state_diff(const struct vfio_pci_state *before,
			const struct vfio_pci_state *after);

/* Does config space respond, that is, is it not all ones? */
bool vfio_pci_state_accessible(const struct vfio_pci_state *state);

/* Locate a (PCIe extended) capability in hardware config space, 0 if absent. */
u16 vfio_pci_state_find_cap(const struct vfio_pci_state *state, u8 id);
u16 vfio_pci_state_find_ext_cap(const struct vfio_pci_state *state, u16 id);

static inline u16 vfio_pci_state_readw(const struct vfio_pci_state *state, u16 offset)
{
	return state->config[offset] | state->config[offset + 1] << 8;
}

static inline u32 vfio_pci_state_readl(const struct vfio_pci_state *state, u16 offset)
{
	return vfio_pci_state_readw(state, offset) |
	       (u32)vfio_pci_state_readw(state, offset + 2) << 16;
}

/*
 * Give registers that must survive a reset values other than those a reset
 * leaves, where the device and VFIO allow it: otherwise a register that was
 * not restored may look as if it was. A few registers VFIO does not let its
 * user write are written through sysfs instead. Nothing that would upset an
 * idle device or its link is touched, and all of it is undone when the device
 * is closed.
 *
 * Returns the number of registers that took a value.
 */
int vfio_pci_state_fill(struct vfio_pci_device *device);

/*
 * Leave a mark in the Vector Control register of MSI-X table entry 0 that a
 * reset has to remove.
 *
 * While MSI-X is disabled, the mark is a cleared Mask bit: the bit is 1 after
 * an FLR as after any reset (PCIe r6.0, sec 7.7.2.8 and 6.6.2), and the kernel
 * does not write a table that is not in use, so that only the hardware's reset
 * can have removed the mark. While MSI-X is enabled, and entry 0 in use, the
 * mark is a set Mask bit, and it is the kernel that has to clear it when it
 * restores the table after the reset.
 *
 * Returns false if the device has no MSI-X table that can be mapped.
 */
bool vfio_pci_reset_mark(struct vfio_pci_device *device);
bool vfio_pci_reset_mark_removed(struct vfio_pci_device *device);

#endif /* SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_VFIO_PCI_STATE_H */
