// SPDX-License-Identifier: GPL-2.0-only
/*
 * What has a device after a reset that vfio-pci did not ask for?
 *
 * There is the one by which the kernel recovers from a fatal error, the one
 * that nobody knows of, by way of the port above the device, and that of its PF.
 *
 * The first device is open when it is reset.  The second one, if there is one,
 * is another function below the same port, and not open.  Errors are injected
 * by software, which needs CONFIG_PCIEAER_INJECT.
 *
 * What is expected: Documentation/driver-api/vfio-pci-reset-state.rst
 */
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/eventfd.h>
#include <sys/ioctl.h>

#include <linux/io.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include <libvfio.h>

#include "kselftest_harness.h"

/* A recovery takes a while if the link has to come up again. */
#define TIMEOUT 120

/*
 * How long an open takes from where it fails during recovery, in ms: an FLR, which
 * ends 100 ms after it was initiated, and some more.
 */
#define OPEN_MS		200

/* How long to wait for a runtime suspend, in ms */
#define SUSPEND_MS	1000

#define DECODE (PCI_COMMAND_IO | PCI_COMMAND_MEMORY)

static char **device_bdfs;
static int nr_devices;

/* The header of each device when the program starts */
static u8 (*headers)[PCI_STD_HEADER_SIZEOF];

static void headers_read(void)
{
	int i;

	headers = calloc_assert(nr_devices, sizeof(headers[0]));
	for (i = 0; i < nr_devices; i++)
		sysfs_config_access(device_bdfs[i], false, 0, sizeof(headers[i]), headers[i]);
}

/*
 * What one test has broken must not make all the others fail.  The device is
 * closed.  Have it active, for the kernel saves its registers when it suspends.
 */
static void headers_heal(void)
{
	char power_control[16];
	u32 was, is;
	int i, pos;

	for (i = 0; i < nr_devices; i++) {
		const char *bdf = device_bdfs[i];

		sysfs_device_attr_get(bdf, "power/control", power_control,
				      sizeof(power_control));
		sysfs_device_attr_set(bdf, "power/control", "on");

		for (pos = PCI_BASE_ADDRESS_0; pos <= PCI_INTERRUPT_LINE; pos += 4) {
			memcpy(&was, &headers[i][pos], sizeof(was));
			is = sysfs_config_readl(bdf, pos);
			if (was == is)
				continue;

			printf("%s: %02x: %08x -> %08x\n", bdf, pos, is, was);
			sysfs_config_access(bdf, true, pos, sizeof(was), &was);
		}

		sysfs_device_attr_set(bdf, "power/control", power_control);
	}
}

static u16 state_cmd(struct vfio_pci_state *state)
{
	return vfio_pci_state_readw(state, PCI_COMMAND);
}

static void state_set_cmd(struct vfio_pci_state *state, u16 cmd)
{
	state->config[PCI_COMMAND] = cmd;
	state->config[PCI_COMMAND + 1] = cmd >> 8;
}

static void vstate_set_cmd(struct vfio_pci_state *state, u16 cmd)
{
	state->vconfig[PCI_COMMAND] = cmd;
	state->vconfig[PCI_COMMAND + 1] = cmd >> 8;
}

/* Does a BAR have an address, or is it the BAR of a VF, which has none? */
static bool has_bars(struct vfio_pci_state *state)
{
	u32 bar;
	int i;

	for (i = 0; i < PCI_STD_NUM_BARS; i++) {
		bar = vfio_pci_state_readl(state, PCI_BASE_ADDRESS_0 + i * 4);
		if (bar & ~0xfU)
			return true;
	}

	return vfio_pci_state_readw(state, PCI_VENDOR_ID) == 0xffff;
}

struct test {
	const char *bdf;
	struct iommu *iommu;
	struct vfio_pci_device *device;
	int irq_index;
	bool marked;
	bool bar_stable;
	u32 bar_val;
	int dmabuf;
	int err_eventfd;
	int opened_meanwhile;
	u64 opened_at;
	int reset_meanwhile;

	struct vfio_pci_state *opened;	/* as vfio handed the device out */
	struct vfio_pci_state *before;	/* as the user has set it up */
	struct vfio_pci_state *after;
};

static void err_trigger_set(struct test *t)
{
	char buf[sizeof(struct vfio_irq_set) + sizeof(int)] = {};
	struct vfio_irq_set *irq_set = (void *)buf;

	t->err_eventfd = eventfd(0, EFD_NONBLOCK);
	VFIO_ASSERT_GE(t->err_eventfd, 0);

	irq_set->argsz = sizeof(buf);
	irq_set->flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
	irq_set->index = VFIO_PCI_ERR_IRQ_INDEX;
	irq_set->count = 1;
	*(int *)irq_set->data = t->err_eventfd;
	ioctl_assert(t->device->fd, VFIO_DEVICE_SET_IRQS, irq_set);
}

static bool err_triggered(struct test *t)
{
	u64 value;

	return read(t->err_eventfd, &value, sizeof(value)) == sizeof(value);
}

