// SPDX-License-Identifier: GPL-2.0-only
/*
 * Does a device have after a reset what it had before?
 *
 * What is expected: Documentation/driver-api/vfio-pci-reset-state.rst
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/ioctl.h>
#include <sys/resource.h>

#include <linux/io.h>
#include <linux/limits.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include <libvfio.h>

#include "kselftest_harness.h"

static const char *device_bdf;

/* Neither MSI nor MSI-X */
#define NO_IRQ	VFIO_PCI_NUM_IRQS

struct reset_test {
	struct iommu *iommu;
	struct vfio_pci_device *device;

	int irq_index;
	u32 irq_count;
	bool marked;	/* for vfio_pci_reset_mark_removed() */

	struct vfio_pci_state *opened;	/* as VFIO handed the device out */
	struct vfio_pci_state *before;	/* as the user set it up */
	struct vfio_pci_state *after;	/* as it is after the reset */
};

static bool is_vf(void)
{
	char path[PATH_MAX];

	snprintf_assert(path, sizeof(path), "/sys/bus/pci/devices/%s/physfn", device_bdf);
	return !access(path, F_OK);
}

/* Ask the hardware: opening the device only to find out takes two resets. */
static bool irq_supported(int irq_index)
{
	switch (irq_index) {
	case VFIO_PCI_MSI_IRQ_INDEX:
		return sysfs_config_find_capability(device_bdf, PCI_CAP_ID_MSI);
	case VFIO_PCI_MSIX_IRQ_INDEX:
		return sysfs_config_find_capability(device_bdf, PCI_CAP_ID_MSIX);
	}

	return true;
}

/* Does the first reset method bring registers back to their defaults? */
static bool reset_method_is_reset(void)
{
	char method[32];

	sysfs_device_attr_get(device_bdf, "reset_method", method, sizeof(method));

	/*
	 * A transition from D3hot to D0 does not have to (PCIe r6.0, sec
	 * 5.3.1.4), and who knows what is specific to a device or in ACPI.
	 */
	return !strncmp(method, "flr", 3) || !strncmp(method, "af_flr", 6) ||
	       !strncmp(method, "bus", 3);
}

/*
 * Enable as many vectors as there are, and leave one in the middle without an
 * eventfd, hence masked, to see that each vector's mask is restored.
 */
static void irq_setup(struct reset_test *t)
{
	char buf[sizeof(struct vfio_irq_set) + sizeof(int)] = {};
	struct vfio_irq_set *irq_set = (void *)buf;
	struct vfio_pci_device *device = t->device;
	struct rlimit limit;
	u32 nr_vectors;
	int ret;

	nr_vectors = t->irq_index == VFIO_PCI_MSIX_IRQ_INDEX ? device->msix_info.count :
							       device->msi_info.count;

	/* One eventfd for each vector, next to the files already open */
	VFIO_ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	VFIO_ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);

	/* The system may have fewer vectors left than the device has. */
	t->irq_count = nr_vectors;
	while ((ret = __vfio_pci_irq_enable(device, t->irq_index, 0, t->irq_count))) {
		VFIO_ASSERT_TRUE(ret > 0 || ret == -ENOSPC, "Failed with %d\n", ret);
		t->irq_count = ret > 0 ? ret : t->irq_count / 2;
		VFIO_ASSERT_GT(t->irq_count, 0);
	}
	printf("Enabled %u of %u vectors\n", t->irq_count, nr_vectors);

	if (t->irq_count < 3)
		return;

	irq_set->argsz = sizeof(buf);
	irq_set->flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
	irq_set->index = t->irq_index;
	irq_set->start = 1;
	irq_set->count = 1;
	*(int *)irq_set->data = -1;
	ioctl_assert(device->fd, VFIO_DEVICE_SET_IRQS, irq_set);
}

static void irq_check(struct reset_test *t, u32 vector)
{
	int fd = t->device->msi_eventfds[vector];
	u64 value;

	fcntl_set_nonblock(fd);
	vfio_pci_irq_trigger(t->device, t->irq_index, vector);
	VFIO_ASSERT_EQ(read(fd, &value, sizeof(value)), sizeof(value));
	VFIO_ASSERT_EQ(value, 1);
}

