// SPDX-License-Identifier: GPL-2.0-only
/*
 * Is a device reset when its last user closes it?
 *
 * The next user, or the host driver that gets the device back, must not find
 * it in the state which the last user left it in.
 *
 * The probe is the Mask Bit of the last entry in the MSI-X Table:  Out of a
 * reset, it is 1 (PCIe r6.0, sec 7.7.2.8).  So clear it through vfio, close the
 * device and look at it through sysfs, before anything else can reset the
 * device.  MSI-X and Bus Mastering stay disabled.
 *
 * What is expected: Documentation/driver-api/vfio-pci-reset-state.rst
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>
#include <sys/wait.h>

#include <linux/io.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include <libvfio.h>

#include "kselftest_harness.h"

#define NR_ROUNDS 3

#define MAX_DEVICES 16

static char **device_bdfs;
static int nr_devices;

/* Whether a device is fit for the tests: known once one of them has tried */
struct probe {
	bool done;
	const char *unfit;
};

/*
 * One for each device and one more for the first with a bus reset, shared by
 * the processes that the tests run in
 */
static struct probe *probes;

struct test_device {
	const char *bdf;
	char driver[32];
	char power_control[16];
	struct vfio_pci_device *vfio;
	pid_t unbinder;
	atomic_bool unbinding;

	/* Last entry of the MSI-X Table */
	int msix_bar;
	size_t msix_entry;
};

static bool msix_entry_find(struct test_device *device)
{
	u8 msix = sysfs_config_find_capability(device->bdf, PCI_CAP_ID_MSIX);
	u16 flags;
	u32 table;

	if (!msix)
		return false;

	flags = sysfs_config_readw(device->bdf, msix + PCI_MSIX_FLAGS);
	table = sysfs_config_readl(device->bdf, msix + PCI_MSIX_TABLE);

	device->msix_bar = table & PCI_MSIX_TABLE_BIR;
	VFIO_ASSERT_LT(device->msix_bar, PCI_STD_NUM_BARS);
	device->msix_entry = (table & PCI_MSIX_TABLE_OFFSET) +
			     (flags & PCI_MSIX_FLAGS_QSIZE) * PCI_MSIX_ENTRY_SIZE;
	return true;
}

static void *vector_ctrl(struct test_device *device)
{
	void *bar = device->vfio->bars[device->msix_bar].vaddr;

	return bar + device->msix_entry + PCI_MSIX_ENTRY_VECTOR_CTRL;
}

static void test_device_open(struct test_device *device, struct iommu *iommu)
{
	device->vfio = vfio_pci_device_init(device->bdf, iommu);
	VFIO_ASSERT_NOT_NULL(device->vfio->bars[device->msix_bar].vaddr);
	vfio_pci_cmd_set(device->vfio, PCI_COMMAND_MEMORY);
}

static void test_device_close(struct test_device *device)
{
	vfio_pci_device_cleanup(device->vfio);
	device->vfio = NULL;
}

static bool test_device_is_masked(struct test_device *device)
{
	u32 ctrl = readl(vector_ctrl(device));

	VFIO_ASSERT_NE(ctrl, ~0U, "%s does not respond\n", device->bdf);
	return ctrl & PCI_MSIX_ENTRY_CTRL_MASKBIT;
}

/* Change the state of the device, such that only a reset can undo it */
static void test_device_dirty(struct test_device *device)
{
	u32 ctrl = readl(vector_ctrl(device));

	writel(ctrl & ~PCI_MSIX_ENTRY_CTRL_MASKBIT, vector_ctrl(device));
	VFIO_ASSERT_FALSE(test_device_is_masked(device));
}

/* Look at the device after it was closed */
static bool test_device_was_reset(struct test_device *device)
{
	size_t page_size = getpagesize();
	size_t offset = device->msix_entry & ~(page_size - 1);
	void *page;
	u32 ctrl;

	page = sysfs_bar_map(device->bdf, device->msix_bar, offset, page_size);
	ctrl = readl(page + device->msix_entry - offset + PCI_MSIX_ENTRY_VECTOR_CTRL);
	VFIO_ASSERT_EQ(munmap(page, page_size), 0);

	VFIO_ASSERT_NE(ctrl, ~0U, "%s does not respond\n", device->bdf);
	return ctrl & PCI_MSIX_ENTRY_CTRL_MASKBIT;
}

