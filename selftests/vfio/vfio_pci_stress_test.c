// SPDX-License-Identifier: GPL-2.0-only
/*
 * Resets, errors, unbinding, open and close, and the user's own accesses, all at
 * once, for what lockdep and KASAN have to say about it.
 *
 * The first device has a user who is never done with it.  The others, if there
 * are any, are opened, closed, unbound and bound again.  In the end, each has
 * what it had when it was opened for the first time.
 *
 * What is expected: Documentation/driver-api/vfio-pci-reset-state.rst
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/ioctl.h>

#include <linux/limits.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include <libvfio.h>

#include "kselftest_harness.h"

#define DURATION_ENV "VFIO_SELFTESTS_STRESS_SECONDS"
#define DURATION_DEFAULT 5

/* The duration is up to the caller: this only ends what will never end. */
#define TIMEOUT (24 * 60 * 60)

#define ROUND_US 1000000

#define MAX_DEVICES 8
#define MAX_THREADS 16

static char **device_bdfs;
static int nr_devices;

struct stress_device {
	const char *bdf;
	char driver[32];

	/* As it was when it was opened for the first time */
	struct vfio_pci_state *opened;
};

struct stress {
	struct stress_device devices[MAX_DEVICES];
	struct iommu *iommu;

	/* Of the first device */
	struct vfio_pci_device *device;
	int irq_index;
	u16 flr_pos;
	u16 flr_val;
	bool inject_errors;
	struct aer_inject inject;

	/* Of the first device's user: he is gone at the end of each round */
	atomic_bool user_stop;
	pthread_t user_threads[MAX_THREADS];
	int nr_user_threads;

	/* Of everybody else */
	atomic_bool stop;
	pthread_t threads[MAX_THREADS];
	int nr_threads;

	/* How often did what succeed? */
	atomic_ulong nr_resets;
	atomic_ulong nr_hot_resets;
	atomic_ulong nr_host_resets;
	atomic_ulong nr_errors;
	atomic_ulong nr_irqs;
	atomic_ulong nr_faults;
	atomic_ulong nr_low_power;
	atomic_ulong nr_opens;
	atomic_ulong nr_unbinds;
};

FIXTURE(vfio_pci_stress_test) {
	struct stress s;
};

static unsigned int duration(void)
{
	const char *env = getenv(DURATION_ENV);

	return env ? atoi(env) : DURATION_DEFAULT;
}

static time_t now(void)
{
	struct timespec t;

	VFIO_ASSERT_EQ(clock_gettime(CLOCK_MONOTONIC, &t), 0);
	return t.tv_sec;
}

static void driver_unbind(struct stress *s, struct stress_device *device)
{
	if (!__sysfs_device_attr_set(device->bdf, "driver/unbind", device->bdf))
		s->nr_unbinds++;
}

/* Others may be in the way for a moment. */
static void driver_bind(struct stress_device *device)
{
	char path[PATH_MAX], *driver;
	int retries = 1000;

	snprintf_assert(path, sizeof(path), "/sys/bus/pci/drivers/%s/bind", device->driver);
	while (!(driver = sysfs_driver_get(device->bdf))) {
		int fd = open(path, O_WRONLY);

		VFIO_ASSERT_GE(fd, 0);
		if (write(fd, device->bdf, strlen(device->bdf)) < 0)
			usleep(10000);
		VFIO_ASSERT_EQ(close(fd), 0);
		VFIO_ASSERT_GT(retries--, 0, "%s cannot be bound\n", device->bdf);
	}
	free(driver);
}

/*
 * What the user of the first device does.  All of it may fail, because the
 * device may be inaccessible or locked.
 */

/* One after the other:  Each only tries to lock the device. */
static void *user_reset(void *arg)
{
	struct stress *s = arg;

	while (!s->user_stop) {
		if (!__vfio_pci_device_reset(s->device))
			s->nr_resets++;
		if (!vfio_pci_device_hot_reset(s->device, NULL, 0))
			s->nr_hot_resets++;
	}

	return NULL;
}

static void config_writew(struct stress *s, u16 pos, u16 val)
{
	off_t base = s->device->config_space.offset;

	if (pwrite(s->device->fd, &val, sizeof(val), base + pos) < 0)
		usleep(1000);
}

static void *user_config(void *arg)
{
	struct stress *s = arg;

	/* I/O Space and SERR# Enable are off, which no other user must find so. */
	while (!s->user_stop) {
		config_writew(s, PCI_COMMAND, PCI_COMMAND_MASTER);
		config_writew(s, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE);
		if (s->flr_pos)
			config_writew(s, s->flr_pos, s->flr_val);
	}

	return NULL;
}