/* Refuse to go on if what the test is about is not so in the hardware. */
static void check_setup(struct reset_test *t, bool memory, bool master)
{
	struct vfio_pci_state *state = t->before;
	u16 cmd = vfio_pci_state_readw(state, PCI_COMMAND);
	u16 msi = vfio_pci_state_find_cap(state, PCI_CAP_ID_MSI);
	u16 msix = vfio_pci_state_find_cap(state, PCI_CAP_ID_MSIX);
	bool enabled;
	u32 i;

	/* The bit is not implemented in VFs (PCIe r6.0, sec 9.3.4.1.3). */
	if (!is_vf())
		VFIO_ASSERT_EQ(!!(cmd & PCI_COMMAND_MEMORY), memory);
	VFIO_ASSERT_EQ(!!(cmd & PCI_COMMAND_MASTER), master);

	if (msi) {
		enabled = vfio_pci_state_readw(state, msi + PCI_MSI_FLAGS) &
			  PCI_MSI_FLAGS_ENABLE;
		VFIO_ASSERT_EQ(enabled, t->irq_index == VFIO_PCI_MSI_IRQ_INDEX);
		/* Its lower half may well be 0. */
		if (enabled && !(vfio_pci_state_readw(state, msi + PCI_MSI_FLAGS) &
				 PCI_MSI_FLAGS_64BIT &&
				 vfio_pci_state_readl(state, msi + PCI_MSI_ADDRESS_HI)))
			VFIO_ASSERT_NE(vfio_pci_state_readl(state, msi + PCI_MSI_ADDRESS_LO), 0);
	}

	if (msix) {
		enabled = vfio_pci_state_readw(state, msix + PCI_MSIX_FLAGS) &
			  PCI_MSIX_FLAGS_ENABLE;
		VFIO_ASSERT_EQ(enabled, t->irq_index == VFIO_PCI_MSIX_IRQ_INDEX);
		if (!enabled)
			return;

		VFIO_ASSERT_GE(state->msix_count, t->irq_count);
		for (i = 0; i < t->irq_count; i++) {
			if (i == 1 && t->irq_count >= 3) {
				VFIO_ASSERT_NE(state->msix_table[i].ctrl &
					       PCI_MSIX_ENTRY_CTRL_MASKBIT, 0);
				continue;
			}
			VFIO_ASSERT_NE(state->msix_table[i].addr_lo |
				       state->msix_table[i].addr_hi, 0);
			VFIO_ASSERT_EQ(state->msix_table[i].ctrl &
				       PCI_MSIX_ENTRY_CTRL_MASKBIT, 0);
		}
	}
}

/* A BAR can be accessed if Memory Space is enabled, as it always is in a VF. */
static void check_mapping(struct reset_test *t)
{
	struct vfio_pci_bar *bar = vfio_pci_mapped_bar(t->device);
	u16 cmd = vfio_pci_state_readw(t->before, PCI_COMMAND);

	if (bar)
		VFIO_ASSERT_EQ(vfio_pci_mapping_works(bar->vaddr),
			       is_vf() || (cmd & PCI_COMMAND_MEMORY));
}

static void reset_test_open(struct reset_test *t)
{
	t->opened = vfio_pci_state_alloc();
	t->before = vfio_pci_state_alloc();
	t->after = vfio_pci_state_alloc();
	t->iommu = iommu_init(default_iommu_mode);
	t->device = vfio_pci_device_init(device_bdf, t->iommu);
	vfio_pci_state_read(t->device, t->opened);
}

static void reset_test_command(struct reset_test *t, bool memory, bool master)
{
	if (memory)
		vfio_pci_cmd_set(t->device, PCI_COMMAND_MEMORY);
	else
		vfio_pci_cmd_clear(t->device, PCI_COMMAND_MEMORY);

	if (master)
		vfio_pci_cmd_set(t->device, PCI_COMMAND_MASTER);
	else
		vfio_pci_cmd_clear(t->device, PCI_COMMAND_MASTER);

	vfio_pci_state_read(t->device, t->before);
	check_setup(t, memory, master);
	check_mapping(t);
}