/*
 * Open the device and have its driver unbound:  That waits for the user, who
 * goes on for a while.  Meanwhile it locks the device, so there is no reset.
 */
static void test_device_open_and_unbind(struct test_device *device, struct iommu *iommu)
{
	int fds[2], ret, nr_refused = 0, retries = 50;
	char c = 0;
	pid_t pid;

	/*
	 * The unbinding process must exist before the device is open:  It would
	 * inherit the open device and wait for itself.
	 */
	VFIO_ASSERT_EQ(pipe(fds), 0);
	device->unbinding = true;
	pid = fork();
	VFIO_ASSERT_GE(pid, 0);
	if (!pid) {
		close(fds[1]);
		if (read(fds[0], &c, 1) == 1)
			sysfs_driver_unbind(device->bdf);
		device->unbinding = false;
		_exit(0);
	}
	device->unbinder = pid;

	test_device_open(device, iommu);

	VFIO_ASSERT_EQ(write(fds[1], &c, 1), 1);
	VFIO_ASSERT_EQ(close(fds[0]), 0);
	VFIO_ASSERT_EQ(close(fds[1]), 0);

	/* Others lock the device for a moment, so that once is not enough. */
	while (nr_refused < 5 && retries--) {
		usleep(10000);
		ret = __vfio_pci_device_reset(device->vfio);
		VFIO_ASSERT_TRUE(!ret || ret == -EAGAIN, "Failed with %d\n", ret);
		nr_refused = ret ? nr_refused + 1 : 0;
	}

	VFIO_ASSERT_EQ(nr_refused, 5, "Unbinding does not lock the device\n");
}

static void test_device_unbind_wait(struct test_device *device)
{
	int status;

	VFIO_ASSERT_EQ(waitpid(device->unbinder, &status, 0), device->unbinder);
	VFIO_ASSERT_EQ(status, 0, "Unbinding failed\n");
	device->unbinder = 0;
}

static void test_device_teardown(struct test_device *device)
{
	int retries = 1000;
	char *driver;

	/* The device is closed, so this comes to an end even if the test did not. */
	while (device->unbinding && retries--)
		usleep(10000);

	driver = sysfs_driver_get(device->bdf);
	if (!driver)
		sysfs_driver_bind(device->bdf, device->driver);

	sysfs_power_control_set(device->bdf, device->power_control);

	free(driver);
}

/*
 * Nothing is changed before the test begins, because only then is there a
 * teardown.  Return NULL, or why the device is not fit for the tests.
 */
static const char *test_device_setup(struct test_device *device, const char *bdf)
{
	char *driver;

	device->bdf = bdf;

	if (!msix_entry_find(device))
		return "Device does not have MSI-X";

	driver = sysfs_driver_get(bdf);
	VFIO_ASSERT_NOT_NULL(driver, "%s has no driver\n", bdf);
	snprintf_assert(device->driver, sizeof(device->driver), "%s", driver);
	free(driver);

	/* The device must respond when it is closed, so keep it in D0 */
	sysfs_power_control_get(bdf, device->power_control, sizeof(device->power_control));

	return NULL;
}

/* Find out at the cost of three resets.  Return as test_device_setup(). */
static const char *test_device_probe(struct test_device *device, struct iommu *iommu)
{
	const char *unfit = NULL;

	device->vfio = vfio_pci_device_init(device->bdf, iommu);
	if (!(device->vfio->info.flags & VFIO_DEVICE_FLAGS_RESET)) {
		unfit = "Device does not support reset";
	} else if (!device->vfio->bars[device->msix_bar].vaddr) {
		unfit = "MSI-X Table does not support mmap()";
	} else {
		/* Some emulated devices ignore what should reset them */
		vfio_pci_cmd_set(device->vfio, PCI_COMMAND_MEMORY);
		test_device_dirty(device);
		vfio_pci_device_reset(device->vfio);
		if (!test_device_is_masked(device))
			unfit = "Reset does not set the Mask Bit";
	}
	test_device_close(device);

	return unfit;
}

