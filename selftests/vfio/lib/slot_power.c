// SPDX-License-Identifier: GPL-2.0-only
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include <libvfio.h>

#define BUS_DIR "/sys/bus/pci"
#define DEVICES_DIR BUS_DIR "/devices"

#define POLL_INTERVAL_US 10000
#define POLL_COUNT (10 * 1000000 / POLL_INTERVAL_US)

#define poll_until(_cond, ...) do {			\
	int __left = POLL_COUNT;			\
							\
	while (!(_cond)) {				\
		VFIO_ASSERT_GT(__left--, 0, __VA_ARGS__); \
		usleep(POLL_INTERVAL_US);		\
	}						\
} while (0)

static bool is_pci_address(const char *name)
{
	unsigned int s, b, d, f;
	int length = 0;

	return sscanf(name, "%4x:%2x:%2x.%1x%n", &s, &b, &d, &f, &length) == 4 &&
	       length == strlen(name);
}

/* Does a directory have an entry that begins with @prefix? */
static bool dir_has(const char *path, const char *prefix)
{
	struct dirent *entry;
	bool found = false;
	DIR *dir;

	dir = opendir(path);
	if (!dir)
		return false;

	while (!found && (entry = readdir(dir)))
		found = !strncmp(entry->d_name, prefix, strlen(prefix));

	VFIO_ASSERT_EQ(closedir(dir), 0);
	return found;
}

static bool is_alone(const char *port, const char *bdf)
{
	struct dirent *entry;
	char path[PATH_MAX];
	bool alone = true;
	DIR *dir;

	snprintf_assert(path, PATH_MAX, DEVICES_DIR "/%s", port);
	dir = opendir(path);
	VFIO_ASSERT_NOT_NULL(dir, "opendir(%s) failed\n", path);

	while (alone && (entry = readdir(dir)))
		alone = !is_pci_address(entry->d_name) || !strcmp(entry->d_name, bdf);

	VFIO_ASSERT_EQ(closedir(dir), 0);
	return alone;
}

static u16 port_readw(struct slot_power *slot, u8 offset)
{
	return sysfs_config_readw(slot->port, slot->pcie_cap + offset);
}

static u32 device_id(struct slot_power *slot)
{
	return sysfs_config_readl(slot->bdf, PCI_VENDOR_ID);
}

static bool device_exists(struct slot_power *slot)
{
	char path[PATH_MAX];

	snprintf_assert(path, PATH_MAX, DEVICES_DIR "/%s", slot->bdf);
	return !access(path, F_OK);
}

const char *slot_power_init(struct slot_power *slot, const char *bdf)
{
	char *driver, *port, prefix[32];
	u16 flags;

	memset(slot, 0, sizeof(*slot));

	/* Firmware may own a slot that no driver in the kernel does */
	if (!getenv("VFIO_SELFTESTS_SLOT_POWER"))
		return "VFIO_SELFTESTS_SLOT_POWER is not set";

	port = sysfs_upstream_bridge_get(bdf);
	if (!port)
		return "there is no port above it";

	snprintf_assert(slot->port, sizeof(slot->port), "%s", port);
	free(port);

	slot->pcie_cap = sysfs_config_find_capability(slot->port, PCI_CAP_ID_EXP);
	if (!slot->pcie_cap)
		return "there is no PCI Express port above it";

	flags = port_readw(slot, PCI_EXP_FLAGS);
	if (!(flags & PCI_EXP_FLAGS_SLOT) ||
	    !(sysfs_config_readl(slot->port, slot->pcie_cap + PCI_EXP_SLTCAP) &
	      PCI_EXP_SLTCAP_PCP))
		return "the slot has no power controller";

	if (port_readw(slot, PCI_EXP_SLTCTL) & PCI_EXP_SLTCTL_PCC)
		return "the slot has no power";

	/* It would remove the device and add a new one */
	snprintf_assert(prefix, sizeof(prefix), "%s:", slot->port);
	if (dir_has("/sys/bus/pci_express/drivers/pciehp", prefix))
		return "the slot belongs to pciehp";

	if (!is_alone(slot->port, bdf))
		return "there are other functions in the slot";

	driver = sysfs_driver_get(bdf);
	VFIO_ASSERT_NOT_NULL(driver, "%s has no driver\n", bdf);
	snprintf_assert(slot->driver, sizeof(slot->driver), "%s", driver);
	free(driver);

	sysfs_device_attr_get(bdf, "driver_override", slot->driver_override,
			      sizeof(slot->driver_override));

	slot->link_active = port_readw(slot, PCI_EXP_LNKSTA) & PCI_EXP_LNKSTA_DLLLA;
	slot->id = sysfs_config_readl(bdf, PCI_VENDOR_ID);
	snprintf_assert(slot->bdf, sizeof(slot->bdf), "%s", bdf);

	return NULL;
}