static void *user_irqs(void *arg)
{
	struct stress *s = arg;

	while (!s->user_stop) {
		if (__vfio_pci_irq_enable(s->device, s->irq_index, 0, 1))
			continue;
		vfio_pci_irq_disable(s->device, s->irq_index);
		s->nr_irqs++;
	}

	return NULL;
}

static void *user_fault(void *arg)
{
	struct stress *s = arg;
	void *vaddr = NULL;
	int i;

	for (i = 0; i < PCI_STD_NUM_BARS && !vaddr; i++)
		vaddr = s->device->bars[i].vaddr;

	while (vaddr && !s->user_stop) {
		if (!vfio_pci_mapping_works(vaddr))
			s->nr_faults++;
	}

	return NULL;
}

static int feature_set(struct stress *s, u32 feature)
{
	return vfio_device_feature_ioctl(s->device->fd, VFIO_DEVICE_FEATURE_SET | feature,
					 NULL, 0);
}

static void *user_low_power(void *arg)
{
	struct stress *s = arg;

	while (!s->user_stop) {
		if (!feature_set(s, VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY)) {
			s->nr_low_power++;
			usleep(10000);
			feature_set(s, VFIO_DEVICE_FEATURE_LOW_POWER_EXIT);
		}
		usleep(100000);
	}

	return NULL;
}

/* What the host does */

static void *host_reset(void *arg)
{
	struct stress *s = arg;
	int i;

	while (!s->stop) {
		for (i = 0; i < nr_devices; i++) {
			if (!__sysfs_device_attr_set(device_bdfs[i], "reset", "1"))
				s->nr_host_resets++;
			usleep(20000);
		}
		if (!__sysfs_device_attr_set(device_bdfs[0], "physfn/reset", "1"))
			s->nr_host_resets++;
	}

	return NULL;
}

static void *host_errors(void *arg)
{
	struct stress *s = arg;
	int i = 1;

	while (!s->stop) {
		if (__aer_inject_error(&s->inject, i++ % 4) >= 0)
			s->nr_errors++;
		usleep(200000);
	}

	return NULL;
}

