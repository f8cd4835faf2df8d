// SPDX-License-Identifier: GPL-2.0-only
/*
 * Process 1 of a lab guest.
 *
 * Reads the machine's stanza from QEMU's fw_cfg, prepares the devices it
 * names, runs its tests one after the other and powers off.  The verdicts go
 * as KTAP to the second serial port, where no kernel message can tear a line;
 * the same lines go to the console too, so that the boot log tells the whole
 * story in order.  On s390x there are ports of a virtio console instead.  On
 * User-Mode Linux both are files of the host, in the directory that lab_dir= of
 * the kernel command line names.
 *
 * Lines of the stanza that matter here (see machines.conf):
 *
 *	mock = FUNCTION...	make a software PCI hierarchy, each function below
 *				the one before; DEVICEs are in there from then on
 *	bind = DEVICE DRIVER	bind a PCI function to a driver
 *	vfs  = DEVICE N		enable N virtual functions
 *	kexec = N		let another kernel do what follows
 *	test = PROGRAM ARG...	run /tests/PROGRAM; an ARG that begins with @
 *				is a DEVICE and is replaced by its address
 *
 * Each program gives two results: PROGRAM, with its own cases as subtests, and
 * PROGRAM-end, which says whether it came to an end by itself.  A crash after
 * the last good case would otherwise go unseen.  After a kexec, in the Nth kernel,
 * PROGRAM is followed by -N.
 *
 * A DEVICE is a path from the root bus, such as 04.0/00.0: device and function
 * numbers only, because bus numbers are up to the firmware.  The last part may
 * be virtfnN.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <linux/reboot.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* As tools/lab/boot.c sets them up; N is the number of a virtio device */
#ifdef __s390x__
#define STANZA		"/dev/vportNp3"
#define KTAP_PORT	"/dev/vportNp1"
#define MONITOR_PORT	"/dev/vportNp2"
#else
#define STANZA		"/sys/firmware/qemu_fw_cfg/by_name/opt/vfio-reset-state/stanza/raw"
#ifdef __aarch64__
#define KTAP_PORT	"/dev/ttyS0"
#define MONITOR_PORT	"/dev/ttyS1"
#else
#define KTAP_PORT	"/dev/ttyS1"
#define MONITOR_PORT	"/dev/ttyS2"
#endif
#endif
/* QEMU's monitor, whatever the port */
#define MONITOR		"/dev/monitor"
#define HOST		"/host"
#define TMP		"/tmp"
#define KMEMLEAK	"/sys/kernel/debug/kmemleak"
#define MOCK		"/sys/kernel/debug/pci_mock/create"
#define MOCK_BRIDGE	"/sys/devices/faux/pci_mock.0"
/* Of the kernel command line: how many kernels there were before */
#define STAGE		"lab_stage"
#define MAX_ARGS	32

/* Exit codes of the kselftest convention */
#define KSFT_SKIP	4

struct stanza_line {
	char key[16];
	char value[512];
};

static struct stanza_line lines[256];
static int nr_lines;
static unsigned int test_timeout = 120;	/* seconds for one program */
static FILE *ktap;
static char root_bus[512];

static void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	va_start(ap, fmt);
	vfprintf(ktap, fmt, ap);
	va_end(ap);
	fflush(ktap);
	/* A file of the host: what a guest that is killed has said is there */
	fsync(fileno(ktap));
}