/* Prepare the device for a test.  Return as test_device_setup(). */
static const char *test_device_use(struct test_device *device, struct iommu *iommu,
				   struct probe *probe)
{
	sysfs_power_control_set(device->bdf, "on");

	if (!probe->done) {
		probe->unfit = test_device_probe(device, iommu);
		probe->done = true;
	}

	return probe->unfit;
}

/* By value: the parent process has to find it when the child has ended. */
FIXTURE(vfio_pci_close_test) {
	struct iommu *iommu;
	struct test_device devices[MAX_DEVICES];
};

FIXTURE_SETUP(vfio_pci_close_test)
{
	const char *unfit;
	int i;

	self->iommu = iommu_init(default_iommu_mode);

	ASSERT_LE(nr_devices, MAX_DEVICES);
	for (i = 0; i < nr_devices; i++) {
		unfit = test_device_setup(&self->devices[i], device_bdfs[i]);
		if (unfit)
			SKIP(return, "A device is not fit for the test: %s", unfit);
	}
}

/* libvfio ends the child process where it fails, and that closes the devices. */
FIXTURE_TEARDOWN_PARENT(vfio_pci_close_test)
{
	int i;

	for (i = 0; i < nr_devices; i++)
		test_device_teardown(&self->devices[i]);
}

/* Prepare the first @n devices for a test.  Return as test_device_setup(). */
static const char *test_devices_use(struct test_device *devices, int n, struct iommu *iommu)
{
	const char *unfit = NULL;
	int i;

	for (i = 0; i < n && !unfit; i++)
		unfit = test_device_use(&devices[i], iommu, &probes[i]);

	return unfit;
}

/* No contention for any lock:  If this fails, the other tests mean nothing. */
TEST_F(vfio_pci_close_test, one_by_one)
{
	const char *unfit = test_devices_use(self->devices, nr_devices, self->iommu);
	int i;

	if (unfit)
		SKIP(return, "A device is not fit for the test: %s", unfit);

	for (i = 0; i < nr_devices; i++) {
		struct test_device *device = &self->devices[i];

		test_device_open(device, self->iommu);
		ASSERT_TRUE(test_device_is_masked(device));

		/* This asserts that the bit is clear: only a reset sets it again */
		test_device_dirty(device);

		test_device_close(device);
		ASSERT_TRUE(test_device_was_reset(device))
			TH_LOG("%s was not reset by close", device->bdf);
	}
}

struct thread {
	pthread_t id;
	pthread_barrier_t *barrier;
	struct test_device *device;
	struct iommu *iommu;
	int not_reset;
};

static void *thread_open_close(void *arg)
{
	struct thread *thread = arg;
	struct test_device *device = thread->device;
	int i;

	for (i = 0; i < NR_ROUNDS; i++) {
		pthread_barrier_wait(thread->barrier);
		test_device_open(device, thread->iommu);
		VFIO_ASSERT_TRUE(test_device_is_masked(device));
		test_device_dirty(device);

		pthread_barrier_wait(thread->barrier);
		test_device_close(device);

		/* Look at once:  The next thing to reset the device is its open */
		if (!test_device_was_reset(device))
			thread->not_reset++;
	}

	return NULL;
}

static void *thread_reset(void *arg)
{
	struct thread *thread = arg;
	struct test_device *device = thread->device;
	int i, ret, tries = 100;

	test_device_open(device, thread->iommu);

	for (i = 0; i < NR_ROUNDS; i++) {
		test_device_dirty(device);

		pthread_barrier_wait(thread->barrier);
		/* Not even tried, if somebody else has it locked for a moment */
		while ((ret = __vfio_pci_device_reset(device->vfio)) == -EAGAIN && tries--)
			usleep(10000);
		VFIO_ASSERT_EQ(ret, 0, "%s: VFIO_DEVICE_RESET\n", device->bdf);

		if (!test_device_is_masked(device))
			thread->not_reset++;
	}

	test_device_close(device);
	return NULL;
}