static void test_open(struct test *t, const char *bdf)
{
	t->bdf = bdf;
	t->irq_index = VFIO_PCI_NUM_IRQS;
	t->dmabuf = -1;
	t->opened = vfio_pci_state_alloc();
	t->before = vfio_pci_state_alloc();
	t->after = vfio_pci_state_alloc();
	t->iommu = iommu_init(default_iommu_mode);
	t->device = vfio_pci_device_init(bdf, t->iommu);
	vfio_pci_state_read(t->device, t->opened);
	/* Otherwise it has been broken before, and is as bad as it was after */
	VFIO_ASSERT_TRUE(has_bars(t->opened), "%s has no BARs\n", bdf);
	err_trigger_set(t);
}

static void test_close(struct test *t)
{
	if (t->dmabuf >= 0)
		VFIO_ASSERT_EQ(close(t->dmabuf), 0);
	VFIO_ASSERT_EQ(close(t->err_eventfd), 0);
	vfio_pci_device_cleanup(t->device);
	iommu_cleanup(t->iommu);
	free(t->opened);
	free(t->before);
	free(t->after);
}

static bool test_irq_supported(struct test *t, int irq_index)
{
	switch (irq_index) {
	case VFIO_PCI_INTX_IRQ_INDEX:
		return t->device->intx_info.count &&
		       (t->device->intx_info.flags & VFIO_IRQ_INFO_MASKABLE);
	case VFIO_PCI_MSI_IRQ_INDEX:
		return t->device->msi_info.count;
	case VFIO_PCI_MSIX_IRQ_INDEX:
		return t->opened->msix_count;
	}

	return true;
}

/* Another Max_Read_Request_Size, which the user keeps whatever happens */
static void readrq_set(struct test *t)
{
	u16 exp = vfio_pci_state_find_cap(t->opened, PCI_CAP_ID_EXP);
	u16 devctl;

	if (!exp)
		return;

	devctl = vfio_pci_config_readw(t->device, exp + PCI_EXP_DEVCTL);
	vfio_pci_config_writew(t->device, exp + PCI_EXP_DEVCTL,
			       devctl ^ PCI_EXP_DEVCTL_READRQ_256B);
}

/* Mappings and dma-bufs depend on vconfig only.  Nobody revokes them. */
static void mapping_check(struct test *t)
{
	bool memory = t->before->vconfig[PCI_COMMAND] & PCI_COMMAND_MEMORY;
	struct vfio_pci_bar *bar = vfio_pci_mapped_bar(t->device);

	if (bar)
		VFIO_ASSERT_EQ(vfio_pci_mapping_works(bar->vaddr), memory);
	if (t->dmabuf >= 0)
		VFIO_ASSERT_EQ(iommu_dmabuf_try_map(t->iommu, t->dmabuf), memory ? 0 : -ENODEV);
}

/* Not every kernel has dma-bufs of BARs, or can map them. */
static int mappable_dmabuf_export(struct test *t)
{
	int dmabuf, ret;

	if (!t->iommu->iommufd || !vfio_pci_mapped_bar(t->device))
		return -1;

	dmabuf = vfio_pci_dmabuf_export(t->device);
	if (dmabuf < 0)
		return -1;

	ret = iommu_dmabuf_try_map(t->iommu, dmabuf);
	if (!ret || ret == -ENODEV)
		return dmabuf;

	VFIO_ASSERT_EQ(close(dmabuf), 0);
	return -1;
}

static u32 bar_read(struct test *t)
{
	struct vfio_pci_bar *bar = vfio_pci_mapped_bar(t->device);

	return bar ? readl(bar->vaddr) : 0;
}

