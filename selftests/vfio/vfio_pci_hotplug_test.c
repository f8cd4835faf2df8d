// SPDX-License-Identifier: GPL-2.0-only
/*
 * Does a device that is unplugged go, and does it work when it is back?
 *
 * The slot is turned off through pciehp's file in sysfs, which is an orderly
 * removal.  Not for every machine: needs $VFIO_SELFTESTS_SLOT_POWER.
 *
 * QEMU takes the device away for good when the slot is off.  For that,
 * $VFIO_SELFTESTS_REPLUG is FILE:TEXT, what to write where to have it back,
 * "/dev/ttyS2:device_add nvme,bus=port0" if that is where QEMU's monitor is.
 *
 * What is expected: Documentation/driver-api/vfio-pci-reset-state.rst
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <sys/eventfd.h>
#include <sys/ioctl.h>

#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include <libvfio.h>

#include "kselftest_harness.h"

/* Each change of power takes a second, and the link has to come up. */
#define TIMEOUT 120

#define POLL_INTERVAL_US 10000
#define POLL_COUNT (30 * 1000000 / POLL_INTERVAL_US)

#define REPLUG_COUNT (3 * 1000000 / POLL_INTERVAL_US)

#define SLOTS_DIR "/sys/bus/pci/slots"

static const char *device_bdf;

struct hotplug {
	char power[PATH_MAX];
	char driver[32];
	struct iommu *iommu;
	struct vfio_pci_state *before;
	struct vfio_pci_state *after;
};

FIXTURE(vfio_pci_hotplug_test) {
	struct hotplug h;
};

FIXTURE_VARIANT(vfio_pci_hotplug_test) {
	const char *reset_method;
};

FIXTURE_VARIANT_ADD(vfio_pci_hotplug_test, default_reset) {
	.reset_method = "default",
};

/* By way of the slot, with the help of pciehp */
FIXTURE_VARIANT_ADD(vfio_pci_hotplug_test, bus_reset) {
	.reset_method = "bus",
};

/* Find the file that turns the slot on and off, or return why there is none. */
static const char *slot_find(char *power, size_t size)
{
	const char *reason = "Device is not in a slot that can be turned off";
	char path[PATH_MAX], address[16];
	struct dirent *entry;
	DIR *dir;

	if (!getenv("VFIO_SELFTESTS_SLOT_POWER"))
		return "VFIO_SELFTESTS_SLOT_POWER is not set";

	dir = opendir(SLOTS_DIR);
	if (!dir)
		return reason;

	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;

		/* Without the function: "0000:01:00" */
		snprintf_assert(path, sizeof(path), SLOTS_DIR "/%s/address", entry->d_name);
		sysfs_read(path, address, sizeof(address));
		if (strncmp(address, device_bdf, strlen("0000:01:00")))
			continue;

		snprintf_assert(power, size, SLOTS_DIR "/%s/power", entry->d_name);
		if (!access(power, W_OK))
			reason = NULL;
		break;
	}

	VFIO_ASSERT_EQ(closedir(dir), 0);
	return reason;
}

static bool device_exists(void)
{
	char path[PATH_MAX];

	snprintf_assert(path, sizeof(path), "/sys/bus/pci/devices/%s", device_bdf);
	return !access(path, F_OK);
}

static bool replug(void)
{
	char *env = getenv("VFIO_SELFTESTS_REPLUG"), *text;
	struct termios tios;
	int fd;

	if (!env)
		return false;

	env = strdup(env);
	VFIO_ASSERT_NOT_NULL(env);
	text = strchr(env, ':');
	VFIO_ASSERT_NOT_NULL(text, "VFIO_SELFTESTS_REPLUG is not FILE:TEXT\n");
	*text++ = 0;

	fd = open(env, O_RDWR | O_NOCTTY);
	VFIO_ASSERT_GE(fd, 0, "open(%s) failed\n", env);
	if (!tcgetattr(fd, &tios)) {
		/* Don't echo what a monitor says: it would take that for input. */
		cfmakeraw(&tios);
		VFIO_ASSERT_EQ(tcsetattr(fd, TCSANOW, &tios), 0);
	}
	VFIO_ASSERT_EQ(write(fd, text, strlen(text)), strlen(text));
	VFIO_ASSERT_EQ(write(fd, "\n", 1), 1);
	VFIO_ASSERT_EQ(close(fd), 0);
	free(env);
	return true;
}

