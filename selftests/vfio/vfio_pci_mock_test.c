// SPDX-License-Identifier: GPL-2.0-only
/*
 * Resets of a device with faults, made in software: CONFIG_PCI_MOCK_DEBUGFS.
 * See Documentation/PCI/pci-kunit.rst.
 * What is expected: Documentation/driver-api/vfio-pci-reset-state.rst
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/ioctl.h>

#include <linux/limits.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include <libvfio.h>

#include "kselftest_harness.h"

struct mock_test {
	struct iommu *iommu;
	struct vfio_pci_device *device;
	struct vfio_pci_state *before;
	struct vfio_pci_state *after;
	unsigned int flrs;
	unsigned int urs;
};

static const char *device_bdf;

static void mock_path(char *path, size_t size, const char *file)
{
	snprintf_assert(path, size, "/sys/kernel/debug/pci_mock/%s/%s", device_bdf, file);
}

/* The device has these faults from now on, none if @fault is empty. */
static void mock_inject(const char *fault)
{
	char path[PATH_MAX], line[160];

	mock_path(path, sizeof(path), "fault");
	snprintf_assert(line, sizeof(line), "%s\n", fault);
	sysfs_write(path, line);
}

/* Is the device one that can be given faults?  It has none then. */
static bool mock_use(void)
{
	char path[PATH_MAX];

	mock_path(path, sizeof(path), "fault");
	if (access(path, W_OK))
		return false;

	mock_inject("");
	return true;
}

static unsigned int mock_count(const char *file, const char *what)
{
	char path[PATH_MAX], name[32];
	unsigned int val;
	FILE *f;

	mock_path(path, sizeof(path), file);
	f = fopen(path, "r");
	VFIO_ASSERT_NOT_NULL(f, "Failed to open %s\n", path);
	while (fscanf(f, "%31s %u", name, &val) == 2) {
		if (strcmp(name, what))
			continue;
		VFIO_ASSERT_EQ(fclose(f), 0);
		return val;
	}
	VFIO_FAIL("%s has no %s\n", path, what);
}

static unsigned int mock_urs(void)
{
	return mock_count("ur", "reads") + mock_count("ur", "writes");
}

FIXTURE(vfio_pci_mock_test) {
	struct mock_test t;
};

FIXTURE_VARIANT(vfio_pci_mock_test) {
	const char *iommu_mode;
};

FIXTURE_VARIANT_ADD(vfio_pci_mock_test, group) {
	.iommu_mode = MODE_VFIO_TYPE1_IOMMU,
};

FIXTURE_VARIANT_ADD(vfio_pci_mock_test, compat) {
	.iommu_mode = MODE_IOMMUFD_COMPAT_TYPE1,
};

FIXTURE_VARIANT_ADD(vfio_pci_mock_test, cdev) {
	.iommu_mode = MODE_IOMMUFD,
};

FIXTURE_SETUP(vfio_pci_mock_test)
{
	if (!mock_use())
		SKIP(return, "%s is no software device", device_bdf);

	sysfs_device_attr_set(device_bdf, "reset_method", "flr");
	self->t.before = vfio_pci_state_alloc();
	self->t.after = vfio_pci_state_alloc();
	self->t.iommu = iommu_init(variant->iommu_mode);
	self->t.device = vfio_pci_device_init(device_bdf, self->t.iommu);

	VFIO_ASSERT_GT(vfio_pci_state_fill(self->t.device), 0);
	vfio_pci_msix_enable(self->t.device, 0, 2);
	vfio_pci_state_read(self->t.device, self->t.before);
	self->t.flrs = mock_count("stats", "flr");
	self->t.urs = mock_urs();
}

FIXTURE_TEARDOWN(vfio_pci_mock_test)
{
	mock_inject("");
	vfio_pci_device_cleanup(self->t.device);
	iommu_cleanup(self->t.iommu);
	sysfs_device_attr_set(device_bdf, "reset_method", "default");
	free(self->t.before);
	free(self->t.after);
}