/* Memory Space off: it has to be on for the MSI-X table to be restored. */
static void reset_test_setup(struct reset_test *t, int irq_index)
{
	t->irq_index = irq_index;
	if (irq_index != NO_IRQ)
		irq_setup(t);

	if (!vfio_pci_state_fill(t->device))
		printf("No register could be set to a value other than its default\n");

	reset_test_command(t, false, true);
}

/* Without MSI-X, only the hardware can remove the mark. */
static void reset_test_mark(struct reset_test *t, bool hardware_reset)
{
	if (hardware_reset || t->irq_index == VFIO_PCI_MSIX_IRQ_INDEX)
		t->marked = vfio_pci_reset_mark(t->device);
	else
		t->marked = false;
}

static void reset_test_check(struct reset_test *t)
{
	/* vfio_pci_state_read() enables Memory Space for a moment. */
	check_mapping(t);

	vfio_pci_state_read(t->device, t->after);
	VFIO_ASSERT_EQ(vfio_pci_state_diff(t->before, t->after), 0);

	if (t->marked)
		VFIO_ASSERT_TRUE(vfio_pci_reset_mark_removed(t->device),
				 "The device was not reset\n");

	if (t->irq_index != NO_IRQ) {
		irq_check(t, 0);
		irq_check(t, t->irq_count - 1);
	}
}

static void reset_test_close(struct reset_test *t)
{
	/* Otherwise VFIO switches it on and off for each vector it frees. */
	vfio_pci_cmd_set(t->device, PCI_COMMAND_MEMORY);

	vfio_pci_device_cleanup(t->device);
	iommu_cleanup(t->iommu);
	free(t->opened);
	free(t->before);
	free(t->after);
}

static int best_irq(struct reset_test *t)
{
	if (t->opened->msix_count)
		return VFIO_PCI_MSIX_IRQ_INDEX;
	if (t->device->msi_info.count)
		return VFIO_PCI_MSI_IRQ_INDEX;
	return NO_IRQ;
}

static bool reset_supported(struct reset_test *t)
{
	return t->device->info.flags & VFIO_DEVICE_FLAGS_RESET;
}

/* Whatever the user's configuration, a reset gives it back. */
FIXTURE(vfio_pci_reset_test) {
	struct reset_test t;
};

FIXTURE_VARIANT(vfio_pci_reset_test) {
	int irq_index;
};

FIXTURE_VARIANT_ADD(vfio_pci_reset_test, no_irq) {
	.irq_index = NO_IRQ,
};

FIXTURE_VARIANT_ADD(vfio_pci_reset_test, msi) {
	.irq_index = VFIO_PCI_MSI_IRQ_INDEX,
};

FIXTURE_VARIANT_ADD(vfio_pci_reset_test, msix) {
	.irq_index = VFIO_PCI_MSIX_IRQ_INDEX,
};

FIXTURE_SETUP(vfio_pci_reset_test)
{
	struct reset_test *t = &self->t;

	if (!irq_supported(variant->irq_index))
		SKIP(return, "Device does not support this kind of interrupt");

	reset_test_open(t);
	if (!reset_supported(t))
		SKIP(return, "Device does not support reset");
	if (variant->irq_index == VFIO_PCI_MSIX_IRQ_INDEX && !t->opened->msix_count)
		SKIP(return, "MSI-X table cannot be mapped");

	reset_test_setup(t, variant->irq_index);
}

FIXTURE_TEARDOWN(vfio_pci_reset_test)
{
	reset_test_close(&self->t);
}

TEST_F_TIMEOUT(vfio_pci_reset_test, device_reset, 60)
{
	struct reset_test *t = &self->t;
	int i;

	/* One after the other: opening the device takes two resets more. */
	for (i = 0; i < 4; i++) {
		bool memory = i & 1, master = i & 2;

		printf("Memory Space %s, Bus Master %s\n",
		       memory ? "on" : "off", master ? "on" : "off");

		reset_test_command(t, memory, master);
		reset_test_mark(t, reset_method_is_reset());
		vfio_pci_device_reset(t->device);
		reset_test_check(t);
	}
}