static void threads_run(struct __test_metadata *_metadata, struct iommu *iommu,
			struct test_device *devices, void *(*start)(void *))
{
	pthread_barrier_t barrier;
	struct thread *threads;
	int i;

	threads = calloc_assert(nr_devices, sizeof(threads[0]));
	ASSERT_EQ(0, pthread_barrier_init(&barrier, NULL, nr_devices));

	for (i = 0; i < nr_devices; i++) {
		threads[i].barrier = &barrier;
		threads[i].device = &devices[i];
		threads[i].iommu = iommu;
		ASSERT_EQ(0, pthread_create(&threads[i].id, NULL, start, &threads[i]));
	}

	for (i = 0; i < nr_devices; i++) {
		ASSERT_EQ(0, pthread_join(threads[i].id, NULL));
		EXPECT_EQ(0, threads[i].not_reset)
			TH_LOG("%s was not reset %d times of %d", devices[i].bdf,
			       threads[i].not_reset, NR_ROUNDS);
	}

	pthread_barrier_destroy(&barrier);
	free(threads);
}

/* Only then can the devices be in each other's way */
static bool is_bridge_shared(void)
{
	char *bridge, *first = sysfs_upstream_bridge_get(device_bdfs[0]);
	bool shared = first && nr_devices > 1;
	int i;

	for (i = 1; i < nr_devices && shared; i++) {
		bridge = sysfs_upstream_bridge_get(device_bdfs[i]);
		shared = bridge && !strcmp(bridge, first);
		free(bridge);
	}

	free(first);
	return shared;
}

TEST_F(vfio_pci_close_test, in_parallel)
{
	const char *unfit;

	if (!is_bridge_shared())
		SKIP(return, "Needs two or more devices below one bridge");

	unfit = test_devices_use(self->devices, nr_devices, self->iommu);
	if (unfit)
		SKIP(return, "A device is not fit for the test: %s", unfit);

	threads_run(_metadata, self->iommu, self->devices, thread_open_close);
}

TEST_F(vfio_pci_close_test, reset_in_parallel)
{
	const char *unfit;

	if (!is_bridge_shared())
		SKIP(return, "Needs two or more devices below one bridge");

	unfit = test_devices_use(self->devices, nr_devices, self->iommu);
	if (unfit)
		SKIP(return, "A device is not fit for the test: %s", unfit);

	threads_run(_metadata, self->iommu, self->devices, thread_reset);
}

struct sibling {
	const char *bdf;
	atomic_bool stop;
	atomic_int nr_resets;
	unsigned int pause;		/* in microseconds, 0: 1 ms */
};

static void *thread_sysfs_reset(void *arg)
{
	struct sibling *sibling = arg;

	while (!sibling->stop) {
		sysfs_device_attr_set(sibling->bdf, "reset", "1");
		sibling->nr_resets++;
		/* Who waits for its end has no claim on being the next one */
		usleep(sibling->pause ?: 1000);
	}

	return NULL;
}

/* The host resets one function while a user closes another */
TEST_F(vfio_pci_close_test, sibling_reset)
{
	struct test_device *device = &self->devices[0];
	struct sibling sibling = {};
	int i, not_reset = 0;
	const char *unfit;
	pthread_t thread;

	if (!is_bridge_shared())
		SKIP(return, "Needs two or more devices below one bridge");

	unfit = test_devices_use(self->devices, 1, self->iommu);
	if (unfit)
		SKIP(return, "A device is not fit for the test: %s", unfit);

	sibling.bdf = device_bdfs[1];
	ASSERT_EQ(0, pthread_create(&thread, NULL, thread_sysfs_reset, &sibling));

	for (i = 0; i < NR_ROUNDS; i++) {
		int nr_resets = sibling.nr_resets;

		test_device_open(device, self->iommu);
		ASSERT_TRUE(test_device_is_masked(device));
		test_device_dirty(device);

		/* One reset has ended, so the next one is under way after the pause */
		while (sibling.nr_resets == nr_resets)
			usleep(1000);
		usleep(20000);

		test_device_close(device);
		if (!test_device_was_reset(device))
			not_reset++;
	}

	sibling.stop = true;
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, not_reset)
		TH_LOG("%s was not reset %d times of %d", device->bdf, not_reset, NR_ROUNDS);
}