/* How much is not as it should be after that many FLRs? */
static int check_state(struct mock_test *t, unsigned int nr_flrs)
{
	unsigned int flrs = mock_count("stats", "flr") - t->flrs;
	unsigned int urs = mock_urs() - t->urs;

	printf("%u FLRs, %u Unsupported Requests\n", flrs, urs);
	vfio_pci_state_read(t->device, t->after);
	return vfio_pci_state_diff(t->before, t->after) + (flrs != nr_flrs) + !!urs;
}

TEST_F_TIMEOUT(vfio_pci_mock_test, healthy, 100)
{
	ASSERT_EQ(__vfio_pci_device_reset(self->t.device), 0);
	EXPECT_EQ(check_state(&self->t, 1), 0);
}

/* The time is the longest that a function may take (PCIe r6.0, sec 6.6.2) */
TEST_F_TIMEOUT(vfio_pci_mock_test, not_ready, 100)
{
	mock_inject("not_ready_ms=1000");
	ASSERT_EQ(__vfio_pci_device_reset(self->t.device), 0);
	EXPECT_EQ(check_state(&self->t, 1), 0);
}

TEST_F_TIMEOUT(vfio_pci_mock_test, pending_stuck, 100)
{
	mock_inject("pending_stuck");
	ASSERT_EQ(__vfio_pci_device_reset(self->t.device), 0);
	mock_inject("");
	EXPECT_EQ(check_state(&self->t, 1), 0);
}

/* A device that drops out must fail the reset, and be as it was when back */
TEST_F_TIMEOUT(vfio_pci_mock_test, gone, 1000)
{
	mock_inject("gone_at=1");
	ASSERT_NE(__vfio_pci_device_reset(self->t.device), 0);
	EXPECT_GT(mock_count("stats", "gone"), 0);
	mock_inject("");
	/* What was sent to a device that is gone does not count */
	self->t.urs = mock_urs();
	EXPECT_EQ(check_state(&self->t, 0), 0);

	ASSERT_EQ(__vfio_pci_device_reset(self->t.device), 0);
	EXPECT_EQ(check_state(&self->t, 1), 0);
}

/* BAR 0 keeps the uppermost bit of an address only, or all, from the next reset on */
#define BAR_GROWN	"change=0x10:4:0:0x80000000"
#define BAR_SHRUNK	"change=0x10:4:0:0xffffc000"

/* A device whose BAR has changed must not decode what is not its own */
TEST_F_TIMEOUT(vfio_pci_mock_test, bar_grown, 100)
{
	struct vfio_pci_device *device = self->t.device;

	vfio_pci_cmd_set(device, PCI_COMMAND_MEMORY);
	mock_inject(BAR_GROWN);
	EXPECT_EQ(-EIO, __vfio_pci_device_reset(device));
	EXPECT_EQ(0, sysfs_config_readw(device_bdf, PCI_COMMAND) & PCI_COMMAND_MEMORY);

	vfio_pci_cmd_set(device, PCI_COMMAND_MEMORY);
	EXPECT_EQ(0, sysfs_config_readw(device_bdf, PCI_COMMAND) & PCI_COMMAND_MEMORY);

	mock_inject(BAR_SHRUNK);
	ASSERT_EQ(0, __vfio_pci_device_reset(device));
	vfio_pci_cmd_set(device, PCI_COMMAND_MEMORY);
	EXPECT_NE(0, sysfs_config_readw(device_bdf, PCI_COMMAND) & PCI_COMMAND_MEMORY);
}

/* A device that does not respond for a while has lost nothing */
TEST_F_TIMEOUT(vfio_pci_mock_test, gone_command, 100)
{
	struct vfio_pci_device *device = self->t.device;
	u16 cmd = vfio_pci_config_readw(device, PCI_COMMAND);

	mock_inject("gone_at=1");
	vfio_pci_config_writew(device, PCI_COMMAND, cmd);
	EXPECT_GT(mock_count("stats", "gone"), 0);
	mock_inject("");
	self->t.urs = mock_urs();

	vfio_pci_config_writew(device, PCI_COMMAND, cmd);
	/* Nothing comes later */
	usleep(300000);
	EXPECT_EQ(check_state(&self->t, 0), 0);
}