/* Whatever the way to the reset, it gives back the hardest configuration. */
FIXTURE(vfio_pci_reset_path_test) {
	struct reset_test t;
};

/* A test that is to be skipped need not open the device, hence reset it. */
FIXTURE_SETUP(vfio_pci_reset_path_test)
{
}

FIXTURE_TEARDOWN(vfio_pci_reset_path_test)
{
	if (self->t.device)
		reset_test_close(&self->t);
}

static bool reset_path_open(struct reset_test *t)
{
	reset_test_open(t);
	if (!reset_supported(t))
		return false;

	reset_test_setup(t, best_irq(t));
	return true;
}

/* Who accesses a BAR meanwhile waits for the end of the reset. */
TEST_F_TIMEOUT(vfio_pci_reset_path_test, mapping, 60)
{
	struct reset_test *t = &self->t;
	struct vfio_pci_bar_reader reader;
	struct vfio_pci_bar *bar;
	u64 reset_ms;
	u32 val;

	if (!reset_path_open(t))
		SKIP(return, "Device does not support reset");

	bar = vfio_pci_mapped_bar(t->device);
	if (!bar)
		SKIP(return, "Device does not have a BAR that can be mapped");
	reset_test_command(t, true, true);

	val = readl(bar->vaddr);
	vfio_pci_device_reset(t->device);
	if (readl(bar->vaddr) != val)
		SKIP(return, "The BAR does not read the same after a reset");

	vfio_pci_bar_reader_start(&reader, bar);
	reset_ms = monotonic_ms();
	vfio_pci_device_reset(t->device);
	reset_ms = monotonic_ms() - reset_ms;
	vfio_pci_bar_reader_stop(&reader);
	EXPECT_EQ(0, reader.nr_failed)
		TH_LOG("%d reads of %d", reader.nr_failed, reader.nr_reads);
	/* A short one may be over before the reader runs */
	if (reset_ms >= 50) {
		EXPECT_LE(reset_ms / 2, reader.longest_ms)
			TH_LOG("No read waited for a reset of %lu ms", reset_ms);
	}
	reset_test_check(t);
}

struct host_reset {
	atomic_bool ended;
	int ret;
};

static void *thread_host_reset(void *arg)
{
	struct host_reset *reset = arg;

	reset->ret = __sysfs_device_attr_set(device_bdf, "reset", "1");
	reset->ended = true;
	return NULL;
}

/* The host does that through sysfs.  The user knows nothing of it. */
TEST_F_TIMEOUT(vfio_pci_reset_path_test, host_reset, 60)
{
	struct reset_test *t = &self->t;
	struct host_reset reset;
	pthread_t thread;
	u16 cmd;

	if (!reset_path_open(t))
		SKIP(return, "Device does not support reset");

	cmd = vfio_pci_config_readw(t->device, PCI_COMMAND);
	for (int i = 0; i < 3; i++) {
		reset_test_mark(t, reset_method_is_reset());
		reset = (struct host_reset){};
		ASSERT_EQ(0, pthread_create(&thread, NULL, thread_host_reset, &reset));
		/* The first write waits for the end.  Most of an FLR is 100 ms of waiting. */
		usleep(30000);
		while (!reset.ended) {
			vfio_pci_config_writew(t->device, PCI_COMMAND, cmd);
			usleep(1000);
		}
		ASSERT_EQ(0, pthread_join(thread, NULL));
		ASSERT_EQ(0, reset.ret);

		/* Nothing comes later that takes away what the user has set */
		usleep(300000);
		reset_test_check(t);
	}
}

/*
 * Each method the kernel knows for this device, not just the first one. One of
 * them may fail, as the bus reset does where the link does not come up again,
 * but configuration must not suffer.
 */
