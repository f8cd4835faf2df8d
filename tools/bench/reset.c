// SPDX-License-Identifier: GPL-2.0-only
/*
 * One VFIO_DEVICE_RESET with all MSI-X vectors enabled, traced by QEMU.
 *
 * usage: bench_reset DDDD:BB:DD.F
 *
 * Runs in a guest of the lab, as a test program: KTAP on stdout.  Opens the
 * device, enables every MSI-X vector it has, and resets it once.  For the time
 * of that one ioctl it has QEMU trace accesses, by way of QEMU's monitor, which
 * is the guest's third serial port.  So the trace has the accesses of the reset
 * and nothing else: there is nothing to cut out, and nothing to guess.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <linux/iommufd.h>
#include <linux/vfio.h>

#define MONITOR		"/dev/ttyS2"
#define MONITOR_TIMEOUT	30	/* seconds */

static const char * const events[] = {
	"pci_cfg_read", "pci_cfg_write", "memory_region_ops_read", "memory_region_ops_write",
};

static void fail(const char *fmt, ...)
{
	va_list ap;

	printf("# ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\nnot ok 1 reset\n");
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static int monitor_open(void)
{
	int fd = open(MONITOR, O_RDWR | O_NOCTTY);
	struct termios tio;

	if (fd < 0 || tcgetattr(fd, &tio))
		fail("%s: %s", MONITOR, strerror(errno));
	/* An echo would be typed into the monitor */
	cfmakeraw(&tio);
	if (tcsetattr(fd, TCSANOW, &tio) || tcflush(fd, TCIFLUSH))
		fail("%s: %s", MONITOR, strerror(errno));
	return fd;
}

static void monitor_write(int fd, const char *s)
{
	size_t len = strlen(s);

	if (write(fd, s, len) != (ssize_t)len || tcdrain(fd))
		fail("%s: %s", MONITOR, strerror(errno));
}

/*
 * Returns when QEMU has carried out all that was asked for.  It is asked for a
 * sum, another one each time, which no echo of the question contains.  Whatever
 * stands in the line of the monitor is ended first: before monitor_open() turns
 * echo off, the greeting of the monitor may be echoed to it, answered, echoed...
 */
static void monitor_sync(int fd)
{
	static unsigned int sum = 70000;
	double start = now(), asked = 0;
	char buf[4096];
	char question[64], answer[16];
	size_t have = 0;

	sum++;
	snprintf(question, sizeof(question), "\rprint /d %u+1\r", sum - 1);
	snprintf(answer, sizeof(answer), "%u", sum);
	while (now() < start + MONITOR_TIMEOUT) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n;

		if (now() > asked + 3) {
			monitor_write(fd, question);
			asked = now();
		}
		if (poll(&p, 1, 200) <= 0)
			continue;
		n = read(fd, buf + have, sizeof(buf) - 1 - have);
		if (n < 0)
			fail("%s: %s", MONITOR, strerror(errno));
		have += n;
		buf[have] = 0;
		if (strstr(buf, answer))
			return;
		/* An answer may come in two parts */
		if (have > sizeof(answer)) {
			memmove(buf, buf + have - sizeof(answer), sizeof(answer));
			have = sizeof(answer);
		}
	}
	fail("no answer from QEMU's monitor in %d s", MONITOR_TIMEOUT);
}

static void trace(int fd, const char *state)
{
	for (size_t i = 0; i < sizeof(events) / sizeof(*events); i++) {
		char command[96];

		snprintf(command, sizeof(command), "trace-event %s %s\r", events[i], state);
		monitor_write(fd, command);
	}
	monitor_sync(fd);
}

static int open_device(const char *bdf)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind) };
	char dir[128], path[400] = "";
	struct dirent *e;
	int device;
	DIR *d;

	snprintf(dir, sizeof(dir), "/sys/bus/pci/devices/%.64s/vfio-dev", bdf);
	d = opendir(dir);
	if (!d)
		fail("%s is not bound to vfio-pci", bdf);
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			snprintf(path, sizeof(path), "/dev/vfio/devices/%s", e->d_name);
	closedir(d);

	device = open(path, O_RDWR);
	bind.iommufd = open("/dev/iommu", O_RDWR);
	if (device < 0 || bind.iommufd < 0 || ioctl(device, VFIO_DEVICE_BIND_IOMMUFD, &bind))
		fail("cannot open %s: %s", path, strerror(errno));
	return device;
}

static unsigned int enable_msix(int device)
{
	struct vfio_irq_info info = { .argsz = sizeof(info), .index = VFIO_PCI_MSIX_IRQ_INDEX };
	struct rlimit files = { 8192, 8192 };
	struct vfio_irq_set *set;
	size_t size;
	int *fds;

	if (ioctl(device, VFIO_DEVICE_GET_IRQ_INFO, &info) || !info.count)
		fail("no MSI-X");
	if (setrlimit(RLIMIT_NOFILE, &files))
		fail("RLIMIT_NOFILE: %s", strerror(errno));

	size = sizeof(*set) + info.count * sizeof(*fds);
	set = calloc(1, size);
	if (!set)
		fail("no memory");
	set->argsz = size;
	set->flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
	set->index = VFIO_PCI_MSIX_IRQ_INDEX;
	set->count = info.count;
	fds = (int *)set->data;
	for (unsigned int i = 0; i < info.count; i++) {
		fds[i] = eventfd(0, EFD_CLOEXEC);
		if (fds[i] < 0)
			fail("eventfd: %s", strerror(errno));
	}
	if (ioctl(device, VFIO_DEVICE_SET_IRQS, set))
		fail("cannot enable %u vectors: %s", info.count, strerror(errno));
	free(set);
	return info.count;
}

int main(int argc, char *argv[])
{
	unsigned int vectors;
	int device, monitor;
	double start, took;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("TAP version 13\n1..1\n");
	if (argc != 2)
		fail("usage: %s DDDD:BB:DD.F", argv[0]);

	monitor = monitor_open();
	monitor_sync(monitor);
	device = open_device(argv[1]);
	vectors = enable_msix(device);

	trace(monitor, "on");
	start = now();
	if (ioctl(device, VFIO_DEVICE_RESET))
		fail("VFIO_DEVICE_RESET: %s", strerror(errno));
	took = now() - start;
	trace(monitor, "off");

	printf("# bench: device %s\n", argv[1]);
	printf("# bench: vectors %u\n", vectors);
	printf("# bench: milliseconds %.1f\n", took * 1e3);
	printf("ok 1 reset\n");
	return 0;
}