/* The user resets the device by a write to config space */
FIXTURE(vfio_pci_mock_flr_test) {
	struct iommu *iommu;
	struct vfio_pci_device *device;
};

FIXTURE_SETUP(vfio_pci_mock_flr_test)
{
	if (!mock_use())
		SKIP(return, "%s is no software device", device_bdf);

	self->iommu = iommu_init(MODE_VFIO_TYPE1_IOMMU);
	self->device = vfio_pci_device_init(device_bdf, self->iommu);
}

FIXTURE_TEARDOWN(vfio_pci_mock_flr_test)
{
	vfio_pci_device_cleanup(self->device);
	iommu_cleanup(self->iommu);
}

TEST_F_TIMEOUT(vfio_pci_mock_flr_test, once, 100)
{
	u8 exp = sysfs_config_find_capability(device_bdf, PCI_CAP_ID_EXP);
	u8 af = sysfs_config_find_capability(device_bdf, PCI_CAP_ID_AF);
	unsigned int flrs = mock_count("stats", "flr");
	u16 devctl;

	if (af) {
		vfio_pci_config_writeb(self->device, af + PCI_AF_CTRL, PCI_AF_CTRL_FLR);
		EXPECT_EQ(++flrs, mock_count("stats", "flr"));
	}
	if (exp && (sysfs_config_readl(device_bdf, exp + PCI_EXP_DEVCAP) & PCI_EXP_DEVCAP_FLR)) {
		devctl = vfio_pci_config_readw(self->device, exp + PCI_EXP_DEVCTL);
		vfio_pci_config_writew(self->device, exp + PCI_EXP_DEVCTL,
				       devctl | PCI_EXP_DEVCTL_BCR_FLR);
		EXPECT_EQ(++flrs, mock_count("stats", "flr"));
	}
}

/* A closed device that has dropped out */
FIXTURE(vfio_pci_mock_open_test) {
	struct iommu *iommu;
};

FIXTURE_SETUP(vfio_pci_mock_open_test)
{
	if (!mock_use())
		SKIP(return, "%s is no software device", device_bdf);

	sysfs_device_attr_set(device_bdf, "reset_method", "flr");
	self->iommu = iommu_init(MODE_IOMMUFD);
}

FIXTURE_TEARDOWN(vfio_pci_mock_open_test)
{
	mock_inject("");
	iommu_cleanup(self->iommu);
	sysfs_device_attr_set(device_bdf, "reset_method", "default");
}

/* The reset on open has left it without its address */
TEST_F_TIMEOUT(vfio_pci_mock_open_test, bar_grown, 100)
{
	/* A device that was just bound is reset on open */
	sysfs_driver_unbind(device_bdf);
	sysfs_driver_bind(device_bdf, "vfio-pci");
	/* The way out of D3hot is a reset, too */
	sysfs_device_attr_set(device_bdf, "power/control", "on");
	mock_inject(BAR_GROWN);
	EXPECT_EQ(-EIO, vfio_pci_device_try_open(device_bdf, self->iommu));
	EXPECT_EQ(0, sysfs_config_readw(device_bdf, PCI_COMMAND) & PCI_COMMAND_MEMORY);

	mock_inject(BAR_SHRUNK);
	EXPECT_EQ(0, vfio_pci_device_try_open(device_bdf, self->iommu));
	sysfs_device_attr_set(device_bdf, "power/control", "auto");
}