TEST_F_TIMEOUT(vfio_pci_reset_path_test, each_method, 60)
{
	struct reset_test *t = &self->t;
	char methods[128], all[128], *method, *next = methods;
	int ret, succeeded = 0;

	if (!reset_path_open(t))
		SKIP(return, "Device does not support reset");

	sysfs_device_attr_get(device_bdf, "reset_method", methods, sizeof(methods));
	strcpy(all, methods);
	while ((method = strsep(&next, " "))) {
		/* What was possible for a function alone may no longer be. */
		if (__sysfs_device_attr_set(device_bdf, "reset_method", method)) {
			printf("Reset method %s: not for this device\n", method);
			continue;
		}

		reset_test_mark(t, reset_method_is_reset());
		ret = __vfio_pci_device_reset(t->device);
		/* What the administrator has chosen before may not be possible */
		if (__sysfs_device_attr_set(device_bdf, "reset_method", all))
			sysfs_device_attr_set(device_bdf, "reset_method", "default");
		printf("Reset method %s: %s\n", method, ret ? strerror(-ret) : "done");

		if (ret)
			t->marked = false;
		else
			succeeded++;
		reset_test_check(t);
	}

	ASSERT_GT(succeeded, 0);
}

TEST_F_TIMEOUT(vfio_pci_reset_path_test, pcie_flr, 60)
{
	struct reset_test *t = &self->t;
	u16 exp, devctl;

	exp = sysfs_config_find_capability(device_bdf, PCI_CAP_ID_EXP);
	if (!exp || !(sysfs_config_readl(device_bdf, exp + PCI_EXP_DEVCAP) &
		      PCI_EXP_DEVCAP_FLR))
		SKIP(return, "Device does not support PCIe FLR");

	if (!reset_path_open(t))
		SKIP(return, "Device does not support reset");

	/* VFIO answers with whatever method the kernel uses for this device. */
	reset_test_mark(t, reset_method_is_reset());
	devctl = vfio_pci_config_readw(t->device, exp + PCI_EXP_DEVCTL);
	vfio_pci_config_writew(t->device, exp + PCI_EXP_DEVCTL,
			       devctl | PCI_EXP_DEVCTL_BCR_FLR);
	reset_test_check(t);
}

TEST_F_TIMEOUT(vfio_pci_reset_path_test, af_flr, 60)
{
	const u8 flr = PCI_AF_CAP_FLR | PCI_AF_CAP_TP;
	struct reset_test *t = &self->t;
	u16 af;

	af = sysfs_config_find_capability(device_bdf, PCI_CAP_ID_AF);
	if (!af || (sysfs_config_readb(device_bdf, af + PCI_AF_CAP) & flr) != flr)
		SKIP(return, "Device does not support Advanced Features FLR");

	if (!reset_path_open(t))
		SKIP(return, "Device does not support reset");

	reset_test_mark(t, reset_method_is_reset());
	vfio_pci_config_writeb(t->device, af + PCI_AF_CTRL, PCI_AF_CTRL_FLR);
	reset_test_check(t);
}

/* A function in D3hot is woken up by a reset, with all its configuration. */
TEST_F_TIMEOUT(vfio_pci_reset_path_test, d3hot, 60)
{
	struct reset_test *t = &self->t;
	u16 pm, pmcsr;

	pm = sysfs_config_find_capability(device_bdf, PCI_CAP_ID_PM);
	if (!pm)
		SKIP(return, "Device does not support power management");

	if (!reset_path_open(t))
		SKIP(return, "Device does not support reset");

	reset_test_mark(t, reset_method_is_reset());

	pmcsr = vfio_pci_config_readw(t->device, pm + PCI_PM_CTRL);
	vfio_pci_config_writew(t->device, pm + PCI_PM_CTRL,
			       (pmcsr & ~PCI_PM_CTRL_STATE_MASK) | 3);
	vfio_pci_state_read_config(device_bdf, t->after);
	if ((vfio_pci_state_readw(t->after, pm + PCI_PM_CTRL) & PCI_PM_CTRL_STATE_MASK) != 3)
		SKIP(return, "Device does not go to D3hot");

	vfio_pci_device_reset(t->device);
	reset_test_check(t);
}

