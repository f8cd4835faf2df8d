// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/io.h>
#include <linux/kernel.h>
#include <linux/limits.h>
#include <linux/pci_regs.h>
#include <linux/types.h>

#include <libvfio.h>

/* Where a register lives: the header, or a capability, or an extended one. */
#define HDR		0
#define CAP(_id)	(PCI_CAP_ID_##_id)
#define EXT_CAP		0x10000
#define EXT(_id)	(EXT_CAP | PCI_EXT_CAP_ID_##_id)

struct pci_reg {
	const char *name;
	u32 cap;
	u16 offset;
	u8 size;
	u32 mask;	/* bits to compare, 0 for all */
};

/*
 * What must be the same before and after a reset, in the order it is printed.
 *
 * Status registers are not here: errors happen. Neither are Slot Control,
 * Root Control, DPC and bridge registers, though pci_save_state() saves them:
 * VFIO does not bind to ports.
 */
static const struct pci_reg regs[] = {
	/* What no reset may change */
	{ "Vendor and Device ID",		HDR, PCI_VENDOR_ID, 4 },
	{ "Revision ID and Class Code",		HDR, PCI_CLASS_REVISION, 4 },
	{ "Header Type",			HDR, PCI_HEADER_TYPE, 1 },
	{ "Subsystem IDs",			HDR, PCI_SUBSYSTEM_VENDOR_ID, 4 },
	{ "Interrupt Pin",			HDR, PCI_INTERRUPT_PIN, 1 },
	{ "PCIe Capabilities",			CAP(EXP), PCI_EXP_FLAGS, 2 },
	{ "PCIe Device Capabilities",		CAP(EXP), PCI_EXP_DEVCAP, 4 },
	{ "PCIe Link Capabilities",		CAP(EXP), PCI_EXP_LNKCAP, 4 },
	{ "PCIe Device Capabilities 2",		CAP(EXP), PCI_EXP_DEVCAP2, 4 },
	{ "PM Capabilities",			CAP(PM), PCI_PM_PMC, 2 },
	{ "MSI-X Table Offset/BIR",		CAP(MSIX), PCI_MSIX_TABLE, 4 },
	{ "MSI-X PBA Offset/BIR",		CAP(MSIX), PCI_MSIX_PBA, 4 },

	/* Header: pci_restore_config_space() */
	{ "Command",				HDR, PCI_COMMAND, 2 },
	{ "Cache Line Size",			HDR, PCI_CACHE_LINE_SIZE, 1 },
	{ "Latency Timer",			HDR, PCI_LATENCY_TIMER, 1 },
	{ "BAR 0",				HDR, PCI_BASE_ADDRESS_0, 4 },
	{ "BAR 1",				HDR, PCI_BASE_ADDRESS_1, 4 },
	{ "BAR 2",				HDR, PCI_BASE_ADDRESS_2, 4 },
	{ "BAR 3",				HDR, PCI_BASE_ADDRESS_3, 4 },
	{ "BAR 4",				HDR, PCI_BASE_ADDRESS_4, 4 },
	{ "BAR 5",				HDR, PCI_BASE_ADDRESS_5, 4 },
	{ "Expansion ROM BAR",			HDR, PCI_ROM_ADDRESS, 4 },
	{ "Interrupt Line",			HDR, PCI_INTERRUPT_LINE, 1 },

	/* A reset leaves the function in D0, where it has to be found. */
	{ "PM Control/Status",			CAP(PM), PCI_PM_CTRL, 2,
	  PCI_PM_CTRL_STATE_MASK | PCI_PM_CTRL_NO_SOFT_RESET },

	/* pci_restore_pcie_state() */
	{ "PCIe Device Control",		CAP(EXP), PCI_EXP_DEVCTL, 2 },
	{ "PCIe Link Control",			CAP(EXP), PCI_EXP_LNKCTL, 2 },
	{ "PCIe Device Control 2",		CAP(EXP), PCI_EXP_DEVCTL2, 2 },
	{ "PCIe Link Control 2",		CAP(EXP), PCI_EXP_LNKCTL2, 2 },
	{ "LTR Max Latencies",			EXT(LTR), PCI_LTR_MAX_SNOOP_LAT, 4 },
	{ "L1 PM Substates Control 1",		EXT(L1SS), PCI_L1SS_CTL1, 4 },
	{ "L1 PM Substates Control 2",		EXT(L1SS), PCI_L1SS_CTL2, 4 },
	{ "PCI-X Command",			CAP(PCIX), PCI_X_CMD, 2 },

	/* pci_restore_msi_state() */
	{ "MSI Control",			CAP(MSI), PCI_MSI_FLAGS, 2 },
	{ "MSI Address",			CAP(MSI), PCI_MSI_ADDRESS_LO, 4 },
	{ "MSI Upper Address",			CAP(MSI), PCI_MSI_ADDRESS_HI, 4 },
	{ "MSI Data",				CAP(MSI), PCI_MSI_DATA_32, 2 },
	{ "MSI Data",				CAP(MSI), PCI_MSI_DATA_64, 2 },
	{ "MSI Mask",				CAP(MSI), PCI_MSI_MASK_32, 4 },
	{ "MSI Mask",				CAP(MSI), PCI_MSI_MASK_64, 4 },
	{ "MSI-X Control",			CAP(MSIX), PCI_MSIX_FLAGS, 2 },

	/* The rest of pci_restore_state() */
	{ "PASID Control",			EXT(PASID), PCI_PASID_CTRL, 2 },
	{ "PRI Control",			EXT(PRI), PCI_PRI_CTRL, 2 },
	{ "PRI Allocation",			EXT(PRI), PCI_PRI_ALLOC_REQ, 4 },
	{ "ATS Control",			EXT(ATS), PCI_ATS_CTRL, 2 },
	{ "VC Port Control",			EXT(VC), PCI_VC_PORT_CTRL, 2 },
	{ "VC0 Control",			EXT(VC), PCI_VC_RES_CTRL, 4 },
	{ "MFVC Port Control",			EXT(MFVC), PCI_VC_PORT_CTRL, 2 },
	{ "MFVC VC0 Control",			EXT(MFVC), PCI_VC_RES_CTRL, 4 },
	{ "Resizable BAR 1st Control",		EXT(REBAR), PCI_REBAR_CTRL, 4 },
	{ "Resizable BAR 2nd Control",		EXT(REBAR), PCI_REBAR_CTRL + 8, 4 },
	{ "Resizable BAR 3rd Control",		EXT(REBAR), PCI_REBAR_CTRL + 16, 4 },
	{ "Resizable BAR 4th Control",		EXT(REBAR), PCI_REBAR_CTRL + 24, 4 },
	{ "Resizable BAR 5th Control",		EXT(REBAR), PCI_REBAR_CTRL + 32, 4 },
	{ "Resizable BAR 6th Control",		EXT(REBAR), PCI_REBAR_CTRL + 40, 4 },
	{ "PTM Control",			EXT(PTM), PCI_PTM_CTRL, 4 },
	{ "TPH Requester Control",		EXT(TPH), PCI_TPH_CTRL, 4 },
	{ "AER Uncorrectable Error Mask",	EXT(ERR), PCI_ERR_UNCOR_MASK, 4 },
	{ "AER Uncorrectable Error Severity",	EXT(ERR), PCI_ERR_UNCOR_SEVER, 4 },
	{ "AER Correctable Error Mask",		EXT(ERR), PCI_ERR_COR_MASK, 4 },
	/* Not the First Error Pointer and what it is about: they are status. */
	{ "AER Capabilities and Control",	EXT(ERR), PCI_ERR_CAP, 4,
	  PCI_ERR_CAP_ECRC_GENC | PCI_ERR_CAP_ECRC_GENE |
	  PCI_ERR_CAP_ECRC_CHKC | PCI_ERR_CAP_ECRC_CHKE },
	{ "ACS Control",			EXT(ACS), PCI_ACS_CTRL, 2 },
	{ "SR-IOV Control",			EXT(SRIOV), PCI_SRIOV_CTRL, 2 },
	{ "SR-IOV NumVFs",			EXT(SRIOV), PCI_SRIOV_NUM_VF, 2 },
	{ "SR-IOV System Page Size",		EXT(SRIOV), PCI_SRIOV_SYS_PGSIZE, 4 },
	{ "SR-IOV VF BAR 0",			EXT(SRIOV), PCI_SRIOV_BAR, 4 },
	{ "SR-IOV VF BAR 1",			EXT(SRIOV), PCI_SRIOV_BAR + 4, 4 },
	{ "SR-IOV VF BAR 2",			EXT(SRIOV), PCI_SRIOV_BAR + 8, 4 },
	{ "SR-IOV VF BAR 3",			EXT(SRIOV), PCI_SRIOV_BAR + 12, 4 },
	{ "SR-IOV VF BAR 4",			EXT(SRIOV), PCI_SRIOV_BAR + 16, 4 },
	{ "SR-IOV VF BAR 5",			EXT(SRIOV), PCI_SRIOV_BAR + 20, 4 },
};