/* Its own reset does not help, but that of its bus does */
TEST_F_TIMEOUT(vfio_pci_mock_open_test, revived, 1000)
{
	unsigned int resets = mock_count("stats", "hot_reset");
	struct vfio_pci_device *device;

	mock_inject("gone_at=1 gone_until_reset");
	device = vfio_pci_device_init(device_bdf, self->iommu);
	EXPECT_EQ(resets + 1, mock_count("stats", "hot_reset"));
	EXPECT_EQ(sysfs_config_readw(device_bdf, PCI_VENDOR_ID),
		  vfio_pci_config_readw(device, PCI_VENDOR_ID));
	EXPECT_EQ(sysfs_config_readl(device_bdf, PCI_BASE_ADDRESS_0),
		  vfio_pci_config_readl(device, PCI_BASE_ADDRESS_0));
	vfio_pci_device_cleanup(device);
}

/* Nothing helps */
TEST_F_TIMEOUT(vfio_pci_mock_open_test, dead, 1000)
{
	mock_inject("gone_at=1");
	EXPECT_EQ(-EIO, vfio_pci_device_try_open(device_bdf, self->iommu));

	mock_inject("");
	EXPECT_EQ(0, vfio_pci_device_try_open(device_bdf, self->iommu));
}

/* What is in its place by then may be another device, which must not be reset */
TEST_F_TIMEOUT(vfio_pci_mock_open_test, unbound_dead, 1000)
{
	struct vfio_pci_device *device;
	unsigned int resets;

	sysfs_device_attr_set(device_bdf, "reset_method", "bus");
	device = vfio_pci_device_init(device_bdf, self->iommu);
	mock_inject("gone_at=1");
	vfio_pci_device_cleanup(device);

	resets = mock_count("stats", "hot_reset");
	sysfs_driver_unbind(device_bdf);
	EXPECT_EQ(resets, mock_count("stats", "hot_reset"));

	mock_inject("");
	sysfs_driver_bind(device_bdf, "vfio-pci");
	EXPECT_EQ(0, vfio_pci_device_try_open(device_bdf, self->iommu));
}

/* A reset that only the device knows of, and what may be wrong with it then */
FIXTURE(vfio_pci_mock_lost_test) {
	struct mock_test t;
	char *port;
	u16 exp;
	u16 msix;
	u16 pm;
	u32 bar;
	u32 table;
};

FIXTURE_SETUP(vfio_pci_mock_lost_test)
{
	if (!mock_use())
		SKIP(return, "%s is no software device", device_bdf);

	self->port = sysfs_upstream_bridge_get(device_bdf);
	ASSERT_NE(NULL, self->port);
	self->exp = sysfs_config_find_capability(device_bdf, PCI_CAP_ID_EXP);
	self->msix = sysfs_config_find_capability(device_bdf, PCI_CAP_ID_MSIX);
	self->pm = sysfs_config_find_capability(device_bdf, PCI_CAP_ID_PM);
	self->table = sysfs_config_readl(device_bdf, self->msix + PCI_MSIX_TABLE);
	self->t.before = vfio_pci_state_alloc();
	self->t.after = vfio_pci_state_alloc();
	self->t.iommu = iommu_init(MODE_VFIO_TYPE1_IOMMU);
	self->t.device = vfio_pci_device_init(device_bdf, self->t.iommu);
	self->bar = sysfs_config_readl(device_bdf, PCI_BASE_ADDRESS_0);
	vfio_pci_msix_enable(self->t.device, 0, 2);
}

static void mock_change(u16 where, u8 size, u32 reset, u32 rw)
{
	char fault[80];

	snprintf_assert(fault, sizeof(fault), "change=%#x:%u:%#x:%#x", where, size, reset, rw);
	mock_inject(fault);
}

static void backdoor_reset(const char *port)
{
	u16 ctrl = sysfs_config_readw(port, PCI_BRIDGE_CONTROL);

	sysfs_config_writew(port, PCI_BRIDGE_CONTROL, ctrl | PCI_BRIDGE_CTL_BUS_RESET);
	sysfs_config_writew(port, PCI_BRIDGE_CONTROL, ctrl);
	/* PCIe r6.0, sec 6.6.1 */
	usleep(100000);
}

