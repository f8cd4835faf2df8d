// SPDX-License-Identifier: GPL-2.0-only
/* One machine with one kernel: QEMU or UML as a child process, and how it ended */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lab.h"

#define STANZA " -fw_cfg name=opt/vfio-reset-state/stanza,file=stanza"

/*
 * One host thread for all CPUs of x86_64 and arm64: machines run side by side anyway,
 * and 16 CPUs boot five times faster on two cores.  In QEMU's parallel mode, an access
 * may miss its device while a BAR moves: QEMU fails an assertion, or an arm64 guest
 * dies of an external abort.  s390x has two CPUs at the same moment.  arm64 has no PCI
 * memory above 4 GB, where the VFs of an igb don't decode their BARs in QEMU.
 *
 * An interrupt while the kernel identifies an x86_64 CPU finds no 5-level paging for a
 * moment, and KASAN takes all memory for wild then.  Emulated timers are late on a busy
 * host: the kernel must not conclude that they are broken, nor measure time by a badly
 * calibrated TSC.
 */
static const struct arch {
	const char *name;
	const char *qemu;	/* NULL: User-Mode Linux, a process of the host */
	const char *package;	/* that has it, in Debian */
	const char *options;
	const char *append;
	/* After the console: verdicts, monitor, stanza, as tools/guest/init.c has them */
	const char *ports;
	bool cross;
} archs[] = {
	{ .name = "x86_64", .qemu = "qemu-system-x86_64", .package = "qemu-system-x86",
	  .options = "-machine q35,kernel-irqchip=split -accel tcg,thread=single"
		     " -cpu max,la57=off -rtc base=utc -serial file:console.log",
	  .append = "console=ttyS0 no_timer_check clocksource=acpi_pm intel_iommu=on,sm_on",
	  .ports = "-serial file:ktap.log -serial chardev:guest-monitor" STANZA },
	{ .name = "um" },
	{ .name = "arm64", .qemu = "qemu-system-aarch64", .package = "qemu-system-arm",
	  .options = "-machine virt,gic-version=3,its=on,iommu=smmuv3,highmem-mmio=off -accel tcg,thread=single"
		     " -cpu max,pauth-impdef=on -serial file:console.log",
	  .append = "console=ttyAMA0",
	  .ports = "-chardev file,id=ktap,path=ktap.log"
		   " -device pci-serial-2x,chardev1=ktap,chardev2=guest-monitor" STANZA,
	  .cross = true },
	{ .name = "s390x", .qemu = "qemu-system-s390x", .package = "qemu-system-s390x",
	  .options = "-machine s390-ccw-virtio -accel tcg,thread=multi -cpu max"
		     " -chardev file,id=console,path=console.log -device sclpconsole,chardev=console",
	  .append = "console=ttysclp0",
	  .ports = "-device virtio-serial-ccw -chardev file,id=ktap,path=ktap.log"
		   " -device virtserialport,nr=1,chardev=ktap"
		   " -device virtserialport,nr=2,chardev=guest-monitor"
		   " -chardev file,id=stanza,path=/dev/null,input-path=stanza"
		   " -device virtserialport,nr=3,chardev=stanza",
	  .cross = true },
};

static const struct arch *arch_of(const struct stanza *machine)
{
	const char *name = stanza_get(machine, "arch", "x86_64");

	for (size_t i = 0; i < ARRAY_SIZE(archs); i++)
		if (!strcmp(archs[i].name, name))
			return &archs[i];
	die("[%s]: arch is x86_64, um, arm64 or s390x, not %s", machine->name, name);
}

const char *machine_arch(const struct stanza *machine)
{
	return arch_of(machine)->name;
}

bool machine_is_um(const struct stanza *machine)
{
	return !arch_of(machine)->qemu;
}

bool machine_is_cross(const struct stanza *machine)
{
	return arch_of(machine)->cross;
}

char *kernel_file(const struct stanza *machine, const struct kernel *kernel, const char *name)
{
	bool cross = machine_is_cross(machine);

	return xasprintf("%s/%s%s%s", kernel->dir, name, cross ? "-" : "",
			 cross ? machine_arch(machine) : "");
}