static void test_setup(struct test *t, int irq_index, bool memory)
{
	t->irq_index = irq_index;
	if (irq_index != VFIO_PCI_NUM_IRQS)
		vfio_pci_irq_enable(t->device, irq_index, 0, 1);
	vfio_pci_cmd_set(t->device, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
	t->bar_val = bar_read(t);

	/* The kernel saves Command as it is now, which must not come back. */
	if (t->device->info.flags & VFIO_DEVICE_FLAGS_RESET)
		vfio_pci_device_reset(t->device);
	t->bar_stable = memory && bar_read(t) == t->bar_val;

	if (irq_index == VFIO_PCI_INTX_IRQ_INDEX)
		vfio_pci_intx_mask(t->device);
	if (!memory)
		vfio_pci_cmd_clear(t->device, PCI_COMMAND_MEMORY);
	readrq_set(t);

	vfio_pci_state_read(t->device, t->before);
	VFIO_ASSERT_TRUE(state_cmd(t->before) & PCI_COMMAND_MASTER);
	VFIO_ASSERT_EQ(!!(state_cmd(t->before) & PCI_COMMAND_MEMORY), memory);
	if (irq_index == VFIO_PCI_INTX_IRQ_INDEX)
		VFIO_ASSERT_TRUE(state_cmd(t->before) & PCI_COMMAND_INTX_DISABLE);

	t->marked = vfio_pci_reset_mark(t->device);
	t->dmabuf = mappable_dmabuf_export(t);
	mapping_check(t);
}

/*
 * Turn what there was into what there must be after a reset that took
 * everything away:  All that VFIO had set up, but not what the user had.
 */
static void test_expect(struct test *t, u16 cmd_clear)
{
	const u16 keep = DECODE | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE;
	u16 cmd = (state_cmd(t->opened) & ~keep) | (state_cmd(t->before) & keep);
	u16 vcmd = t->before->vconfig[PCI_COMMAND] | t->before->vconfig[PCI_COMMAND + 1] << 8;

	state_set_cmd(t->before, cmd & ~cmd_clear);
	vstate_set_cmd(t->before, vcmd & ~cmd_clear);
}

/* The kernel may go on for a moment after it has said that it is ready. */
static void wait_for_cmd(const char *bdf, u16 cmd)
{
	const u16 mask = DECODE | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE;
	int tries = 50;

	while (tries-- && (sysfs_config_readw(bdf, PCI_COMMAND) & mask) != (cmd & mask))
		usleep(10000);
}

static void irq_check(struct test *t)
{
	int fd = t->device->msi_eventfds[0];
	u64 value;

	fcntl_set_nonblock(fd);
	vfio_pci_irq_trigger(t->device, t->irq_index, 0);
	VFIO_ASSERT_EQ(read(fd, &value, sizeof(value)), sizeof(value));
}

/* Does the device have what it must have, and does a reset leave it that? */
static void test_check(struct test *t)
{
	/* First what does not make vfio-pci look at the device */
	vfio_pci_state_read_config(t->bdf, t->after);
	t->after->open = false;
	VFIO_ASSERT_EQ(vfio_pci_state_diff(t->before, t->after), 0);
	mapping_check(t);
	if (t->bar_stable)
		VFIO_ASSERT_EQ(bar_read(t), t->bar_val);

	vfio_pci_state_read(t->device, t->after);
	VFIO_ASSERT_EQ(vfio_pci_state_diff(t->before, t->after), 0);

	if (t->marked)
		VFIO_ASSERT_TRUE(vfio_pci_reset_mark_removed(t->device),
				 "The device was not reset\n");
	if (t->irq_index != VFIO_PCI_NUM_IRQS)
		irq_check(t);
}

static void test_check_reset(struct test *t)
{
	if (!(t->device->info.flags & VFIO_DEVICE_FLAGS_RESET))
		return;

	vfio_pci_device_reset(t->device);
	t->marked = false;
	test_check(t);
}

/* Another function below the port that nobody has open */
FIXTURE(vfio_pci_recovery_idle_test) {
	struct aer_inject inject;
	struct vfio_pci_state *before;
	struct vfio_pci_state *after;
	char power_control[16];
};

FIXTURE_VARIANT(vfio_pci_recovery_idle_test) {
	const char *power_control;
};

FIXTURE_VARIANT_ADD(vfio_pci_recovery_idle_test, active) {
	.power_control = "on",
};

FIXTURE_VARIANT_ADD(vfio_pci_recovery_idle_test, suspended) {
	.power_control = "auto",
};

FIXTURE_SETUP(vfio_pci_recovery_idle_test)
{
	const char *reason;

	headers_heal();

	if (nr_devices < 2)
		SKIP(return, "Needs a second device below the port");

	reason = aer_inject_init(&self->inject, device_bdfs[0]);
	if (reason)
		SKIP(return, "Cannot inject an error: %s", reason);

	sysfs_device_attr_get(device_bdfs[1], "power/control", self->power_control,
			      sizeof(self->power_control));
	sysfs_device_attr_set(device_bdfs[1], "power/control", variant->power_control);
	/* Let it suspend */
	usleep(100000);

	self->before = vfio_pci_state_alloc();
	self->after = vfio_pci_state_alloc();
}

FIXTURE_TEARDOWN(vfio_pci_recovery_idle_test)
{
	sysfs_device_attr_set(device_bdfs[1], "power/control", self->power_control);
	aer_inject_cleanup(&self->inject);
	free(self->before);
	free(self->after);
}

TEST_F_TIMEOUT(vfio_pci_recovery_idle_test, fatal, TIMEOUT)
{
	struct test t = {};

	/* What it must be like when open */
	test_open(&t, device_bdfs[1]);
	*self->before = *t.opened;
	test_close(&t);

	vfio_pci_state_read_config(device_bdfs[1], self->after);
	self->before->open = false;
	state_set_cmd(self->before, state_cmd(self->after));
	ASSERT_EQ(0, vfio_pci_state_diff(self->before, self->after));

	ASSERT_TRUE(aer_inject_error(&self->inject, true));

	vfio_pci_state_read_config(device_bdfs[1], self->after);
	EXPECT_EQ(0, vfio_pci_state_diff(self->before, self->after));

	test_open(&t, device_bdfs[1]);
	self->before->open = true;
	state_set_cmd(self->before, state_cmd(t.opened));
	EXPECT_EQ(0, vfio_pci_state_diff(self->before, t.opened));

	/* Does it work? */
	*t.before = *t.opened;
	test_check_reset(&t);
	test_close(&t);
}

FIXTURE(vfio_pci_recovery_test) {
	struct aer_inject inject;
	struct test t;
};

FIXTURE_VARIANT(vfio_pci_recovery_test) {
	int irq_index;
	bool memory;
};

FIXTURE_VARIANT_ADD(vfio_pci_recovery_test, mem) {
	.irq_index = VFIO_PCI_NUM_IRQS,
	.memory = true,
};

FIXTURE_VARIANT_ADD(vfio_pci_recovery_test, nomem) {
	.irq_index = VFIO_PCI_NUM_IRQS,
};

FIXTURE_VARIANT_ADD(vfio_pci_recovery_test, intx) {
	.irq_index = VFIO_PCI_INTX_IRQ_INDEX,
	.memory = true,
};

FIXTURE_VARIANT_ADD(vfio_pci_recovery_test, msi) {
	.irq_index = VFIO_PCI_MSI_IRQ_INDEX,
	.memory = true,
};

FIXTURE_VARIANT_ADD(vfio_pci_recovery_test, msix) {
	.irq_index = VFIO_PCI_MSIX_IRQ_INDEX,
	.memory = true,
};

FIXTURE_VARIANT_ADD(vfio_pci_recovery_test, msix_nomem) {
	.irq_index = VFIO_PCI_MSIX_IRQ_INDEX,
};

FIXTURE_SETUP(vfio_pci_recovery_test)
{
	const char *reason = aer_inject_init(&self->inject, device_bdfs[0]);

	headers_heal();

	if (reason)
		SKIP(return, "Cannot inject an error: %s", reason);

	test_open(&self->t, device_bdfs[0]);
	if (!test_irq_supported(&self->t, variant->irq_index)) {
		test_close(&self->t);
		aer_inject_cleanup(&self->inject);
		SKIP(return, "Device does not support this kind of interrupt");
	}

	test_setup(&self->t, variant->irq_index, variant->memory);
}

FIXTURE_TEARDOWN(vfio_pci_recovery_test)
{
	test_close(&self->t);
	aer_inject_cleanup(&self->inject);
}

/* The device has been reset, and so has lost everything. */
TEST_F_TIMEOUT(vfio_pci_recovery_test, fatal, TIMEOUT)
{
	struct test *t = &self->t;

	ASSERT_TRUE(aer_inject_error(&self->inject, true));
	ASSERT_TRUE(err_triggered(t));

	test_expect(t, PCI_COMMAND_MASTER);
	wait_for_cmd(t->bdf, state_cmd(t->before));
	test_check(t);
	test_check_reset(t);
}

/* A user who does not wait for the end of the recovery */
static void *thread_eager(void *arg)
{
	struct test *t = arg;
	struct pollfd pollfd = { .fd = t->err_eventfd, .events = POLLIN };
	u16 vcmd = t->before->vconfig[PCI_COMMAND] | t->before->vconfig[PCI_COMMAND + 1] << 8;

	VFIO_ASSERT_GT(poll(&pollfd, 1, TIMEOUT * 1000), 0);
	/* It works, though there may be nothing to be read but all ones. */
	mapping_check(t);
	vfio_pci_config_writew(t->device, PCI_COMMAND, vcmd | PCI_COMMAND_MASTER);

	return NULL;
}

TEST_F_TIMEOUT(vfio_pci_recovery_test, fatal_eager_user, TIMEOUT)
{
	struct test *t = &self->t;
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, thread_eager, t));
	ASSERT_TRUE(aer_inject_error(&self->inject, true));
	ASSERT_EQ(0, pthread_join(thread, NULL));

	/* Whatever the kernel still does must not undo what the user has done. */
	usleep(500000);
	test_expect(t, 0);
	test_check(t);
	test_check_reset(t);
}