/* Open a device that another thread unbinds.  Its files may be gone, or not be there yet. */
static int device_open(const char *bdf)
{
	char path[PATH_MAX];
	struct dirent *entry;
	int fd = -1;
	DIR *dir;

	snprintf_assert(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev", bdf);
	dir = opendir(path);
	if (!dir)
		return -1;

	while (fd < 0 && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf_assert(path, sizeof(path), "/dev/vfio/devices/%s", entry->d_name);
		fd = open(path, O_RDWR);
	}

	VFIO_ASSERT_EQ(closedir(dir), 0);
	return fd;
}

static void *others_open_close(void *arg)
{
	struct stress *s = arg;
	int i, fd;

	while (!s->stop) {
		for (i = 1; i < nr_devices; i++) {
			fd = device_open(device_bdfs[i]);
			if (fd < 0)
				continue;
			if (!__vfio_device_bind_iommufd(fd, s->iommu->iommufd, NULL)) {
				ioctl(fd, VFIO_DEVICE_RESET);
				s->nr_opens++;
			}
			VFIO_ASSERT_EQ(close(fd), 0);
		}
	}

	return NULL;
}

static void *others_unbind(void *arg)
{
	struct stress *s = arg;
	int i;

	while (!s->stop) {
		for (i = 1; i < nr_devices; i++) {
			usleep(100000);
			driver_unbind(s, &s->devices[i]);
			usleep(10000);
			driver_bind(&s->devices[i]);
		}
	}

	return NULL;
}

static void user_start(struct stress *s, void *(*start)(void *))
{
	VFIO_ASSERT_LT(s->nr_user_threads, MAX_THREADS);
	VFIO_ASSERT_EQ(pthread_create(&s->user_threads[s->nr_user_threads++], NULL, start, s), 0);
}

static void host_start(struct stress *s, void *(*start)(void *))
{
	VFIO_ASSERT_LT(s->nr_threads, MAX_THREADS);
	VFIO_ASSERT_EQ(pthread_create(&s->threads[s->nr_threads++], NULL, start, s), 0);
}

static void *first_unbind(void *arg)
{
	struct stress *s = arg;

	driver_unbind(s, &s->devices[0]);
	return NULL;
}

/* The life of one user; if he does not let go, the host takes the device. */
static void round_run(struct stress *s, bool unbind)
{
	pthread_t unbinder;

	s->device = vfio_pci_device_init(device_bdfs[0], s->iommu);
	s->user_stop = false;
	s->nr_user_threads = 0;
	user_start(s, user_reset);
	user_start(s, user_config);
	user_start(s, user_fault);
	user_start(s, user_low_power);
	if (s->irq_index != VFIO_PCI_NUM_IRQS)
		user_start(s, user_irqs);

	usleep(ROUND_US);
	if (unbind) {
		VFIO_ASSERT_EQ(pthread_create(&unbinder, NULL, first_unbind, s), 0);
		usleep(ROUND_US / 4);
	}

	s->user_stop = true;
	while (s->nr_user_threads)
		VFIO_ASSERT_EQ(pthread_join(s->user_threads[--s->nr_user_threads], NULL), 0);
	vfio_pci_device_cleanup(s->device);
	s->nr_opens++;

	if (unbind) {
		VFIO_ASSERT_EQ(pthread_join(unbinder, NULL), 0);
		driver_bind(&s->devices[0]);
	}
}

FIXTURE_SETUP(vfio_pci_stress_test)
{
	struct stress *s = &self->s;
	u16 exp;
	int i;

	ASSERT_LE(nr_devices, MAX_DEVICES);
	s->iommu = iommu_init(default_iommu_mode);

	for (i = 0; i < nr_devices; i++) {
		struct stress_device *device = &s->devices[i];
		char *driver = sysfs_driver_get(device_bdfs[i]);

		ASSERT_NE(NULL, driver);
		snprintf_assert(device->driver, sizeof(device->driver), "%s", driver);
		free(driver);

		device->bdf = device_bdfs[i];
		device->opened = vfio_pci_state_alloc();
		s->device = vfio_pci_device_init(device->bdf, s->iommu);
		vfio_pci_state_read(s->device, device->opened);

		if (!i) {
			s->irq_index = s->device->msix_info.count ? VFIO_PCI_MSIX_IRQ_INDEX :
					  s->device->msi_info.count ? VFIO_PCI_MSI_IRQ_INDEX :
					  VFIO_PCI_NUM_IRQS;

			exp = vfio_pci_state_find_cap(device->opened, PCI_CAP_ID_EXP);
			if (exp && (vfio_pci_state_readl(device->opened, exp + PCI_EXP_DEVCAP) &
				    PCI_EXP_DEVCAP_FLR)) {
				s->flr_pos = exp + PCI_EXP_DEVCTL;
				s->flr_val = PCI_EXP_DEVCTL_BCR_FLR |
					vfio_pci_state_readw(device->opened, s->flr_pos);
			}
		}

		vfio_pci_device_cleanup(s->device);
	}

	s->inject_errors = !aer_inject_init(&s->inject, device_bdfs[0]);
}

FIXTURE_TEARDOWN(vfio_pci_stress_test)
{
	struct stress *s = &self->s;
	int i;

	if (s->inject_errors)
		aer_inject_cleanup(&s->inject);
	for (i = 0; i < nr_devices; i++)
		free(s->devices[i].opened);
	iommu_cleanup(s->iommu);
}

TEST_F_TIMEOUT(vfio_pci_stress_test, stress, TIMEOUT)
{
	struct stress *s = &self->s;
	struct vfio_pci_state *state = vfio_pci_state_alloc();
	time_t end = now() + duration();
	int i, rounds = 0;

	host_start(s, host_reset);
	if (s->inject_errors)
		host_start(s, host_errors);
	if (nr_devices > 1) {
		host_start(s, others_open_close);
		host_start(s, others_unbind);
	}

	do {
		round_run(s, rounds++ % 2);
	} while (now() < end);

	s->stop = true;
	while (s->nr_threads)
		ASSERT_EQ(0, pthread_join(s->threads[--s->nr_threads], NULL));

	printf("%d users; resets: %lu, hot: %lu, by the host: %lu; errors: %lu, ",
	       rounds, s->nr_resets, s->nr_hot_resets, s->nr_host_resets, s->nr_errors);
	printf("SET_IRQS: %lu, faults: %lu, low power: %lu, opens: %lu, unbinds: %lu\n",
	       s->nr_irqs, s->nr_faults, s->nr_low_power, s->nr_opens, s->nr_unbinds);
	/* Each may fail, but not all of them */
	EXPECT_GT(s->nr_resets + s->nr_hot_resets + s->nr_host_resets, 0);

	for (i = 0; i < nr_devices; i++) {
		s->device = vfio_pci_device_init(device_bdfs[i], s->iommu);
		vfio_pci_state_read(s->device, state);
		EXPECT_EQ(0, vfio_pci_state_diff(s->devices[i].opened, state));
		vfio_pci_device_cleanup(s->device);
	}
	free(state);
}

int main(int argc, char *argv[])
{
	device_bdfs = vfio_selftests_get_bdfs(&argc, argv, &nr_devices);
	vfio_pci_open_retries = 1000;
	return test_harness_run(argc, argv);
}