/* The host resets the function itself, and so has it locked */
TEST_F(vfio_pci_close_test, host_reset)
{
	struct test_device *device = &self->devices[0];
	struct sibling host = { .bdf = device->bdf };
	const char *unfit;
	pthread_t thread;
	u8 line;
	int i;

	unfit = test_devices_use(self->devices, 1, self->iommu);
	if (unfit)
		SKIP(return, "A device is not fit for the test: %s", unfit);

	line = sysfs_config_readb(device->bdf, PCI_CACHE_LINE_SIZE);

	for (i = 0; i < NR_ROUNDS; i++) {
		test_device_open(device, self->iommu);
		vfio_pci_config_writeb(device->vfio, PCI_CACHE_LINE_SIZE, ~line);
		vfio_pci_cmd_set(device->vfio, PCI_COMMAND_MASTER);

		host.stop = false;
		host.nr_resets = 0;
		ASSERT_EQ(0, pthread_create(&thread, NULL, thread_sysfs_reset, &host));

		/* One reset has ended, so the next one is under way */
		while (!host.nr_resets)
			usleep(1000);

		test_device_close(device);
		host.stop = true;
		ASSERT_EQ(0, pthread_join(thread, NULL));

		/* Nothing of the user is left, whichever of the two was the last */
		EXPECT_EQ(line, sysfs_config_readb(device->bdf, PCI_CACHE_LINE_SIZE));
		EXPECT_EQ(0, sysfs_config_readw(device->bdf, PCI_COMMAND) & PCI_COMMAND_MASTER);
	}
}

/* It does so while a user opens the function, which has to wait for it */
TEST_F(vfio_pci_close_test, host_reset_open)
{
	struct test_device *device = &self->devices[0];
	/* A pause that an open, which waits for a second, will meet */
	struct sibling host = { .bdf = device->bdf, .pause = 20000 };
	int ret, refused = 0, tries = 20;
	const char *unfit;
	pthread_t thread;

	unfit = test_devices_use(self->devices, 1, self->iommu);
	if (unfit)
		SKIP(return, "A device is not fit for the test: %s", unfit);
	if (!self->iommu->iommufd)
		SKIP(return, "Needs a device opened by its character device");

	ASSERT_EQ(0, pthread_create(&thread, NULL, thread_sysfs_reset, &host));

	/* One reset has ended, so the next one is under way */
	while (!host.nr_resets)
		usleep(1000);

	while (tries--) {
		ret = vfio_pci_device_try_open(device->bdf, self->iommu);
		EXPECT_TRUE(!ret || ret == -EAGAIN)
			TH_LOG("open during a reset by the host: %d", ret);
		refused += ret == -EAGAIN;
	}

	host.stop = true;
	ASSERT_EQ(0, pthread_join(thread, NULL));

	/* It has no claim on the pause, so that need not always be enough */
	EXPECT_GT(5, refused)
		TH_LOG("%d of 20 opens were refused", refused);
	/* The host has gone on meanwhile */
	EXPECT_LT(2, atomic_load(&host.nr_resets));
	test_device_open(device, self->iommu);
	test_device_close(device);
}