struct argv {
	char *v[256];
	size_t n;
};

static void arg(struct argv *a, const char *s)
{
	if (a->n == ARRAY_SIZE(a->v) - 1)
		die("too many QEMU options");
	a->v[a->n++] = xstrdup(s);
}

static void args(struct argv *a, const char *words)
{
	char *copy = xstrdup(words), *save;

	for (char *w = strtok_r(copy, " \t", &save); w; w = strtok_r(NULL, " \t", &save))
		arg(a, w);
	free(copy);
}

static bool qemu_has_device(const struct arch *arch, const char *name)
{
	static char *helps[ARRAY_SIZE(archs)];
	char **help = &helps[arch - archs];

	if (!*help) {
		char *command = xasprintf("%s -device help 2>/dev/null", arch->qemu);
		FILE *p = popen(command, "r");
		size_t len = 0;

		if (!p || getdelim(help, &len, 0, p) <= 0)
			die("%s does not run: is %s installed?", arch->qemu, arch->package);
		pclose(p);
		free(command);
	}
	/* name "igb", bus PCI, alias "..." */
	char *needle = xasprintf("name \"%s\"", name), *alias = xasprintf("alias \"%s\"", name);
	bool found = strstr(*help, needle) || strstr(*help, alias);

	free(needle);
	free(alias);
	return found;
}

static const char *iommu_option(const struct stanza *machine)
{
	const char *iommu = stanza_get(machine, "iommu", "intel");

	/* What the board has */
	if (machine_is_cross(machine))
		return NULL;
	if (!strcmp(iommu, "intel"))
		return "intel-iommu,intremap=on,caching-mode=on,device-iotlb=on";
	if (!strcmp(iommu, "virtio"))
		return "virtio-iommu-pci";
	if (!strcmp(iommu, "amd"))
		return "amd-iommu,intremap=on,xtsup=on,device-iotlb=on";
	if (!strcmp(iommu, "none"))
		return NULL;
	die("[%s]: iommu is intel, virtio, amd or none, not %s", machine->name, iommu);
}

static const char *lacks(const struct arch *arch, const char *option)
{
	static char name[64];
	const char *dev = strstr(option, "-device ");

	if (dev)
		dev += strlen("-device ");
	else
		return NULL;
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(dev, ", "), dev);
	return qemu_has_device(arch, name) ? NULL : name;
}

const char *machine_lacks_device(const struct stanza *machine)
{
	const struct arch *arch = arch_of(machine);

	for (size_t i = 0; i < machine->nr_lines; i++) {
		const char *missing = NULL;

		if (!strcmp(machine->lines[i].key, "qemu"))
			missing = lacks(arch, machine->lines[i].value);
		if (missing)
			return missing;
	}
	if (iommu_option(machine)) {
		char *option = xasprintf("-device %s", iommu_option(machine));
		const char *missing = lacks(arch, option);

		free(option);
		return missing;
	}
	return NULL;
}

static void write_stanza(const char *path, const struct stanza *machine)
{
	FILE *f = fopen(path, "w");

	if (!f || fputs(machine->text, f) < 0 || fclose(f))
		die("cannot write %s: %s", path, strerror(errno));
}

static void redirect(const char *path, int to)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd < 0 || dup2(fd, to) < 0)
		_exit(126);
	close(fd);
}

static void remove_output(const char *dir)
{
	static const char * const files[] = {
		"console.log", "ktap.log", "qemu.log", "junit.xml", "parse.log",
	};

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		char *path = xasprintf("%s/%s", dir, files[i]);

		unlink(path);
		free(path);
	}
}

/* A disk with a file that the guest reads: after the devices of the stanza */
static void arg_disk(struct argv *a, const struct boot *boot, const char *name)
{
	char *file = kernel_file(boot->machine, boot->kernel, name), *s;

	s = xasprintf("-drive if=none,id=%s,format=raw,readonly=on,file=%s"
		      " -device virtio-blk-pci,drive=%s,serial=%s", name, file, name, name);
	args(a, s);
	free(s);
	free(file);
}