FIXTURE_TEARDOWN(vfio_pci_mock_lost_test)
{
	/* Whatever the test has changed */
	mock_change(PCI_BASE_ADDRESS_0, 4, 0, self->bar & ~0xfU);
	backdoor_reset(self->port);
	mock_change(self->msix + PCI_MSIX_TABLE, 4, self->table, 0);
	backdoor_reset(self->port);
	mock_inject("");
	vfio_pci_device_reset(self->t.device);

	vfio_pci_device_cleanup(self->t.device);
	iommu_cleanup(self->t.iommu);
	free(self->port);
	free(self->t.before);
	free(self->t.after);
}

/* What the user has set is lost, unless vfio knows of it as of MRRS */
TEST_F_TIMEOUT(vfio_pci_mock_lost_test, readrq, 100)
{
	u16 devctl = vfio_pci_config_readw(self->t.device, self->exp + PCI_EXP_DEVCTL);

	ASSERT_NE(PCI_EXP_DEVCTL_READRQ_1024B, devctl & PCI_EXP_DEVCTL_READRQ);
	devctl = (devctl & ~PCI_EXP_DEVCTL_READRQ) | PCI_EXP_DEVCTL_READRQ_1024B;
	vfio_pci_config_writew(self->t.device, self->exp + PCI_EXP_DEVCTL, devctl);
	ASSERT_EQ(devctl, sysfs_config_readw(device_bdf, self->exp + PCI_EXP_DEVCTL));
	vfio_pci_state_read(self->t.device, self->t.before);

	backdoor_reset(self->port);
	ASSERT_NE(devctl, sysfs_config_readw(device_bdf, self->exp + PCI_EXP_DEVCTL));
	ASSERT_EQ(__vfio_pci_device_reset(self->t.device), 0);
	vfio_pci_state_read(self->t.device, self->t.after);
	EXPECT_EQ(vfio_pci_state_diff(self->t.before, self->t.after), 0);
}

/* There are devices whose BARs survive a reset.  MSI-X doesn't. */
TEST_F_TIMEOUT(vfio_pci_mock_lost_test, bar_kept, 100)
{
	struct vfio_pci_device *device = self->t.device;
	u16 cmd = vfio_pci_config_readw(device, PCI_COMMAND);

	vfio_pci_state_fill(device);
	vfio_pci_state_read(device, self->t.before);
	mock_change(PCI_BASE_ADDRESS_0, 4, self->bar, 0xffffc000);
	backdoor_reset(self->port);
	ASSERT_EQ(self->bar, sysfs_config_readl(device_bdf, PCI_BASE_ADDRESS_0));
	ASSERT_EQ(0, sysfs_config_readw(device_bdf, self->msix + PCI_MSIX_FLAGS) &
		     PCI_MSIX_FLAGS_ENABLE);

	vfio_pci_config_writew(device, PCI_COMMAND, cmd);
	vfio_pci_state_read(device, self->t.after);
	ASSERT_NE(0, sysfs_config_readw(device_bdf, self->msix + PCI_MSIX_FLAGS) &
		     PCI_MSIX_FLAGS_ENABLE);
	ASSERT_NE(0, self->t.after->config[self->exp + PCI_EXP_DEVCTL]);
}