static u32 config_get(const u8 *config, u16 offset, u8 size)
{
	u32 val = 0;

	while (size--)
		val = val << 8 | config[offset + size];

	return val;
}

static void config_put(u8 *config, u8 size, u32 val)
{
	for (; size--; val >>= 8)
		*config++ = val;
}

struct pci_cap {
	u32 id;
	u16 offset;
};

#define MAX_CAPS	(PCI_CFG_SPACE_SIZE / 4 + PCI_CFG_SPACE_EXP_SIZE / 8)

/* Bounded, since the lists of a broken device may contain a loop. */
static int get_caps(const u8 *config, size_t size, struct pci_cap *caps)
{
	int n = 0;
	u32 pos;

	if (config_get(config, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST) {
		pos = config[PCI_CAPABILITY_LIST] & ~3;
		while (pos >= PCI_STD_HEADER_SIZEOF && n < PCI_CFG_SPACE_SIZE / 4) {
			caps[n].id = config[pos + PCI_CAP_LIST_ID];
			caps[n++].offset = pos;
			pos = config[pos + PCI_CAP_LIST_NEXT] & ~3;
		}
	}

	pos = PCI_CFG_SPACE_SIZE;
	while (pos >= PCI_CFG_SPACE_SIZE && pos + 4 <= size && n < MAX_CAPS) {
		u32 header = config_get(config, pos, 4);

		if (!header || header == ~0U)
			break;

		caps[n].id = EXT_CAP | PCI_EXT_CAP_ID(header);
		caps[n++].offset = pos;
		pos = PCI_EXT_CAP_NEXT(header);
	}

	return n;
}

static u16 find_cap(const u8 *config, size_t size, u32 id)
{
	struct pci_cap caps[MAX_CAPS];
	int i, n;

	n = get_caps(config, size, caps);
	for (i = 0; i < n; i++) {
		if (caps[i].id == id)
			return caps[i].offset;
	}

	return 0;
}

u16 vfio_pci_state_find_cap(const struct vfio_pci_state *state, u8 id)
{
	return find_cap(state->config, state->config_size, id);
}

u16 vfio_pci_state_find_ext_cap(const struct vfio_pci_state *state, u16 id)
{
	return find_cap(state->config, state->config_size, EXT_CAP | id);
}

bool vfio_pci_state_accessible(const struct vfio_pci_state *state)
{
	/* Not the IDs, which are all ones in a VF. */
	return config_get(state->config, PCI_COMMAND, 4) != ~0U;
}

/* Is MSI or MSI-X enabled? */
static bool msi_enabled(const u8 *config, size_t size)
{
	u16 msi = find_cap(config, size, CAP(MSI));
	u16 msix = find_cap(config, size, CAP(MSIX));

	return (msi && config_get(config, msi + PCI_MSI_FLAGS, 2) & PCI_MSI_FLAGS_ENABLE) ||
	       (msix && config_get(config, msix + PCI_MSIX_FLAGS, 2) & PCI_MSIX_FLAGS_ENABLE);
}

/* Does the capability at @pos have this register, and does it mean anything? */
static bool reg_valid(const u8 *config, u16 pos, u32 cap, u16 offset, u8 size)
{
	u32 flags;

	switch (cap) {
	case CAP(EXP):
		flags = config_get(config, pos + PCI_EXP_FLAGS, 2);
		if ((flags & PCI_EXP_FLAGS_VERS) >= 2)
			return true;
		if ((flags & PCI_EXP_FLAGS_TYPE) >> 4 == PCI_EXP_TYPE_RC_END)
			return offset < PCI_CAP_EXP_RC_ENDPOINT_SIZEOF_V1;
		return offset < PCI_CAP_EXP_ENDPOINT_SIZEOF_V1;

	case CAP(MSI):
		if (offset == PCI_MSI_FLAGS)
			return true;
		flags = config_get(config, pos + PCI_MSI_FLAGS, 2);
		/* Left over from an earlier use, and not restored */
		if (!(flags & PCI_MSI_FLAGS_ENABLE))
			return false;
		if (offset == PCI_MSI_ADDRESS_LO)
			return true;
		if (flags & PCI_MSI_FLAGS_64BIT)
			return (offset == PCI_MSI_ADDRESS_HI && size == 4) ||
			       (offset == PCI_MSI_DATA_64 && size == 2) ||
			       (offset == PCI_MSI_MASK_64 && flags & PCI_MSI_FLAGS_MASKBIT);
		return (offset == PCI_MSI_DATA_32 && size == 2) ||
		       (offset == PCI_MSI_MASK_32 && size == 4 &&
			flags & PCI_MSI_FLAGS_MASKBIT);

	case EXT(PRI):
		flags = config_get(config, pos + PCI_PRI_CTRL, 2);
		return offset == PCI_PRI_CTRL || flags & PCI_PRI_CTRL_ENABLE;

	case EXT(REBAR):
		flags = config_get(config, pos + PCI_REBAR_CTRL, 4);
		return (offset - PCI_REBAR_CTRL) / 8 <
		       (flags & PCI_REBAR_CTRL_NBAR_MASK) >> PCI_REBAR_CTRL_NBAR_SHIFT;
	}

	return true;
}

static u32 reg_mask(const u8 *config, size_t size, const struct pci_reg *reg,
		    bool hardware)
{
	u32 mask = reg->mask ? : ~0U;

	if (!hardware)
		return mask;

	/*
	 * A function must not use INTx while MSI or MSI-X is enabled (PCIe
	 * r6.0, sec 6.1.4), so that the kernel may disable it or not.
	 */
	if (reg->cap == HDR && reg->offset == PCI_COMMAND && msi_enabled(config, size))
		mask &= ~PCI_COMMAND_INTX_DISABLE;

	/* Left over from an earlier use, and not restored */
	if (reg->cap == CAP(MSI) && reg->offset == PCI_MSI_FLAGS && !msi_enabled(config, size))
		mask &= ~PCI_MSI_FLAGS_QSIZE;

	return mask;
}

static int diff_caps(const char *bdf, const char *view, const u8 *before,
		     const u8 *after, size_t size)
{
	struct pci_cap b[MAX_CAPS] = {}, a[MAX_CAPS] = {};
	int i, nb, na;

	nb = get_caps(before, size, b);
	na = get_caps(after, size, a);

	for (i = 0; i < max(nb, na); i++) {
		if (b[i].id == a[i].id && b[i].offset == a[i].offset)
			continue;

		printf("%s: Capability list%s: %u: 0x%x at 0x%03x -> 0x%x at 0x%03x\n",
		       bdf, view, i, b[i].id & ~EXT_CAP, b[i].offset,
		       a[i].id & ~EXT_CAP, a[i].offset);
		return 1;
	}

	return 0;
}

static int diff_config(const struct vfio_pci_state *before,
		       const struct vfio_pci_state *after, bool hardware)
{
	const char *view = hardware ? "" : " (as VFIO shows it)";
	const u8 *b = hardware ? before->config : before->vconfig;
	const u8 *a = hardware ? after->config : after->vconfig;
	size_t size = min(before->config_size, after->config_size);
	int i, n = 0;

	n += diff_caps(before->bdf, view, b, a, size);

	for (i = 0; i < ARRAY_SIZE(regs); i++) {
		const struct pci_reg *reg = &regs[i];
		u16 pos = 0;
		u32 vb, va;

		if (reg->cap == EXT(ERR) && !before->aer_saved)
			continue;

		if (reg->cap != HDR) {
			pos = find_cap(b, size, reg->cap);
			if (!pos || !reg_valid(b, pos, reg->cap, reg->offset, reg->size))
				continue;
		}

		/* The kernel may put a device that is not open into D3. */
		if (reg->cap == CAP(PM) && reg->offset == PCI_PM_CTRL &&
		    !(before->open && after->open))
			continue;

		vb = config_get(b, pos + reg->offset, reg->size);
		va = config_get(a, pos + reg->offset, reg->size);
		if (!((vb ^ va) & reg_mask(b, size, reg, hardware)))
			continue;

		printf("%s: %s%s: 0x%0*x -> 0x%0*x\n", before->bdf, reg->name, view,
		       reg->size * 2, vb, reg->size * 2, va);
		n++;
	}

	return n;
}

/* Enough to see the pattern: there may be thousands. */
#define MAX_MSIX_LINES	4

static int diff_msix_table(const struct vfio_pci_state *before,
			   const struct vfio_pci_state *after)
{
	u16 msix = vfio_pci_state_find_cap(before, PCI_CAP_ID_MSIX);
	int i, n = 0;

	/* A table that is not in use keeps nothing. */
	if (!msix || !(vfio_pci_state_readw(before, msix + PCI_MSIX_FLAGS) &
		       PCI_MSIX_FLAGS_ENABLE))
		return 0;

	for (i = 0; i < min(before->msix_count, after->msix_count); i++) {
		const struct vfio_pci_msix_entry *b = &before->msix_table[i];
		const struct vfio_pci_msix_entry *a = &after->msix_table[i];

		if (!memcmp(b, a, sizeof(*b)))
			continue;

		/* The message of a masked entry may be left over from an earlier use. */
		if (b->ctrl & a->ctrl & PCI_MSIX_ENTRY_CTRL_MASKBIT)
			continue;

		if (n++ < MAX_MSIX_LINES)
			printf("%s: MSI-X entry %d: %08x %08x %08x %08x -> %08x %08x %08x %08x\n",
			       before->bdf, i,
			       b->addr_lo, b->addr_hi, b->data, b->ctrl,
			       a->addr_lo, a->addr_hi, a->data, a->ctrl);
	}

	if (n > MAX_MSIX_LINES)
		printf("%s: MSI-X: %d entries differ in total\n", before->bdf, n);

	return n;
}

int vfio_pci_state_diff(const struct vfio_pci_state *before,
			const struct vfio_pci_state *after)
{
	int i, n;

	VFIO_ASSERT_TRUE(vfio_pci_state_accessible(before));

	if (!vfio_pci_state_accessible(after)) {
		printf("%s: Config space is inaccessible\n", after->bdf);
		return 1;
	}

	n = diff_config(before, after, true);
	if (!before->open || !after->open)
		return n;

	n += diff_config(before, after, false);

	if (strcmp(before->power_state, after->power_state)) {
		printf("%s: Power state the kernel believes in: %s -> %s\n",
		       before->bdf, before->power_state, after->power_state);
		n++;
	}

	for (i = 0; i < VFIO_PCI_NUM_REGIONS; i++) {
		if (before->region_size[i] == after->region_size[i])
			continue;
		printf("%s: Size of region %d: 0x%llx -> 0x%llx\n", before->bdf, i,
		       (unsigned long long)before->region_size[i],
		       (unsigned long long)after->region_size[i]);
		n++;
	}

	for (i = 0; i < VFIO_PCI_NUM_IRQS; i++) {
		if (before->irq_count[i] == after->irq_count[i])
			continue;
		printf("%s: Vectors of IRQ index %d: %u -> %u\n", before->bdf, i,
		       before->irq_count[i], after->irq_count[i]);
		n++;
	}

	return n + diff_msix_table(before, after);
}

void vfio_pci_state_read_config(const char *bdf, struct vfio_pci_state *state)
{
	char path[PATH_MAX];

	memset(state, 0, sizeof(*state));
	state->bdf = bdf;

	/* Extended config space is there or not. */
	state->config_size = sizeof(state->config);
	if (__sysfs_config_access(bdf, false, 0, state->config_size, state->config)) {
		state->config_size = PCI_CFG_SPACE_SIZE;
		sysfs_config_access(bdf, false, 0, state->config_size, state->config);
	}

	/* Firmware may have AER all the same: who owns it makes no difference. */
	snprintf_assert(path, PATH_MAX, "/sys/bus/pci/devices/%s/aer_dev_correctable", bdf);
	state->aer_saved = !access(path, F_OK);
}

/* Find the MSI-X table and its number of entries, NULL if it is out of reach. */
static struct vfio_pci_msix_entry *msix_table_map(struct vfio_pci_device *device,
						  const struct vfio_pci_state *state,
						  u32 *count)
{
	u16 msix = vfio_pci_state_find_cap(state, PCI_CAP_ID_MSIX);
	struct vfio_pci_bar *bar;
	u32 table, offset;

	if (!msix || !vfio_pci_state_accessible(state))
		return NULL;

	*count = (vfio_pci_state_readw(state, msix + PCI_MSIX_FLAGS) &
		  PCI_MSIX_FLAGS_QSIZE) + 1;

	table = vfio_pci_state_readl(state, msix + PCI_MSIX_TABLE);
	VFIO_ASSERT_LT(table & PCI_MSIX_TABLE_BIR, PCI_STD_NUM_BARS);
	bar = &device->bars[table & PCI_MSIX_TABLE_BIR];
	offset = table & PCI_MSIX_TABLE_OFFSET;

	if (!bar->vaddr)
		return NULL;

	VFIO_ASSERT_LE(offset + *count * PCI_MSIX_ENTRY_SIZE, bar->info.size);
	return bar->vaddr + offset;
}

/*
 * Turn Memory Space on to reach a BAR, and back to what it was. Written even
 * if it reads as on: whether VFIO lets the user access a BAR depends on what
 * the user wrote, not on what the hardware holds.
 */
static u16 memory_enable(struct vfio_pci_device *device)
{
	u16 cmd = vfio_pci_config_readw(device, PCI_COMMAND);

	vfio_pci_config_writew(device, PCI_COMMAND, cmd | PCI_COMMAND_MEMORY);

	return cmd;
}

static void memory_restore(struct vfio_pci_device *device, u16 cmd)
{
	vfio_pci_config_writew(device, PCI_COMMAND, cmd);
}

void vfio_pci_state_read(struct vfio_pci_device *device, struct vfio_pci_state *state)
{
	struct vfio_pci_msix_entry *table;
	u32 count;
	u16 cmd;
	int i;

	vfio_pci_state_read_config(device->bdf, state);
	state->open = true;
	sysfs_device_attr_get(device->bdf, "power_state", state->power_state,
			      sizeof(state->power_state));
	vfio_pci_config_access(device, false, 0, state->config_size, state->vconfig);

	for (i = 0; i < VFIO_PCI_NUM_REGIONS; i++) {
		struct vfio_region_info info = { .argsz = sizeof(info), .index = i };

		/* A ROM to which no firmware has given an address would get one. */
		if (i == VFIO_PCI_ROM_REGION_INDEX &&
		    !(vfio_pci_state_readl(state, PCI_ROM_ADDRESS) & PCI_ROM_ADDRESS_MASK))
			continue;

		/* There is no VGA region without VGA. */
		if (!ioctl(device->fd, VFIO_DEVICE_GET_REGION_INFO, &info))
			state->region_size[i] = info.size;
	}

	for (i = 0; i < VFIO_PCI_NUM_IRQS; i++) {
		struct vfio_irq_info info = { .argsz = sizeof(info), .index = i };

		/* Not every function has every index. */
		if (!ioctl(device->fd, VFIO_DEVICE_GET_IRQ_INFO, &info))
			state->irq_count[i] = info.count;
	}

	/* VFIO lets nobody access BARs in another power state. */
	if (strcmp(state->power_state, "D0"))
		return;

	table = msix_table_map(device, state, &count);
	if (!table)
		return;

	cmd = memory_enable(device);
	for (i = 0; i < count; i++) {
		state->msix_table[i].addr_lo = readl(&table[i].addr_lo);
		state->msix_table[i].addr_hi = readl(&table[i].addr_hi);
		state->msix_table[i].data = readl(&table[i].data);
		state->msix_table[i].ctrl = readl(&table[i].ctrl);
	}
	state->msix_count = count;
	memory_restore(device, cmd);
}

/* Bits to clear and set so that a register is not at its reset default */
static const struct pci_fill {
	u32 cap;
	u16 offset;
	u8 size;
	u32 clear;
	u32 set;
	bool sysfs;	/* VFIO does not let its user write it */
} fills[] = {
	{ HDR, PCI_COMMAND, 2, 0, PCI_COMMAND_PARITY | PCI_COMMAND_SERR },
	{ HDR, PCI_CACHE_LINE_SIZE, 1, 0xff, 0x10 },
	{ HDR, PCI_LATENCY_TIMER, 1, 0xff, 0x40 },
	{ HDR, PCI_INTERRUPT_LINE, 1, 0xff, 0x5a, true },
	{ CAP(EXP), PCI_EXP_DEVCTL, 2,
	  PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_NOSNOOP_EN | PCI_EXP_DEVCTL_READRQ,
	  PCI_EXP_DEVCTL_CERE | PCI_EXP_DEVCTL_NFERE | PCI_EXP_DEVCTL_FERE |
	  PCI_EXP_DEVCTL_URRE | PCI_EXP_DEVCTL_READRQ_256B },
	{ CAP(EXP), PCI_EXP_LNKCTL, 2, 0, PCI_EXP_LNKCTL_ES, true },
	{ CAP(EXP), PCI_EXP_DEVCTL2, 2, 0,
	  PCI_EXP_DEVCTL2_COMP_TMOUT_DIS | PCI_EXP_DEVCTL2_IDO_REQ_EN |
	  PCI_EXP_DEVCTL2_IDO_CMP_EN },
	{ EXT(LTR), PCI_LTR_MAX_SNOOP_LAT, 4, 0, 0x10011001, true },
	{ EXT(ERR), PCI_ERR_UNCOR_MASK, 4, 0, PCI_ERR_UNC_UNX_COMP },
	/* Masked above, so that its severity makes no difference */
	{ EXT(ERR), PCI_ERR_UNCOR_SEVER, 4, 0, PCI_ERR_UNC_UNX_COMP },
	{ EXT(ERR), PCI_ERR_COR_MASK, 4, 0, PCI_ERR_COR_BAD_TLP },
};

int vfio_pci_state_fill(struct vfio_pci_device *device)
{
	struct vfio_pci_state *state = vfio_pci_state_alloc();
	int i, n = 0;

	vfio_pci_state_read_config(device->bdf, state);

	for (i = 0; i < ARRAY_SIZE(fills); i++) {
		const struct pci_fill *fill = &fills[i];
		u8 buf[sizeof(u32)];
		u16 pos = 0;
		u32 old;

		if (fill->cap == EXT(ERR) && !state->aer_saved)
			continue;

		if (fill->cap != HDR) {
			pos = find_cap(state->config, state->config_size, fill->cap);
			if (!pos || !reg_valid(state->config, pos, fill->cap,
					       fill->offset, fill->size))
				continue;
		}
		pos += fill->offset;

		old = config_get(state->config, pos, fill->size);
		if (fill->sysfs) {
			config_put(buf, fill->size, (old & ~fill->clear) | fill->set);
			/* Not possible while the kernel is locked down */
			__sysfs_config_access(device->bdf, true, pos, fill->size, buf);
		} else {
			vfio_pci_config_access(device, false, pos, fill->size, buf);
			config_put(buf, fill->size,
				   (config_get(buf, 0, fill->size) & ~fill->clear) | fill->set);
			vfio_pci_config_access(device, true, pos, fill->size, buf);
		}

		sysfs_config_access(device->bdf, false, pos, fill->size, buf);
		if (config_get(buf, 0, fill->size) != old)
			n++;
	}

	free(state);
	return n;
}

/*
 * Find the Vector Control register of entry 0. Is MSI-X, and with it the
 * entry, in use?
 */
static u32 *mark_map(struct vfio_pci_device *device, bool *in_use)
{
	struct vfio_pci_state *state = vfio_pci_state_alloc();
	struct vfio_pci_msix_entry *table;
	u32 count;
	u16 msix;

	vfio_pci_state_read_config(device->bdf, state);
	table = msix_table_map(device, state, &count);
	if (table) {
		msix = vfio_pci_state_find_cap(state, PCI_CAP_ID_MSIX);
		*in_use = vfio_pci_state_readw(state, msix + PCI_MSIX_FLAGS) &
			  PCI_MSIX_FLAGS_ENABLE;
	}
	free(state);

	return table ? &table->ctrl : NULL;
}

bool vfio_pci_reset_mark(struct vfio_pci_device *device)
{
	u32 *reg, ctrl;
	bool in_use;
	u16 cmd;

	reg = mark_map(device, &in_use);
	if (!reg)
		return false;

	cmd = memory_enable(device);
	ctrl = readl(reg) & ~PCI_MSIX_ENTRY_CTRL_MASKBIT;
	if (in_use)
		ctrl |= PCI_MSIX_ENTRY_CTRL_MASKBIT;
	writel(ctrl, reg);
	VFIO_ASSERT_EQ(readl(reg), ctrl);
	memory_restore(device, cmd);

	return true;
}

bool vfio_pci_reset_mark_removed(struct vfio_pci_device *device)
{
	bool in_use, masked;
	u32 *reg;
	u16 cmd;

	reg = mark_map(device, &in_use);
	VFIO_ASSERT_NOT_NULL(reg);

	cmd = memory_enable(device);
	masked = readl(reg) & PCI_MSIX_ENTRY_CTRL_MASKBIT;
	memory_restore(device, cmd);

	return masked != in_use;
}