/* Someone who opens the other function before that is over */
static void *thread_open(void *arg)
{
	struct test *t = arg;
	struct pollfd pollfd = { .fd = t->err_eventfd, .events = POLLIN };

	VFIO_ASSERT_GT(poll(&pollfd, 1, TIMEOUT * 1000), 0);
	/* That function has been told, too, but its reset goes on. */
	usleep(10000);
	t->opened_meanwhile = vfio_pci_device_try_open(device_bdfs[1], t->iommu);
	t->opened_at = monotonic_ms();

	return NULL;
}

TEST_F_TIMEOUT(vfio_pci_recovery_test, fatal_open_meanwhile, TIMEOUT)
{
	struct vfio_pci_state *before, *after;
	struct test *t = &self->t;
	pthread_t thread;
	u64 recovered;
	char *driver;

	if (nr_devices < 2)
		SKIP(return, "Needs a second device below the port");

	driver = sysfs_driver_get(device_bdfs[1]);
	if (!driver || strcmp(driver, "vfio-pci"))
		SKIP(return, "The second device is not bound to vfio-pci");

	before = vfio_pci_state_alloc();
	after = vfio_pci_state_alloc();
	vfio_pci_state_read_config(device_bdfs[1], before);

	ASSERT_EQ(0, pthread_create(&thread, NULL, thread_open, t));
	ASSERT_TRUE(aer_inject_error(&self->inject, true));
	recovered = monotonic_ms();
	ASSERT_EQ(0, pthread_join(thread, NULL));

	vfio_pci_state_read_config(device_bdfs[1], after);
	ASSERT_EQ(0, vfio_pci_state_diff(before, after));

	/* An open waits for the end of the recovery, for a second */
	if (t->opened_meanwhile)
		ASSERT_EQ(-EAGAIN, t->opened_meanwhile);
	if (!t->opened_meanwhile)
		ASSERT_GE(t->opened_at + OPEN_MS, recovered);

	free(before);
	free(after);
	free(driver);
}