/* The next user finds what the first one found, and the host what it had. */
TEST(vfio_pci_close_reopen)
{
	const u16 decode = PCI_COMMAND_IO | PCI_COMMAND_MEMORY;
	struct vfio_pci_state *host, *opened, *closed;
	struct reset_test t;
	u16 msi, msix, flags;

	host = vfio_pci_state_alloc();
	opened = vfio_pci_state_alloc();
	closed = vfio_pci_state_alloc();

	vfio_pci_state_read_config(device_bdf, host);

	reset_test_open(&t);
	*opened = *t.opened;
	ASSERT_FALSE(vfio_pci_state_readw(opened, PCI_COMMAND) & PCI_COMMAND_MASTER);
	msi = vfio_pci_state_find_cap(opened, PCI_CAP_ID_MSI);
	if (msi) {
		flags = vfio_pci_state_readw(opened, msi + PCI_MSI_FLAGS);
		ASSERT_FALSE(flags & PCI_MSI_FLAGS_ENABLE);
		EXPECT_EQ(1U << ((flags & PCI_MSI_FLAGS_QMASK) >> 1), t.device->msi_info.count);
	}
	msix = vfio_pci_state_find_cap(opened, PCI_CAP_ID_MSIX);
	if (msix) {
		flags = vfio_pci_state_readw(opened, msix + PCI_MSIX_FLAGS);
		ASSERT_FALSE(flags & PCI_MSIX_FLAGS_ENABLE);
		EXPECT_EQ((flags & PCI_MSIX_FLAGS_QSIZE) + 1U, t.device->msix_info.count);
	}

	reset_test_setup(&t, best_irq(&t));
	reset_test_close(&t);

	vfio_pci_state_read_config(device_bdf, closed);
	ASSERT_FALSE(vfio_pci_state_readw(closed, PCI_COMMAND) & PCI_COMMAND_MASTER);

	/*
	 * Opening a device enables it, and closing takes only Bus Master away
	 * again.
	 */
	host->config[PCI_COMMAND] &= ~(decode | PCI_COMMAND_MASTER);
	closed->config[PCI_COMMAND] &= ~decode;
	EXPECT_EQ(0, vfio_pci_state_diff(host, closed));

	reset_test_open(&t);
	EXPECT_EQ(0, vfio_pci_state_diff(opened, t.opened));
	reset_test_close(&t);

	free(host);
	free(opened);
	free(closed);
}

/*
 * A device that drops out when it is to be reset, because somebody cuts the
 * power of its slot, and that comes back a while later.
 */
FIXTURE(vfio_pci_reset_lost_test) {
	struct reset_test t;
	struct slot_power slot;
};

FIXTURE_SETUP(vfio_pci_reset_lost_test)
{
	const char *reason = slot_power_init(&self->slot, device_bdf);

	if (reason)
		SKIP(return, "%s", reason);

	reset_test_open(&self->t);
	if (!reset_supported(&self->t))
		SKIP(return, "Device does not support reset");

	reset_test_setup(&self->t, best_irq(&self->t));

	/* From here on, the kernel has the user's configuration saved. */
	vfio_pci_device_reset(self->t.device);
}

/* After the end of the test process, which closes the device */
FIXTURE_TEARDOWN_PARENT(vfio_pci_reset_lost_test)
{
	slot_power_cleanup(&self->slot);
}

static void *delayed_power_on(void *slot)
{
	usleep(2000000);
	slot_power_on(slot);

	return NULL;
}

/* An FLR that did not reach the device did not reset it. */
TEST_F_TIMEOUT(vfio_pci_reset_lost_test, flr, 100)
{
	int ret, retries = 10;
	char methods[128];
	pthread_t thread;

	sysfs_device_attr_get(device_bdf, "reset_method", methods, sizeof(methods));
	if (strncmp(methods, "flr", 3))
		SKIP(return, "Device is not reset by PCIe FLR");

	sysfs_device_attr_set(device_bdf, "reset_method", "flr");
	slot_power_off(&self->slot);
	ASSERT_EQ(0, pthread_create(&thread, NULL, delayed_power_on, &self->slot));

	/* Not even tried, if somebody else has the device locked for a moment */
	while ((ret = __vfio_pci_device_reset(self->t.device)) == -EAGAIN && retries--)
		usleep(10000);
	ASSERT_EQ(0, pthread_join(thread, NULL));

	ASSERT_GT(0, ret);
	ASSERT_NE(-EAGAIN, ret);
}

int main(int argc, char *argv[])
{
	device_bdf = vfio_selftests_get_bdf(&argc, argv);
	return test_harness_run(argc, argv);
}