/* What is restored on the way to D0 does no DMA before the user allows it. */
TEST_F_TIMEOUT(vfio_pci_mock_lost_test, no_dma_in_d0, 100)
{
	struct vfio_pci_device *device = self->t.device;
	u16 cmd;

	vfio_pci_cmd_set(device, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
	backdoor_reset(self->port);
	vfio_pci_config_writew(device, self->pm + PCI_PM_CTRL, D0);

	cmd = sysfs_config_readw(device_bdf, PCI_COMMAND);
	ASSERT_NE(0, cmd & PCI_COMMAND_MEMORY);
	ASSERT_EQ(0, cmd & PCI_COMMAND_MASTER);
}

/* BARs that can't be restored make a reset fail */
TEST_F_TIMEOUT(vfio_pci_mock_lost_test, no_bar, 100)
{
	mock_change(PCI_BASE_ADDRESS_0, 4, 0, 0);
	backdoor_reset(self->port);
	ASSERT_EQ(__vfio_pci_device_reset(self->t.device), -EIO);
}

/* The same for the set of devices that are reset together, this one alone */
TEST_F_TIMEOUT(vfio_pci_mock_lost_test, no_bar_hot_reset, 100)
{
	struct vfio_pci_device *device = self->t.device;
	s32 group_fd = device->group_fd;

	ASSERT_EQ(vfio_pci_device_hot_reset(device, &group_fd, 1), 0);

	mock_change(PCI_BASE_ADDRESS_0, 4, 0, 0);
	backdoor_reset(self->port);
	ASSERT_EQ(vfio_pci_device_hot_reset(device, &group_fd, 1), -EIO);
}

static void lost_set_power_state(struct vfio_pci_device *device, u16 pm, u16 state, bool gone)
{
	mock_inject(gone ? "gone_at=1" : "");
	vfio_pci_config_writew(device, pm + PCI_PM_CTRL, state);
	mock_inject("");
}

/* The reset has put the device in D0, and the user goes on without a look at that. */
TEST_F_TIMEOUT(vfio_pci_mock_lost_test, not_in_d3hot, 100)
{
	vfio_pci_cmd_set(self->t.device, PCI_COMMAND_MEMORY);
	vfio_pci_state_read(self->t.device, self->t.before);

	lost_set_power_state(self->t.device, self->pm, D3HOT, false);
	backdoor_reset(self->port);

	vfio_pci_cmd_set(self->t.device, PCI_COMMAND_MEMORY);
	vfio_pci_state_read(self->t.device, self->t.after);
	EXPECT_EQ(vfio_pci_state_diff(self->t.before, self->t.after), 0);
}

/*
 * A device that does not respond when it is put in D0 is in D3cold as far as the
 * kernel knows.  It isn't if it responds later.
 */
TEST_F_TIMEOUT(vfio_pci_mock_lost_test, not_in_d3cold, 100)
{
	vfio_pci_cmd_set(self->t.device, PCI_COMMAND_MEMORY);
	vfio_pci_state_read(self->t.device, self->t.before);

	lost_set_power_state(self->t.device, self->pm, D3HOT, false);
	lost_set_power_state(self->t.device, self->pm, D0, true);
	backdoor_reset(self->port);

	vfio_pci_cmd_set(self->t.device, PCI_COMMAND_MEMORY);
	vfio_pci_state_read(self->t.device, self->t.after);
	EXPECT_EQ(vfio_pci_state_diff(self->t.before, self->t.after), 0);
}

/* The same if it was not saved for D3hot.  On the way to D0, the kernel restores BARs. */
TEST_F_TIMEOUT(vfio_pci_mock_lost_test, not_saved_for_d3, 100)
{
	vfio_pci_cmd_set(self->t.device, PCI_COMMAND_MEMORY);
	vfio_pci_state_read(self->t.device, self->t.before);

	lost_set_power_state(self->t.device, self->pm, D3HOT, true);
	backdoor_reset(self->port);

	ASSERT_EQ(__vfio_pci_device_reset(self->t.device), 0);
	vfio_pci_state_read(self->t.device, self->t.after);
	EXPECT_EQ(vfio_pci_state_diff(self->t.before, self->t.after), 0);
}

/* The user need not do more than put it in D0. */
TEST_F_TIMEOUT(vfio_pci_mock_lost_test, not_saved_for_d3_d0, 100)
{
	vfio_pci_cmd_set(self->t.device, PCI_COMMAND_MEMORY);
	vfio_pci_state_read(self->t.device, self->t.before);

	lost_set_power_state(self->t.device, self->pm, D3HOT, true);
	backdoor_reset(self->port);
	lost_set_power_state(self->t.device, self->pm, D0, false);

	vfio_pci_state_read(self->t.device, self->t.after);
	EXPECT_EQ(vfio_pci_state_diff(self->t.before, self->t.after), 0);
}

int main(int argc, char *argv[])
{
	device_bdf = vfio_selftests_get_bdf(&argc, argv);
	return test_harness_run(argc, argv);
}