/* A user who resets the device before that is over */
static void *thread_reset(void *arg)
{
	struct test *t = arg;
	struct pollfd pollfd = { .fd = t->err_eventfd, .events = POLLIN };

	VFIO_ASSERT_GT(poll(&pollfd, 1, TIMEOUT * 1000), 0);
	t->reset_meanwhile = __vfio_pci_device_reset(t->device);

	return NULL;
}

TEST_F_TIMEOUT(vfio_pci_recovery_test, fatal_reset_meanwhile, TIMEOUT)
{
	struct test *t = &self->t;
	pthread_t thread;

	if (!(t->device->info.flags & VFIO_DEVICE_FLAGS_RESET))
		SKIP(return, "Device does not support reset");

	ASSERT_EQ(0, pthread_create(&thread, NULL, thread_reset, t));
	ASSERT_TRUE(aer_inject_error(&self->inject, true));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	ASSERT_EQ(-EAGAIN, t->reset_meanwhile);

	test_expect(t, PCI_COMMAND_MASTER);
	test_check(t);
	test_check_reset(t);
}

static int low_power_entry(struct test *t)
{
	struct vfio_device_low_power_entry_with_wakeup entry = {
		.wakeup_eventfd = eventfd(0, EFD_NONBLOCK),
	};
	u32 flags = VFIO_DEVICE_FEATURE_SET |
		    VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP;

	VFIO_ASSERT_GE(entry.wakeup_eventfd, 0);
	VFIO_ASSERT_EQ(vfio_device_feature_ioctl(t->device->fd, flags, &entry,
						 sizeof(entry)), 0);
	return entry.wakeup_eventfd;
}

/* Recovery wakes the device, and leaves it in low power no longer. */
TEST_F_TIMEOUT(vfio_pci_recovery_test, fatal_low_power, TIMEOUT)
{
	struct pollfd pollfd = { .events = POLLIN };
	struct test *t = &self->t;

	pollfd.fd = low_power_entry(t);
	if (!sysfs_device_suspends(t->bdf, 1000))
		SKIP(return, "The device does not suspend");
	ASSERT_EQ(0, poll(&pollfd, 1, 0));

	ASSERT_TRUE(aer_inject_error(&self->inject, true));
	ASSERT_EQ(1, poll(&pollfd, 1, 1000));
	ASSERT_FALSE(sysfs_device_suspends(t->bdf, 1000));
	ASSERT_EQ(0, close(pollfd.fd));

	test_expect(t, PCI_COMMAND_MASTER);
	test_check(t);
	test_check_reset(t);
}

/* The reset has put the device in D0, so there is nothing to keep a BAR from use. */
TEST_F_TIMEOUT(vfio_pci_recovery_test, fatal_d3hot, TIMEOUT)
{
	struct test *t = &self->t;
	u16 pm;

	pm = vfio_pci_state_find_cap(t->opened, PCI_CAP_ID_PM);
	if (!pm)
		SKIP(return, "Device does not have Power Management");

	vfio_pci_config_writew(t->device, pm + PCI_PM_CTRL, PCI_PM_CTRL_STATE_MASK);
	ASSERT_EQ(PCI_PM_CTRL_STATE_MASK,
		  sysfs_config_readw(t->bdf, pm + PCI_PM_CTRL) & PCI_PM_CTRL_STATE_MASK);
	ASSERT_TRUE(aer_inject_error(&self->inject, true));

	test_expect(t, PCI_COMMAND_MASTER);
	wait_for_cmd(t->bdf, state_cmd(t->before));
	ASSERT_EQ(0, sysfs_config_readw(t->bdf, pm + PCI_PM_CTRL) & PCI_PM_CTRL_STATE_MASK);
	/* A dma-buf was revoked in D3hot. */
	vfio_pci_config_writew(t->device, pm + PCI_PM_CTRL, 0);
	test_check(t);
	test_check_reset(t);
}

/* Nothing has happened to the device. */
TEST_F_TIMEOUT(vfio_pci_recovery_test, nonfatal, TIMEOUT)
{
	struct test *t = &self->t;

	ASSERT_TRUE(aer_inject_error(&self->inject, false));
	ASSERT_TRUE(err_triggered(t));

	/* Nothing must happen, so there is nothing to wait for. */
	usleep(100000);
	if (t->marked)
		ASSERT_FALSE(vfio_pci_reset_mark_removed(t->device));
	t->marked = false;
	vfio_pci_state_read_config(t->bdf, t->after);
	t->after->open = false;
	ASSERT_EQ(0, vfio_pci_state_diff(t->before, t->after));
}