/* It is not closed, hence not reset and nobody else's, as long as it is mapped */
TEST_F(vfio_pci_close_test, mapped)
{
	struct test_device *device = &self->devices[0];
	const char *unfit;
	int null;

	unfit = test_devices_use(self->devices, 1, self->iommu);
	if (unfit)
		SKIP(return, "A device is not fit for the test: %s", unfit);
	if (!self->iommu->iommufd)
		SKIP(return, "Needs a device opened by its character device");

	test_device_open(device, self->iommu);
	test_device_dirty(device);

	/* Close the file, but leave test_device_close() something to close */
	null = open("/dev/null", O_RDWR);
	ASSERT_LE(0, null);
	ASSERT_EQ(device->vfio->fd, dup2(null, device->vfio->fd));
	ASSERT_EQ(0, close(null));

	ASSERT_EQ(-EINVAL, vfio_pci_device_try_open(device->bdf, self->iommu));
	ASSERT_FALSE(test_device_is_masked(device));

	/* This unmaps the BARs */
	test_device_close(device);
	ASSERT_TRUE(test_device_was_reset(device));
	test_device_open(device, self->iommu);
	test_device_close(device);
}

TEST_F(vfio_pci_close_test, unbind_while_open)
{
	struct test_device *device = &self->devices[0];
	const char *unfit;
	char *driver;
	u8 line;

	unfit = test_devices_use(self->devices, 1, self->iommu);
	if (unfit)
		SKIP(return, "A device is not fit for the test: %s", unfit);

	test_device_open_and_unbind(device, self->iommu);
	line = sysfs_config_readb(device->bdf, PCI_CACHE_LINE_SIZE);

	test_device_dirty(device);
	vfio_pci_config_writeb(device->vfio, PCI_CACHE_LINE_SIZE, ~line);
	ASSERT_EQ(-EAGAIN, __vfio_pci_device_reset(device->vfio));
	ASSERT_FALSE(test_device_is_masked(device));

	test_device_close(device);
	test_device_unbind_wait(device);

	driver = sysfs_driver_get(device->bdf);
	ASSERT_EQ(NULL, driver);
	ASSERT_TRUE(test_device_was_reset(device))
		TH_LOG("%s was not reset before its driver was unbound", device->bdf);
	EXPECT_EQ(line, sysfs_config_readb(device->bdf, PCI_CACHE_LINE_SIZE))
		TH_LOG("%s has kept what its user had set up", device->bdf);

	/* The next user gets a working device */
	sysfs_driver_bind(device->bdf, device->driver);
	sysfs_power_control_set(device->bdf, "on");
	test_device_open(device, self->iommu);
	ASSERT_TRUE(test_device_is_masked(device));
	test_device_close(device);
}

/*
 * A write to configuration space has no way to tell the user that an FLR was
 * not possible.  So at least the log must have it.
 */
TEST_F(vfio_pci_close_test, flr_while_unbinding)
{
	struct test_device *device = &self->devices[0];
	const u8 flr = PCI_AF_CAP_FLR | PCI_AF_CAP_TP;
	u8 exp, af = 0;
	const char *unfit;
	int kmsg;

	exp = sysfs_config_find_capability(device->bdf, PCI_CAP_ID_EXP);
	if (exp && !(sysfs_config_readl(device->bdf, exp + PCI_EXP_DEVCAP) & PCI_EXP_DEVCAP_FLR))
		exp = 0;
	if (!exp)
		af = sysfs_config_find_capability(device->bdf, PCI_CAP_ID_AF);
	if (af && (sysfs_config_readb(device->bdf, af + PCI_AF_CAP) & flr) != flr)
		af = 0;
	if (!exp && !af)
		SKIP(return, "Device does not have FLR");

	unfit = test_devices_use(self->devices, 1, self->iommu);
	if (unfit)
		SKIP(return, "A device is not fit for the test: %s", unfit);

	kmsg = kmsg_open();
	test_device_open_and_unbind(device, self->iommu);
	test_device_dirty(device);
	ASSERT_FALSE(kmsg_has(kmsg, device->bdf, "FLR by user failed"));

	if (exp) {
		u16 devctl = vfio_pci_config_readw(device->vfio, exp + PCI_EXP_DEVCTL);

		vfio_pci_config_writew(device->vfio, exp + PCI_EXP_DEVCTL,
				       devctl | PCI_EXP_DEVCTL_BCR_FLR);
	} else {
		vfio_pci_config_writeb(device->vfio, af + PCI_AF_CTRL, PCI_AF_CTRL_FLR);
	}

	/* Either there was an FLR or there is a message */
	if (!test_device_is_masked(device)) {
		EXPECT_TRUE(kmsg_has(kmsg, device->bdf, "FLR by user failed"))
			TH_LOG("%s dropped an FLR silently", device->bdf);
	}

	test_device_close(device);
	test_device_unbind_wait(device);

	/* The reset on unbind makes up for the one on close */
	EXPECT_FALSE(kmsg_has(kmsg, device->bdf, "cannot reset device on release"));
	ASSERT_EQ(0, close(kmsg));
}