static void qemu_args(struct argv *a, const struct boot *boot)
{
	const struct stanza *m = boot->machine;
	const struct arch *arch = arch_of(m);
	const char *iommu = iommu_option(m);
	char *s;

	arg(a, arch->qemu);
	args(a, arch->options);
	args(a, "-nodefaults -no-user-config -display none -no-reboot");
	arg(a, "-smp");
	arg(a, stanza_get(m, "smp", "2"));
	arg(a, "-m");
	arg(a, stanza_get(m, "mem", "512"));
	if (iommu) {
		arg(a, "-device");
		arg(a, iommu);
	}

	/*
	 * The port for the monitor connects to a monitor of this same QEMU.  The names
	 * are relative to boot->dir: socket paths are limited to 107 characters.
	 */
	args(a, "-chardev socket,id=monitor,path=monitor,server=on,wait=off"
	     " -mon chardev=monitor,mode=readline"
	     " -chardev socket,id=guest-monitor,path=monitor");
	args(a, arch->ports);
	for (size_t i = 0; i < m->nr_lines; i++)
		if (!strcmp(m->lines[i].key, "qemu"))
			args(a, m->lines[i].value);
	if (stanza_get(m, "kexec", NULL)) {
		arg_disk(a, boot, "bzImage");
		arg_disk(a, boot, "initrd");
	}

	arg(a, "-kernel");
	s = kernel_file(m, boot->kernel, "vmlinux");
	arg(a, s);
	free(s);
	arg(a, "-initrd");
	s = kernel_file(m, boot->kernel, "initrd");
	arg(a, s);
	free(s);
	s = xasprintf("%s panic=-1 oops=panic %s %s", arch->append,
		      stanza_get(m, "append", ""),
		      boot->kernel->append ? boot->kernel->append : "");
	arg(a, "-append");
	arg(a, s);
	free(s);
}

/*
 * For a suite what kunit.py gives to UML, so that it runs as it does there, but
 * in a process of its own: a suite that ends in a panic takes no other with it.
 */
static void um_args(struct argv *a, const struct boot *boot)
{
	char *s = xasprintf("%s/linux", boot->kernel->dir);

	arg(a, s);
	free(s);
	/* Its directory of sockets, else in the user's home */
	s = xasprintf("uml_dir=%s/", boot->dir);
	arg(a, s);
	free(s);
	s = xasprintf("mem=%sM console=tty %s %s", stanza_get(boot->machine, "mem", "512"),
		      stanza_get(boot->machine, "append", ""),
		      boot->kernel->append ? boot->kernel->append : "");
	args(a, s);
	free(s);
	if (boot->suite) {
		args(a, "kunit_shutdown=halt kunit.enable=1");
		s = xasprintf("kunit.filter_glob=%s", boot->suite);
		arg(a, s);
		free(s);
		return;
	}
	args(a, "kunit.enable=0 panic=-1");
	s = xasprintf("initrd=%s/initrd", boot->kernel->dir);
	arg(a, s);
	free(s);
	s = xasprintf("lab_dir=%s", boot->dir);
	arg(a, s);
	free(s);
}

static void make_dir(const char *out, const char *id, const char *column, char **dir)
{
	char *path = xasprintf("%s/%s/%s", out, id, column);

	for (char *p = path + strlen(out) + 1; (p = strchr(p, '/')); p++) {
		*p = 0;
		mkdir(path, 0755);
		*p = '/';
	}
	if (mkdir(path, 0755) && errno != EEXIST)
		die("cannot make %s: %s", path, strerror(errno));
	*dir = path;
}