/* A device with nobody to speak for it makes the recovery fail. */
TEST_F_TIMEOUT(vfio_pci_recovery_test, fatal_driverless_sibling, TIMEOUT)
{
	struct test *t = &self->t;
	struct vfio_pci_state *sibling[2];
	char *driver;
	bool success;

	if (nr_devices < 2)
		SKIP(return, "Needs a second device below the port");

	driver = sysfs_driver_get(device_bdfs[1]);
	if (!driver || strcmp(driver, "vfio-pci"))
		SKIP(return, "The second device is not bound to vfio-pci");

	sysfs_driver_unbind(device_bdfs[1]);
	sibling[0] = vfio_pci_state_alloc();
	sibling[1] = vfio_pci_state_alloc();
	vfio_pci_state_read_config(device_bdfs[1], sibling[0]);

	success = aer_inject_error(&self->inject, true);
	vfio_pci_state_read_config(device_bdfs[1], sibling[1]);
	sysfs_driver_bind(device_bdfs[1], driver);
	ASSERT_FALSE(success);
	ASSERT_TRUE(err_triggered(t));

	test_expect(t, PCI_COMMAND_MASTER);
	/* The kernel turns on what a driver needs, as it doesn't ask vfio-pci. */
	if (!(state_cmd(t->before) & PCI_COMMAND_MEMORY))
		vfio_pci_cmd_clear(t->device, PCI_COMMAND_MEMORY);
	test_check(t);
	test_check_reset(t);

	ASSERT_EQ(0, vfio_pci_state_diff(sibling[0], sibling[1]));
}

/* A reset of the bus that neither the PCI core nor vfio-pci know of */
FIXTURE(vfio_pci_backdoor_test) {
	char *port;
	struct test t;
};

FIXTURE_VARIANT(vfio_pci_backdoor_test) {
	int irq_index;
	bool memory;
};

FIXTURE_VARIANT_ADD(vfio_pci_backdoor_test, mem) {
	.irq_index = VFIO_PCI_NUM_IRQS,
	.memory = true,
};

FIXTURE_VARIANT_ADD(vfio_pci_backdoor_test, nomem) {
	.irq_index = VFIO_PCI_NUM_IRQS,
};

FIXTURE_VARIANT_ADD(vfio_pci_backdoor_test, intx) {
	.irq_index = VFIO_PCI_INTX_IRQ_INDEX,
	.memory = true,
};

FIXTURE_VARIANT_ADD(vfio_pci_backdoor_test, msi) {
	.irq_index = VFIO_PCI_MSI_IRQ_INDEX,
	.memory = true,
};

FIXTURE_VARIANT_ADD(vfio_pci_backdoor_test, msix) {
	.irq_index = VFIO_PCI_MSIX_IRQ_INDEX,
	.memory = true,
};

FIXTURE_VARIANT_ADD(vfio_pci_backdoor_test, msix_nomem) {
	.irq_index = VFIO_PCI_MSIX_IRQ_INDEX,
};

static void backdoor_reset(const char *bdf, const char *port)
{
	u16 ctrl = sysfs_config_readw(port, PCI_BRIDGE_CONTROL), cmd;
	int tries = 100;

	sysfs_config_writew(port, PCI_BRIDGE_CONTROL, ctrl | PCI_BRIDGE_CTL_BUS_RESET);
	usleep(2000);
	sysfs_config_writew(port, PCI_BRIDGE_CONTROL, ctrl);

	/* 1 s at most (PCIe r6.0, sec 6.6.1) */
	usleep(100000);
	do {
		usleep(10000);
		cmd = sysfs_config_readw(bdf, PCI_COMMAND);
	} while (cmd == 0xffff && tries--);

	VFIO_ASSERT_NE(cmd, 0xffff);

	/* The reset was one, and the kernel doesn't know. */
	VFIO_ASSERT_EQ(cmd & (DECODE | PCI_COMMAND_MASTER), 0);
}

FIXTURE_SETUP(vfio_pci_backdoor_test)
{
	struct test *t = &self->t;

	headers_heal();

	self->port = sysfs_upstream_bridge_get(device_bdfs[0]);
	if (!self->port)
		SKIP(return, "There is no port above the device");

	test_open(t, device_bdfs[0]);
	if (!test_irq_supported(t, variant->irq_index)) {
		test_close(t);
		SKIP(return, "Device does not support this kind of interrupt");
	}

	test_setup(t, variant->irq_index, variant->memory);
	backdoor_reset(t->bdf, self->port);
}

FIXTURE_TEARDOWN(vfio_pci_backdoor_test)
{
	test_close(&self->t);
	free(self->port);
}

/* The user notices that something is wrong, and enables the device again. */
TEST_F_TIMEOUT(vfio_pci_backdoor_test, command, TIMEOUT)
{
	struct test *t = &self->t;
	u16 cmd;

	test_expect(t, PCI_COMMAND_MASTER);
	cmd = t->before->vconfig[PCI_COMMAND] | t->before->vconfig[PCI_COMMAND + 1] << 8;
	vfio_pci_config_writew(t->device, PCI_COMMAND, cmd);
	test_check(t);
	test_check_reset(t);
}