static void power_off(struct slot_power *slot)
{
	u16 sltctl = port_readw(slot, PCI_EXP_SLTCTL);

	sysfs_config_writew(slot->port, slot->pcie_cap + PCI_EXP_SLTCTL,
			    sltctl | PCI_EXP_SLTCTL_PCC);

	/* PCIe r6.0, sec 6.7.1.8: it may take this long */
	sleep(1);
}

static void power_on(struct slot_power *slot)
{
	u16 sltctl = port_readw(slot, PCI_EXP_SLTCTL);

	sysfs_config_writew(slot->port, slot->pcie_cap + PCI_EXP_SLTCTL,
			    sltctl & ~PCI_EXP_SLTCTL_PCC);

	/* Not all ports report this, and those in virtual machines may lie */
	if (slot->link_active)
		poll_until(port_readw(slot, PCI_EXP_LNKSTA) & PCI_EXP_LNKSTA_DLLLA,
			   "The link below %s did not come up\n", slot->port);

	/*
	 * PCIe r6.0, sec 6.6.1: no Configuration Request for 100 ms.  The
	 * kernel restores a device that it finds in D3cold as soon as somebody
	 * reads its configuration space, so nobody may do that too early.
	 */
	usleep(100000);
}

void slot_power_off(struct slot_power *slot)
{
	if (!slot->bdf[0])
		return;

	power_off(slot);
	VFIO_ASSERT_EQ(device_id(slot), 0xffffffff,
		       "%s responds without power\n", slot->bdf);
}

void slot_power_on(struct slot_power *slot)
{
	if (!slot->bdf[0])
		return;

	power_on(slot);
	poll_until(device_id(slot) == slot->id, "%s does not respond\n", slot->bdf);
}

void slot_power_cleanup(struct slot_power *slot)
{
	char autoprobe[8];
	int left = POLL_COUNT;

	if (!slot->bdf[0])
		return;

	/*
	 * The kernel may have lost what it would need to restore the device
	 * with.  Have it forget the device and find it anew, as on boot.
	 */
	if (device_exists(slot))
		sysfs_device_attr_set(slot->bdf, "remove", "1");

	if (!(port_readw(slot, PCI_EXP_SLTCTL) & PCI_EXP_SLTCTL_PCC))
		power_off(slot);
	power_on(slot);

	sysfs_read(BUS_DIR "/drivers_autoprobe", autoprobe, sizeof(autoprobe));
	sysfs_write(BUS_DIR "/drivers_autoprobe", "0");
	do {
		sysfs_device_attr_set(slot->port, "rescan", "1");
		usleep(POLL_INTERVAL_US);
	} while (!device_exists(slot) && left--);
	sysfs_write(BUS_DIR "/drivers_autoprobe", autoprobe);
	VFIO_ASSERT_TRUE(device_exists(slot), "%s has not come back\n", slot->bdf);

	sysfs_device_attr_set(slot->bdf, "driver_override", slot->driver);
	sysfs_write(BUS_DIR "/drivers_probe", slot->bdf);
	if (strcmp(slot->driver_override, slot->driver))
		sysfs_device_attr_set(slot->bdf, "driver_override",
				      strcmp(slot->driver_override, "(null)") ?
				      slot->driver_override : "\n");
}