void boot_start(struct boot *boot, const char *out, unsigned int timeout_factor,
		unsigned int seconds)
{
	const struct stanza *m = boot->machine;
	struct argv a = { 0 };
	char *s;

	make_dir(out, boot->id, boot->kernel->column, &boot->dir);
	remove_output(boot->dir);

	s = xasprintf("%s/stanza", boot->dir);
	write_stanza(s, m);
	free(s);

	if (machine_is_um(m))
		um_args(&a, boot);
	else
		qemu_args(&a, boot);

	boot->verdict = V_NONE;
	boot->reason[0] = 0;
	boot->crashed = false;
	boot->started = monotonic();
	boot->deadline = boot->started + stanza_get_int(m, "timeout", 180) * timeout_factor +
			 seconds;
	boot->pid = fork();
	if (boot->pid < 0)
		die("fork: %s", strerror(errno));
	if (!boot->pid) {
		/* It must not outlive a lab that was killed; UML has children */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setpgid(0, 0);
		if (chdir(boot->dir))
			_exit(126);
		redirect(machine_is_um(m) ? "console.log" : "qemu.log", 2);
		dup2(2, 1);
		if (machine_is_um(m)) {
			/* It must not take the terminal */
			close(0);
			open("/dev/null", O_RDWR);
		}
		execvp(a.v[0], a.v);
		fprintf(stderr, "%s: %s\n", a.v[0], strerror(errno));
		_exit(127);
	}
	for (size_t i = 0; i < a.n; i++)
		free(a.v[i]);
}

static char *read_file(const char *dir, const char *name)
{
	char *path = xasprintf("%s/%s", dir, name), *text = NULL;
	FILE *f = fopen(path, "r");
	size_t len = 0;

	free(path);
	if (!f)
		return xstrdup("");
	if (getdelim(&text, &len, 0, f) <= 0) {
		free(text);
		text = xstrdup("");
	}
	fclose(f);
	return text;
}

static void set_reason(struct boot *boot, enum verdict v, const char *text)
{
	boot->verdict = v;
	snprintf(boot->reason, sizeof(boot->reason), "%.*s",
		 (int)strcspn(text, "\r\n"), text);
}

/* A first guess from how QEMU ended; what the guest said decides */
static void judge(struct boot *boot, bool timed_out, int status)
{
	char *console = read_file(boot->dir, "console.log");
	char *ktap = read_file(boot->dir, "ktap.log");
	char *found;

	boot->took = monotonic() - boot->started;
	if ((found = strstr(ktap, "Bail out! ")))
		set_reason(boot, V_ERROR, found + strlen("Bail out! "));
	else if ((found = strstr(console, "Kernel panic - ")))
		set_reason(boot, V_PANIC, found);
	else if (timed_out)
		set_reason(boot, V_HANG, "the guest did not end in time");
	else if (strstr(ktap, "# guest: done") ||
		 (boot->suite && strstr(console, "reboot: System halted")))
		set_reason(boot, V_PASS, "");
	else if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		bool um = machine_is_um(boot->machine);
		/* User-Mode Linux has no log of its own; both complain last */
		char *log = read_file(boot->dir, um ? "console.log" : "qemu.log");
		size_t end = strlen(log);

		while (end && strchr("\r\n", log[end - 1]))
			log[--end] = 0;
		found = strrchr(log, '\n');
		char *text = xasprintf("%s failed: %s", um ? "User-Mode Linux" : "QEMU",
				       found ? found + 1 : log);

		set_reason(boot, V_ERROR, text);
		boot->crashed = WIFSIGNALED(status) && !um;
		free(text);
		free(log);
	} else if (!console[0])
		set_reason(boot, V_ERROR, "the guest printed nothing");
	else
		set_reason(boot, V_ERROR, "the guest ended before its tests did");
	free(console);
	free(ktap);
}

void boot_kill(struct boot *boot)
{
	char *s;

	if (boot->pid <= 0)
		return;
	kill(boot->pid, SIGKILL);
	kill(-boot->pid, SIGKILL);
	waitpid(boot->pid, NULL, 0);
	boot->pid = 0;
	s = xasprintf("%s/monitor", boot->dir);
	unlink(s);
	free(s);
}

bool boot_poll(struct boot *boot)
{
	int status = 0;
	pid_t ret = waitpid(boot->pid, &status, WNOHANG);

	if (!ret && monotonic() < boot->deadline)
		return false;
	if (!ret)
		boot_kill(boot);
	boot->pid = 0;
	judge(boot, !ret, status);
	return true;
}