FIXTURE(vfio_pci_bus_reset_test) {
	struct iommu *iommu;
	struct test_device device;
	char bridge[16];
	char reset_method[128];
};

FIXTURE_SETUP(vfio_pci_bus_reset_test)
{
	const char *unfit;
	char *bridge;

	bridge = sysfs_upstream_bridge_get(device_bdfs[0]);
	if (!bridge)
		SKIP(return, "There is no bridge above the device");
	snprintf_assert(self->bridge, sizeof(self->bridge), "%s", bridge);
	free(bridge);

	self->iommu = iommu_init(default_iommu_mode);

	unfit = test_device_setup(&self->device, device_bdfs[0]);
	if (unfit)
		SKIP(return, "A device is not fit for the test: %s", unfit);

	sysfs_device_attr_get(device_bdfs[0], "reset_method", self->reset_method,
			      sizeof(self->reset_method));
}

FIXTURE_TEARDOWN_PARENT(vfio_pci_bus_reset_test)
{
	/* What the administrator has chosen before may not be possible any more */
	if (__sysfs_device_attr_set(device_bdfs[0], "reset_method", self->reset_method))
		sysfs_device_attr_set(device_bdfs[0], "reset_method", "default");

	test_device_teardown(&self->device);
}

/* Let the device be reset by way of its bridge.  Return as test_device_setup(). */
static const char *bus_reset_use(struct test_device *device, struct iommu *iommu)
{
	if (__sysfs_device_attr_set(device->bdf, "reset_method", "bus"))
		return "Device does not support a bus reset of its own";

	return test_device_use(device, iommu, &probes[nr_devices]);
}

/* As test_device_dirty(), for a device that is not open */
static void test_device_dirty_closed(struct test_device *device)
{
	size_t page_size = getpagesize();
	size_t offset = device->msix_entry & ~(page_size - 1);
	void *page, *reg;
	u16 cmd;

	cmd = sysfs_config_readw(device->bdf, PCI_COMMAND);
	sysfs_config_writew(device->bdf, PCI_COMMAND, cmd | PCI_COMMAND_MEMORY);

	page = sysfs_bar_map(device->bdf, device->msix_bar, offset, page_size);
	reg = page + device->msix_entry - offset + PCI_MSIX_ENTRY_VECTOR_CTRL;
	writel(readl(reg) & ~PCI_MSIX_ENTRY_CTRL_MASKBIT, reg);
	VFIO_ASSERT_EQ(readl(reg) & PCI_MSIX_ENTRY_CTRL_MASKBIT, 0);
	VFIO_ASSERT_EQ(munmap(page, page_size), 0);
}

struct monitor {
	pthread_t thread;
	const char *bridge;
	atomic_bool stop;
	atomic_int nr_reads;
	int nr_resets_seen;
};

static void *thread_monitor(void *arg)
{
	struct monitor *monitor = arg;
	u16 ctrl;

	while (!monitor->stop) {
		ctrl = sysfs_config_readw(monitor->bridge, PCI_BRIDGE_CONTROL);
		if (ctrl & PCI_BRIDGE_CTL_BUS_RESET)
			monitor->nr_resets_seen++;
		monitor->nr_reads++;
	}

	return NULL;
}