/* A reset that the user orders ends with what the user had set. */
TEST_F_TIMEOUT(vfio_pci_backdoor_test, device_reset, TIMEOUT)
{
	struct test *t = &self->t;

	if (!(t->device->info.flags & VFIO_DEVICE_FLAGS_RESET))
		SKIP(return, "Device does not support reset");

	test_expect(t, 0);
	vfio_pci_device_reset(t->device);
	test_check(t);
}

TEST_F_TIMEOUT(vfio_pci_backdoor_test, pcie_flr, TIMEOUT)
{
	struct test *t = &self->t;
	u16 exp, devctl;

	exp = vfio_pci_state_find_cap(t->opened, PCI_CAP_ID_EXP);
	if (!exp || !(vfio_pci_state_readl(t->opened, exp + PCI_EXP_DEVCAP) &
		      PCI_EXP_DEVCAP_FLR))
		SKIP(return, "Device does not support PCIe FLR");

	test_expect(t, 0);
	/* Max_Read_Request_Size is virtual, see readrq_set() */
	devctl = vfio_pci_config_readw(t->device, exp + PCI_EXP_DEVCTL) & PCI_EXP_DEVCTL_READRQ;
	devctl |= vfio_pci_state_readw(t->opened, exp + PCI_EXP_DEVCTL) & ~PCI_EXP_DEVCTL_READRQ;
	vfio_pci_config_writew(t->device, exp + PCI_EXP_DEVCTL,
			       devctl | PCI_EXP_DEVCTL_BCR_FLR);
	test_check(t);
}

TEST_F_TIMEOUT(vfio_pci_backdoor_test, hot_reset, TIMEOUT)
{
	struct test *t = &self->t;
	int ret;

	if (t->device->group_fd > 0)
		SKIP(return, "Needs a device opened by its character device");

	test_expect(t, 0);
	ret = vfio_pci_device_hot_reset(t->device, NULL, 0);
	if (ret)
		SKIP(return, "No hot reset of this device: %s", strerror(-ret));
	test_check(t);
}

/* The same while nobody has the device open */
FIXTURE(vfio_pci_backdoor_idle_test) {
	char *port;
	struct vfio_pci_state *before;
	char power_control[16];
	char *sibling_driver;
};

FIXTURE_VARIANT(vfio_pci_backdoor_idle_test) {
	bool reset;
	bool master;
	bool no_reset;
};

FIXTURE_VARIANT_ADD(vfio_pci_backdoor_idle_test, open) {
};

FIXTURE_VARIANT_ADD(vfio_pci_backdoor_idle_test, reset_by_sysfs) {
	.reset = true,
};

/* When the kernel saved it last, somebody had Bus Master on. */
FIXTURE_VARIANT_ADD(vfio_pci_backdoor_idle_test, master) {
	.master = true,
};

/* There is no way to reset the device, not even on open. */
FIXTURE_VARIANT_ADD(vfio_pci_backdoor_idle_test, no_reset) {
	.no_reset = true,
};

FIXTURE_SETUP(vfio_pci_backdoor_idle_test)
{
	headers_heal();

	self->port = sysfs_upstream_bridge_get(device_bdfs[0]);
	if (!self->port)
		SKIP(return, "There is no port above the device");

	/* Were it suspended, it would be restored on resume. */
	sysfs_device_attr_get(device_bdfs[0], "power/control", self->power_control,
			      sizeof(self->power_control));
	sysfs_device_attr_set(device_bdfs[0], "power/control", "on");
	self->before = vfio_pci_state_alloc();
}

FIXTURE_TEARDOWN(vfio_pci_backdoor_idle_test)
{
	if (variant->no_reset)
		__sysfs_device_attr_set(device_bdfs[0], "reset_method", "default");
	if (self->sibling_driver)
		sysfs_driver_bind(device_bdfs[1], self->sibling_driver);
	free(self->sibling_driver);
	sysfs_device_attr_set(device_bdfs[0], "power/control", self->power_control);
	free(self->before);
	free(self->port);
}

/* Who opens it next gets a device that works. */
TEST_F_TIMEOUT(vfio_pci_backdoor_idle_test, opened, TIMEOUT)
{
	struct test t = {};
	char *driver;

	test_open(&t, device_bdfs[0]);
	*self->before = *t.opened;
	test_close(&t);

	/* Nor can the bus be reset, if part of it is not for vfio. */
	if (variant->no_reset && nr_devices > 1) {
		self->sibling_driver = sysfs_driver_get(device_bdfs[1]);
		if (self->sibling_driver)
			sysfs_driver_unbind(device_bdfs[1]);
	}

	if (variant->master) {
		/* The next open must not rely on the reset on close. */
		driver = sysfs_driver_get(device_bdfs[0]);
		ASSERT_NE(NULL, driver);
		sysfs_driver_unbind(device_bdfs[0]);
		sysfs_driver_bind(device_bdfs[0], driver);
		free(driver);
		sysfs_device_attr_set(device_bdfs[0], "power/control", "on");

		sysfs_config_writew(device_bdfs[0], PCI_COMMAND,
				    state_cmd(self->before) | PCI_COMMAND_MASTER);
		if (__sysfs_device_attr_set(device_bdfs[0], "reset", "1"))
			SKIP(return, "Device does not support reset");
		ASSERT_TRUE(sysfs_config_readw(device_bdfs[0], PCI_COMMAND) & PCI_COMMAND_MASTER);
	}

	backdoor_reset(device_bdfs[0], self->port);
	if (variant->reset && __sysfs_device_attr_set(device_bdfs[0], "reset", "1"))
		SKIP(return, "Device does not support reset");
	if (variant->no_reset && __sysfs_device_attr_set(device_bdfs[0], "reset_method", "\n"))
		SKIP(return, "Device does not support reset");

	test_open(&t, device_bdfs[0]);
	EXPECT_EQ(0, vfio_pci_state_diff(self->before, t.opened));

	*t.before = *t.opened;
	if (!variant->no_reset)
		test_check_reset(&t);
	test_close(&t);
}