static void power_off(void)
{
	fflush(NULL);
	sync();
	/* Let the UARTs drain what was written last */
	if (ktap)
		tcdrain(fileno(ktap));
	usleep(20000);
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

__attribute__((format(printf, 1, 2)))
static void fatal(const char *fmt, ...)
{
	char msg[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	/* The lab looks for these words and reports the machine as broken */
	say("Bail out! guest: %s\n", msg);
	power_off();
}

static int write_file(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY);
	ssize_t ret;
	int err;

	if (fd < 0)
		return -errno;
	ret = write(fd, value, strlen(value));
	err = errno;
	close(fd);
	return ret < 0 ? -err : 0;
}

static void mount_all(void)
{
	static const struct { const char *type, *where; } fs[] = {
		{ "proc", "/proc" }, { "sysfs", "/sys" }, { "devtmpfs", "/dev" },
		{ "tmpfs", "/tmp" }, { "debugfs", "/sys/kernel/debug" },
		{ "tracefs", "/sys/kernel/tracing" },
	};

	for (size_t i = 0; i < sizeof(fs) / sizeof(*fs); i++) {
		mkdir(fs[i].where, 0755);
		/* debugfs and tracefs are only in some configurations */
		mount(fs[i].type, fs[i].where, fs[i].type, 0, NULL);
	}
}

static char *trim(char *s)
{
	char *end;

	s += strspn(s, " \t");
	end = s + strlen(s);
	while (end > s && strchr(" \t\r\n", end[-1]))
		*--end = 0;
	return s;
}

static void read_stanza(const char *path)
{
	FILE *f = fopen(path, "r");
	char line[600];

	if (!f)
		fatal("cannot read the machine's stanza from %s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), f)) {
		char *eq = strchr(line, '=');

		if (!eq || line[0] == '#' || line[0] == '[')
			continue;
		if (nr_lines == sizeof(lines) / sizeof(*lines))
			fatal("the machine's stanza has more than %d lines", nr_lines);
		*eq = 0;
		snprintf(lines[nr_lines].key, sizeof(lines->key), "%s", trim(line));
		snprintf(lines[nr_lines].value, sizeof(lines->value), "%s", trim(eq + 1));
		nr_lines++;
	}
	fclose(f);
}

/* The first bus that is below a host bridge, not a PCI function: pci0000:00 */
static void find_root_bus(void)
{
	struct dirent **names;
	int n = scandir("/sys/class/pci_bus", &names, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		char link[PATH_MAX], dir[PATH_MAX];

		snprintf(link, sizeof(link), "/sys/class/pci_bus/%s/device", names[i]->d_name);
		if (!root_bus[0] && realpath(link, dir) && !strncmp(basename(dir), "pci", 3))
			snprintf(root_bus, sizeof(root_bus), "%.500s", dir);
	}
}

/* A port of a virtio console, whatever the number N of the console; NULL: not yet */
static const char *find_port(const char *name)
{
	char path[64];

	for (char n = '0'; n <= '9'; n++) {
		snprintf(path, sizeof(path), "%s", name);
		*strchr(path, 'N') = n;
		if (!access(path, F_OK))
			return strdup(path);
	}
	return NULL;
}

/* Find the address of the function that a path such as 04.0/00.0 names */
static int find_device(const char *path, char *bdf, size_t len)
{
	char dir[PATH_MAX], part[64];
	const char *p = path;

	snprintf(dir, sizeof(dir), "%s", root_bus);
	while (*p) {
		char next[PATH_MAX] = "";
		size_t n = strcspn(p, "/");
		struct dirent *e;
		DIR *d;

		if (n >= sizeof(part))
			return -EINVAL;
		memcpy(part, p, n);
		part[n] = 0;
		p += n + (p[n] == '/');

		if (!strncmp(part, "virtfn", 6)) {
			char link[PATH_MAX + 80];

			snprintf(link, sizeof(link), "%s/%s", dir, part);
			if (!realpath(link, next))
				return -ENODEV;
		} else {
			d = opendir(dir);
			if (!d)
				return -ENODEV;
			while ((e = readdir(d))) {
				unsigned int dom, bus;
				char devfn[16];

				if (sscanf(e->d_name, "%4x:%2x:%15s", &dom, &bus, devfn) == 3 &&
				    !strcmp(devfn, part))
					snprintf(next, sizeof(next), "%.2000s/%.255s", dir, e->d_name);
			}
			closedir(d);
			if (!next[0])
				return -ENODEV;
		}
		snprintf(dir, sizeof(dir), "%s", next);
	}
	snprintf(bdf, len, "%s", basename(dir));
	return 0;
}

static void resolve(const char *path, char *bdf, size_t len)
{
	if (find_device(path, bdf, len))
		fatal("no PCI device at %s: does the machine's stanza match its QEMU options?", path);
}

static void make_mock(const char *value)
{
	int err = write_file(MOCK, value);
	struct dirent *e;
	DIR *d;

	if (err)
		fatal("cannot make the software PCI hierarchy %s: %s", value, strerror(-err));
	d = opendir(MOCK_BRIDGE);
	while (d && (e = readdir(d)))
		if (!strncmp(e->d_name, "pci", 3))
			snprintf(root_bus, sizeof(root_bus), MOCK_BRIDGE "/%.255s", e->d_name);
	if (d)
		closedir(d);
}

static void bind_driver(const char *value)
{
	char path[128], driver[128], bdf[64], sys[256], now[PATH_MAX];
	ssize_t n;

	if (sscanf(value, "%127s %127s", path, driver) != 2)
		fatal("bind wants a device and a driver, has: %s", value);
	resolve(path, bdf, sizeof(bdf));

	snprintf(sys, sizeof(sys), "/sys/bus/pci/devices/%s/driver/unbind", bdf);
	write_file(sys, bdf);
	snprintf(sys, sizeof(sys), "/sys/bus/pci/devices/%s/driver_override", bdf);
	if (write_file(sys, driver))
		fatal("cannot override the driver of %s (%s)", path, bdf);
	write_file("/sys/bus/pci/drivers_probe", bdf);

	snprintf(sys, sizeof(sys), "/sys/bus/pci/devices/%s/driver", bdf);
	n = readlink(sys, now, sizeof(now) - 1);
	now[n > 0 ? n : 0] = 0;
	if (n <= 0 || strcmp(basename(now), driver))
		fatal("%s (%s) could not be bound to %s", path, bdf, driver);
}

static void enable_vfs(const char *value)
{
	char path[128], n[16], bdf[64], sys[256];
	int err;

	if (sscanf(value, "%127s %15s", path, n) != 2)
		fatal("vfs wants a device and a number, has: %s", value);
	resolve(path, bdf, sizeof(bdf));
	/* A VF is bound by a bind line, not by whichever driver comes first */
	snprintf(sys, sizeof(sys), "/sys/bus/pci/devices/%s/sriov_drivers_autoprobe", bdf);
	write_file(sys, "0");
	snprintf(sys, sizeof(sys), "/sys/bus/pci/devices/%s/sriov_numvfs", bdf);
	err = write_file(sys, n);
	if (err)
		fatal("cannot enable %s VFs of %s: %s", n, path, strerror(-err));
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* How far the running program has come, as far as its output tells */
static struct {
	int plan, results;
	char running[128];	/* the case that began last */
} progress;

static void note_progress(const char *line)
{
	char name[128];

	if (sscanf(line, "1..%d", &progress.plan) == 1)
		return;
	if (!strncmp(line, "ok ", 3) || !strncmp(line, "not ok ", 7))
		progress.results++;
	else if (sscanf(line, "# RUN %127s", name) == 1)
		snprintf(progress.running, sizeof(progress.running), "%s", name);
}

/*
 * A program that did not end owes results that its plan has announced: the
 * parser would take the next ones for them.
 */
static void settle_plan(const char *why)
{
	if (progress.results < progress.plan && progress.running[0]) {
		say("  # %s\n", why);
		say("  not ok %d %s\n", ++progress.results, progress.running);
	}
	while (progress.results < progress.plan) {
		progress.results++;
		say("  not ok %d not-run-%d\n", progress.results, progress.results);
	}
}

/* Print a line of a test's output as a line of a KTAP subtest */
static void print_subtest_line(const char *line)
{
	static const char * const tap[] = {
		"TAP version ", "KTAP version ", "1..", "ok ", "not ok ", "# ",
	};

	note_progress(line);
	for (size_t i = 0; i < sizeof(tap) / sizeof(*tap); i++) {
		if (!strncmp(line, tap[i], strlen(tap[i]))) {
			say("  %s\n", line);
			return;
		}
	}
	say("  # %s\n", line);
}

/* Copy the test's output until it ends; false: it did not end in time */
static bool follow(int fd, char *last, size_t len)
{
	double deadline = now() + test_timeout;
	char buf[4096];
	size_t have = 0;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		double left = deadline - now();
		ssize_t n;
		char *nl;

		if (left <= 0)
			return false;
		if (poll(&p, 1, left * 1000 + 1) <= 0)
			continue;
		n = read(fd, buf + have, sizeof(buf) - 1 - have);
		if (n <= 0)
			break;
		have += n;
		buf[have] = 0;
		while ((nl = strchr(buf, '\n')) || have == sizeof(buf) - 1) {
			size_t text = nl ? (size_t)(nl - buf) : have;
			size_t used = nl ? text + 1 : have;

			buf[text] = 0;
			print_subtest_line(buf);
			snprintf(last, len, "%.200s", buf);
			memmove(buf, buf + used, have - used);
			have -= used;
			buf[have] = 0;
		}
	}
	if (have) {
		print_subtest_line(buf);
		snprintf(last, len, "%.200s", buf);
	}
	return true;
}

static void run_test(int nr, int stage, const char *value)
{
	char copy[512], addr[MAX_ARGS][64], prog[600], *argv[MAX_ARGS + 1], *save;
	int argc = 0, fds[2], status;
	char last[256] = "";
	char name[64];
	pid_t pid;

	snprintf(copy, sizeof(copy), "%s", value);
	for (char *w = strtok_r(copy, " \t", &save); w; w = strtok_r(NULL, " \t", &save)) {
		if (argc == MAX_ARGS)
			fatal("too many arguments: %s", value);
		if (w[0] == '@') {
			resolve(w + 1, addr[argc], sizeof(addr[argc]));
			w = addr[argc];
		}
		argv[argc++] = w;
	}
	argv[argc] = NULL;
	/* The same program may have been run in the kernel before */
	snprintf(name, sizeof(name), stage ? "%s-%d" : "%s", argv[0], stage + 1);

	memset(&progress, 0, sizeof(progress));
	snprintf(prog, sizeof(prog), "/tests/%s", argv[0]);
	if (access(prog, X_OK)) {
		say("not ok %d %s\n", nr, name);
		say("# no such program in the guest\nnot ok %d %s-end\n", nr + 1, name);
		return;
	}
	if (pipe(fds))
		fatal("pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		fatal("fork: %s", strerror(errno));
	if (!pid) {
		setpgid(0, 0);
		dup2(fds[1], 1);
		dup2(fds[1], 2);
		close(fds[0]);
		close(fds[1]);
		execv(prog, argv);
		_exit(127);
	}
	close(fds[1]);

	if (!follow(fds[0], last, sizeof(last))) {
		double deadline = now() + 5;

		/* Blocked tasks, for the boot log */
		write_file("/proc/sysrq-trigger", "w");
		kill(-pid, SIGKILL);
		while (waitpid(pid, &status, WNOHANG) == 0 && now() < deadline)
			usleep(50000);
		snprintf(last, sizeof(last), "HANG: no end after %u s", test_timeout);
		settle_plan(last);
		say("not ok %d %s\n", nr, name);
		say("# HANG: no end after %u s\nnot ok %d %s-end\n", test_timeout, nr + 1, name);
		if (now() >= deadline)
			fatal("%s cannot be killed, it waits in the kernel", name);
		close(fds[0]);
		return;
	}
	close(fds[0]);
	waitpid(pid, &status, 0);
	settle_plan("the program ended in the middle of this case");

	if (WIFEXITED(status) && WEXITSTATUS(status) == KSFT_SKIP)
		say("ok %d %s # SKIP %s\n", nr, name, last + strspn(last, "#- "));
	else if (!WIFEXITED(status) || WEXITSTATUS(status))
		say("not ok %d %s\n", nr, name);
	else
		say("ok %d %s\n", nr, name);

	if (WIFSIGNALED(status))
		say("# killed by signal %d\nnot ok %d %s-end\n", WTERMSIG(status), nr + 1, name);
	else if (WEXITSTATUS(status) > KSFT_SKIP)
		say("# exit code %d\nnot ok %d %s-end\n", WEXITSTATUS(status), nr + 1, name);
	else
		say("ok %d %s-end\n", nr + 1, name);
}

/* Copy the disk with this serial number to a file, which kexec_file_load() wants */
static int copy_of_disk(const char *serial, const char *to)
{
	char path[64], buf[65536];
	int in = -1, out;
	ssize_t n;

	for (char disk = 'a'; disk <= 'z' && in < 0; disk++) {
		char got[32] = "";
		FILE *f;

		snprintf(path, sizeof(path), "/sys/block/vd%c/serial", disk);
		f = fopen(path, "r");
		if (!f)
			break;
		if (fgets(got, sizeof(got), f) && !strcmp(trim(got), serial)) {
			snprintf(path, sizeof(path), "/dev/vd%c", disk);
			in = open(path, O_RDONLY);
		}
		fclose(f);
	}
	if (in < 0)
		fatal("there is no disk %s", serial);
	out = open(to, O_RDWR | O_CREAT | O_TRUNC, 0600);
	while ((n = read(in, buf, sizeof(buf))) > 0)
		if (write(out, buf, n) != n)
			break;
	if (n)
		fatal("cannot copy %s to %s: %s", serial, to, strerror(errno));
	close(in);
	close(out);
	return open(to, O_RDONLY);
}

/* Load the kernel that comes next, which is told that it is number @stage */
static void load_kernel(int stage)
{
	int kernel = copy_of_disk("bzImage", TMP "/bzImage");
	int initrd = copy_of_disk("initrd", TMP "/initrd");
	char cmdline[2048] = "";
	FILE *f = fopen("/proc/cmdline", "r");
	char *end;

	if (!f || !fgets(cmdline, sizeof(cmdline) - 32, f))
		fatal("cannot read /proc/cmdline");
	fclose(f);
	end = strstr(cmdline, " " STAGE "=");
	if (!end)
		end = cmdline + strcspn(cmdline, "\n");
	sprintf(end, " " STAGE "=%d", stage);
	if (syscall(SYS_kexec_file_load, kernel, initrd, strlen(cmdline) + 1, cmdline, 0L))
		fatal("cannot load the kernel for a kexec: %s", strerror(errno));
	close(kernel);
	close(initrd);
	unlink(TMP "/bzImage");
	unlink(TMP "/initrd");
}

static void start_kernel(void)
{
	fflush(NULL);
	if (ktap)
		tcdrain(fileno(ktap));
	reboot(LINUX_REBOOT_CMD_KEXEC);
	fatal("kexec: %s", strerror(errno));
}

/*
 * Memory that nobody points to any more, if the kernel looks for it: copied to its
 * log, where the lab finds it, as far as the log takes so much at once.  What is
 * younger than five seconds does not count, nor what was written to since the scan
 * before.
 */
static void log_leaks(void)
{
	FILE *leaks, *log;
	char line[512];

	if (access(KMEMLEAK, W_OK))
		return;
	sleep(6);
	write_file(KMEMLEAK, "scan");
	write_file(KMEMLEAK, "scan");
	leaks = fopen(KMEMLEAK, "r");
	log = fopen("/dev/kmsg", "w");
	if (!leaks || !log)
		fatal("cannot read " KMEMLEAK ": %s", strerror(errno));
	setvbuf(log, NULL, _IOLBF, sizeof(line));	/* one message for each line */
	while (fgets(line, sizeof(line), leaks))
		fputs(line, log);
	fclose(leaks);
	fclose(log);
}

int main(void)
{
	const char *stanza = STANZA, *port = KTAP_PORT, *monitor = MONITOR_PORT;
	const char *lab_dir = getenv("lab_dir"), *stress, *device;
	/* How many kernels have been before this one, and what it has to do */
	int stage = atoi(getenv(STAGE) ?: "0"), first = 0, last, kexecs = 0;
	int nr_tests = 0, nr = 1;

	mount_all();
	find_root_bus();
	if (lab_dir) {
		mkdir(HOST, 0755);
		if (mount("none", HOST, "hostfs", 0, lab_dir))
			fprintf(stderr, "guest: cannot mount %s: %s\n", lab_dir, strerror(errno));
		stanza = HOST "/stanza";
		port = HOST "/ktap.log";
	} else if (strchr(stanza, 'N')) {
		/* Ports come one after the other */
		for (int tries = 0; !(device = find_port(stanza)) && tries < 1000; tries++)
			usleep(10000);
		stanza = device;
		port = find_port(port);
		monitor = find_port(monitor);
	}
	symlink(monitor, MONITOR);
	setenv("PATH", "/tests:/bin", 1);
	setenv("HOME", "/tmp", 1);
	/* The slots of a lab machine belong to nobody else */
	setenv("VFIO_SELFTESTS_SLOT_POWER", "1", 1);
	setenv("VFIO_SELFTESTS_KEXEC", "1", 1);
	stress = getenv("VFIO_SELFTESTS_STRESS_SECONDS");
	ktap = fopen(port, "w");
	if (!ktap) {
		fprintf(stderr, "guest: cannot write to %s: %s\n", port, strerror(errno));
		power_off();
	}

	read_stanza(stanza);
	last = nr_lines;
	for (int i = 0; i < nr_lines; i++) {
		if (!strcmp(lines[i].key, "test")) {
			nr_tests++;
			nr += kexecs < stage ? 2 : 0;
		} else if (!strcmp(lines[i].key, "test-timeout")) {
			test_timeout = atoi(lines[i].value);
		} else if (!strcmp(lines[i].key, "kexec")) {
			kexecs++;
			if (kexecs == stage)
				first = i + 1;
			else if (kexecs == stage + 1)
				last = i;
		}
	}
	for (int i = first; i < last; i++) {
		const char *key = lines[i].key, *value = lines[i].value;

		if (!strcmp(key, "mock"))
			make_mock(value);
		else if (!strcmp(key, "bind"))
			bind_driver(value);
		else if (!strcmp(key, "vfs"))
			enable_vfs(value);
	}

	/* On top of what it takes to begin and to end */
	if (stress)
		test_timeout += atoi(stress);

	if (stage)
		say("# guest: kernel %d\n", stage + 1);
	else
		say("KTAP version 1\n1..%d\n", 2 * nr_tests);
	if (last < nr_lines)
		load_kernel(stage + 1);
	for (int i = first; i < last; i++) {
		if (strcmp(lines[i].key, "test"))
			continue;
		run_test(nr, stage, lines[i].value);
		nr += 2;
	}
	log_leaks();
	if (last < nr_lines)
		start_kernel();
	say("# guest: done\n");
	power_off();
}