static void monitor_start(struct monitor *monitor)
{
	VFIO_ASSERT_EQ(pthread_create(&monitor->thread, NULL, thread_monitor, monitor), 0);

	while (!monitor->nr_reads)
		usleep(1000);
}

static void monitor_stop(struct monitor *monitor)
{
	monitor->stop = true;
	VFIO_ASSERT_EQ(pthread_join(monitor->thread, NULL), 0);
}

/*
 * Nobody may touch the configuration space of the bridge while it resets its
 * secondary bus.  The kernel makes user accesses wait for the end of the reset,
 * so the bit for it is never seen set.
 */
TEST_F(vfio_pci_bus_reset_test, open_locks_bridge)
{
	const char *unfit = bus_reset_use(&self->device, self->iommu);
	struct monitor monitor = { .bridge = self->bridge };
	char *driver;

	if (unfit)
		SKIP(return, "%s", unfit);

	/* The first open resets the device: the last close before may have done that */
	driver = sysfs_driver_get(self->device.bdf);
	sysfs_driver_unbind(self->device.bdf);
	sysfs_driver_bind(self->device.bdf, driver);
	free(driver);
	/* vfio-pci has allowed it to suspend */
	sysfs_power_control_set(self->device.bdf, "on");
	test_device_dirty_closed(&self->device);

	monitor_start(&monitor);
	test_device_open(&self->device, self->iommu);
	monitor_stop(&monitor);

	ASSERT_TRUE(test_device_is_masked(&self->device));
	test_device_close(&self->device);

	EXPECT_EQ(0, monitor.nr_resets_seen);
}

TEST_F(vfio_pci_bus_reset_test, reset_locks_bridge)
{
	const char *unfit = bus_reset_use(&self->device, self->iommu);
	struct monitor monitor = { .bridge = self->bridge };

	if (unfit)
		SKIP(return, "%s", unfit);

	test_device_open(&self->device, self->iommu);
	test_device_dirty(&self->device);

	monitor_start(&monitor);
	/* The monitor may miss one of them: the bit is set for 2 ms */
	for (int i = 0; i < 5; i++)
		vfio_pci_device_reset(self->device.vfio);
	monitor_stop(&monitor);

	ASSERT_TRUE(test_device_is_masked(&self->device));
	test_device_close(&self->device);

	EXPECT_EQ(0, monitor.nr_resets_seen);
}

TEST_F(vfio_pci_bus_reset_test, close_locks_bridge)
{
	const char *unfit = bus_reset_use(&self->device, self->iommu);
	struct monitor monitor = { .bridge = self->bridge };

	if (unfit)
		SKIP(return, "%s", unfit);

	test_device_open(&self->device, self->iommu);
	test_device_dirty(&self->device);

	monitor_start(&monitor);
	test_device_close(&self->device);
	monitor_stop(&monitor);

	ASSERT_TRUE(test_device_was_reset(&self->device));
	EXPECT_EQ(0, monitor.nr_resets_seen);
}

TEST_F(vfio_pci_bus_reset_test, unbind_locks_bridge)
{
	const char *unfit = bus_reset_use(&self->device, self->iommu);
	struct monitor monitor = { .bridge = self->bridge };

	if (unfit)
		SKIP(return, "%s", unfit);

	test_device_open_and_unbind(&self->device, self->iommu);
	test_device_dirty(&self->device);

	monitor_start(&monitor);
	test_device_close(&self->device);
	test_device_unbind_wait(&self->device);
	monitor_stop(&monitor);

	ASSERT_TRUE(test_device_was_reset(&self->device));
	EXPECT_EQ(0, monitor.nr_resets_seen);
}

int main(int argc, char *argv[])
{
	device_bdfs = vfio_selftests_get_bdfs(&argc, argv, &nr_devices);

	probes = mmap(NULL, (nr_devices + 1) * sizeof(probes[0]), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	VFIO_ASSERT_NE(probes, MAP_FAILED);

	return test_harness_run(argc, argv);
}