/* Have the device back, bound to its driver. */
static void plug(const char *power, const char *driver)
{
	char path[PATH_MAX], *bound;
	int tries = 0;

	while (!device_exists() && tries < POLL_COUNT) {
		/* It may be too early for that.  If the device is there, it does nothing. */
		if (!(tries++ % REPLUG_COUNT) && !replug())
			sysfs_write(power, "1");
		usleep(POLL_INTERVAL_US);
	}
	VFIO_ASSERT_TRUE(device_exists(), "%s has not come back\n", device_bdf);

	/* It can't be bound yet, or the driver of the host, if any, may be first */
	snprintf_assert(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev", device_bdf);
	for (tries = 0; access(path, F_OK) && tries < POLL_COUNT; tries++) {
		bound = sysfs_driver_get(device_bdf);
		if (bound && strcmp(bound, driver))
			sysfs_driver_unbind(device_bdf);
		free(bound);
		sysfs_device_attr_set(device_bdf, "driver_override", driver);
		sysfs_write("/sys/bus/pci/drivers_probe", device_bdf);
		usleep(POLL_INTERVAL_US);
	}
	VFIO_ASSERT_EQ(access(path, F_OK), 0, "%s is not bound to %s\n", device_bdf, driver);

	/* Takes the device lock, and so waits for the end of a probe under way */
	sysfs_device_attr_set(device_bdf, "power/control", "auto");
}

static void unplug(struct hotplug *h)
{
	sysfs_write(h->power, "0");
}

static void *thread_unplug(void *arg)
{
	unplug(arg);
	return NULL;
}

static void *thread_remove(void *arg)
{
	/* Fails if the device is gone already */
	__sysfs_device_attr_set(device_bdf, "remove", "1");
	return NULL;
}

FIXTURE_SETUP(vfio_pci_hotplug_test)
{
	struct hotplug *h = &self->h;
	const char *reason = slot_find(h->power, sizeof(h->power));
	struct vfio_pci_device *device;
	char *driver;

	if (reason)
		SKIP(return, "%s", reason);

	driver = sysfs_driver_get(device_bdf);
	ASSERT_NE(NULL, driver);
	snprintf_assert(h->driver, sizeof(h->driver), "%s", driver);
	free(driver);

	/* What firmware has set up is gone then, and does not come back. */
	unplug(h);
	plug(h->power, h->driver);

	if (__sysfs_device_attr_set(device_bdf, "reset_method", variant->reset_method))
		SKIP(return, "Device does not support reset by %s", variant->reset_method);

	h->iommu = iommu_init(default_iommu_mode);
	h->before = vfio_pci_state_alloc();
	h->after = vfio_pci_state_alloc();

	device = vfio_pci_device_init(device_bdf, h->iommu);
	vfio_pci_state_read(device, h->before);
	vfio_pci_device_cleanup(device);
}

/* libvfio ends the child process where it fails, and that closes the device. */
FIXTURE_TEARDOWN_PARENT(vfio_pci_hotplug_test)
{
	struct hotplug *h = &self->h;

	if (h->power[0] && !device_exists())
		plug(h->power, h->driver);
}

static void check_back(struct __test_metadata *_metadata, struct hotplug *h)
{
	struct vfio_pci_device *device;

	ASSERT_FALSE(device_exists());
	plug(h->power, h->driver);

	device = vfio_pci_device_init(device_bdf, h->iommu);
	vfio_pci_state_read(device, h->after);
	ASSERT_EQ(0, vfio_pci_state_diff(h->before, h->after));
	if (device->info.flags & VFIO_DEVICE_FLAGS_RESET)
		vfio_pci_device_reset(device);
	vfio_pci_device_cleanup(device);
}

TEST_F_TIMEOUT(vfio_pci_hotplug_test, idle, TIMEOUT)
{
	struct hotplug *h = &self->h;

	unplug(h);
	check_back(_metadata, h);
}

static struct vfio_pci_device *open_in_use(struct hotplug *h, int *eventfd_req)
{
	char buf[sizeof(struct vfio_irq_set) + sizeof(int)] = {};
	struct vfio_irq_set *irq_set = (void *)buf;
	struct vfio_pci_device *device;

	device = vfio_pci_device_init(device_bdf, h->iommu);
	vfio_pci_cmd_set(device, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
	if (device->msix_info.count)
		vfio_pci_msix_enable(device, 0, 1);

	*eventfd_req = eventfd(0, EFD_NONBLOCK);
	VFIO_ASSERT_GE(*eventfd_req, 0);
	irq_set->argsz = sizeof(buf);
	irq_set->flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
	irq_set->index = VFIO_PCI_REQ_IRQ_INDEX;
	irq_set->count = 1;
	*(int *)irq_set->data = *eventfd_req;
	ioctl_assert(device->fd, VFIO_DEVICE_SET_IRQS, irq_set);

	return device;
}

static void wait_for_request(int eventfd_req)
{
	struct pollfd pollfd = { .fd = eventfd_req, .events = POLLIN };

	VFIO_ASSERT_EQ(poll(&pollfd, 1, 30000), 1, "The user is not asked for the device\n");
}

/* The removal waits for the user, who is asked to let go. */
TEST_F_TIMEOUT(vfio_pci_hotplug_test, in_use, TIMEOUT)
{
	struct hotplug *h = &self->h;
	struct vfio_pci_device *device;
	int eventfd_req, ret, i;
	pthread_t thread;

	device = open_in_use(h, &eventfd_req);
	ASSERT_EQ(0, pthread_create(&thread, NULL, thread_unplug, h));
	wait_for_request(eventfd_req);

	/* Meanwhile the device is locked. */
	for (i = 0; i < 3; i++) {
		ret = __vfio_pci_device_reset(device);
		EXPECT_TRUE(!ret || ret == -EAGAIN);
	}

	vfio_pci_device_cleanup(device);
	ASSERT_EQ(0, close(eventfd_req));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	check_back(_metadata, h);
}

/*
 * The device is removed twice at the same time.  Each way takes locks of its
 * own, and in the end vfio-pci may want to reset the device.
 */
TEST_F_TIMEOUT(vfio_pci_hotplug_test, in_use_removed, TIMEOUT)
{
	struct hotplug *h = &self->h;
	pthread_t threads[2];
	struct vfio_pci_device *device;
	int eventfd_req;

	device = open_in_use(h, &eventfd_req);
	ASSERT_EQ(0, pthread_create(&threads[0], NULL, thread_remove, h));
	wait_for_request(eventfd_req);
	ASSERT_EQ(0, pthread_create(&threads[1], NULL, thread_unplug, h));
	usleep(500000);

	vfio_pci_device_cleanup(device);
	ASSERT_EQ(0, close(eventfd_req));
	ASSERT_EQ(0, pthread_join(threads[0], NULL));
	ASSERT_EQ(0, pthread_join(threads[1], NULL));
	check_back(_metadata, h);
}

int main(int argc, char *argv[])
{
	device_bdf = vfio_selftests_get_bdf(&argc, argv);
	return test_harness_run(argc, argv);
}