/*
 * A VF whose PF is reset.  That takes the VF with it, whose user is not told.
 */
FIXTURE(vfio_pci_pf_reset_test) {
	char pf[16];
	struct vfio_pci_state *pf_before;
	struct vfio_pci_state *pf_after;
	struct test t;
};

FIXTURE_VARIANT(vfio_pci_pf_reset_test) {
	int irq_index;
};

FIXTURE_VARIANT_ADD(vfio_pci_pf_reset_test, noirq) {
	.irq_index = VFIO_PCI_NUM_IRQS,
};

FIXTURE_VARIANT_ADD(vfio_pci_pf_reset_test, msix) {
	.irq_index = VFIO_PCI_MSIX_IRQ_INDEX,
};

FIXTURE_SETUP(vfio_pci_pf_reset_test)
{
	char path[PATH_MAX], link[PATH_MAX];
	struct test *t = &self->t;

	snprintf_assert(path, sizeof(path), "/sys/bus/pci/devices/%s/physfn", device_bdfs[0]);
	if (!realpath(path, link))
		SKIP(return, "Device is not a VF");
	snprintf_assert(self->pf, sizeof(self->pf), "%s", basename(link));

	snprintf_assert(path, sizeof(path), "/sys/bus/pci/devices/%s/reset", self->pf);
	if (access(path, W_OK))
		SKIP(return, "PF does not support reset");

	test_open(t, device_bdfs[0]);
	if (!test_irq_supported(t, variant->irq_index)) {
		test_close(t);
		SKIP(return, "Device does not support this kind of interrupt");
	}

	t->irq_index = variant->irq_index;
	if (t->irq_index != VFIO_PCI_NUM_IRQS)
		vfio_pci_irq_enable(t->device, t->irq_index, 0, 1);
	vfio_pci_cmd_set(t->device, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
	vfio_pci_state_read(t->device, t->before);
	ASSERT_TRUE(state_cmd(t->before) & PCI_COMMAND_MASTER);
	t->marked = vfio_pci_reset_mark(t->device);

	self->pf_before = vfio_pci_state_alloc();
	self->pf_after = vfio_pci_state_alloc();
	vfio_pci_state_read_config(self->pf, self->pf_before);
	sysfs_device_attr_set(self->pf, "reset", "1");
	vfio_pci_state_read_config(self->pf, self->pf_after);
	vfio_pci_state_read_config(device_bdfs[0], t->after);
}

FIXTURE_TEARDOWN(vfio_pci_pf_reset_test)
{
	test_close(&self->t);
	free(self->pf_before);
	free(self->pf_after);
}

/* The VF is there as before, but has been reset. */
TEST_F_TIMEOUT(vfio_pci_pf_reset_test, wiped, TIMEOUT)
{
	struct test *t = &self->t;

	EXPECT_EQ(0, vfio_pci_state_diff(self->pf_before, self->pf_after));
	ASSERT_TRUE(vfio_pci_state_accessible(t->after));
	ASSERT_FALSE(state_cmd(t->after) & PCI_COMMAND_MASTER);
}

/* A VF that was reset can only be told from others by MSI-X. */
TEST_F_TIMEOUT(vfio_pci_pf_reset_test, device_reset, TIMEOUT)
{
	struct test *t = &self->t;

	if (!(t->device->info.flags & VFIO_DEVICE_FLAGS_RESET))
		SKIP(return, "Device does not support reset");

	ASSERT_FALSE(state_cmd(t->after) & PCI_COMMAND_MASTER);
	test_expect(t, 0);
	vfio_pci_device_reset(t->device);

	if (t->irq_index != VFIO_PCI_NUM_IRQS)
		test_check(t);

	/* Without MSI-X, the user sets it up again. */
	vfio_pci_cmd_set(t->device, PCI_COMMAND_MASTER);
	ASSERT_TRUE(sysfs_config_readw(t->bdf, PCI_COMMAND) & PCI_COMMAND_MASTER);
}

int main(int argc, char *argv[])
{
	device_bdfs = vfio_selftests_get_bdfs(&argc, argv, &nr_devices);
	headers_read();
	return test_harness_run(argc, argv);
}
