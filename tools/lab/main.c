// SPDX-License-Identifier: GPL-2.0-only
/*
 * lab - boot every machine with every kernel, side by side, and compare
 *
 * Called by tools/prove, which builds what this boots; usable alone.
 */
#include <errno.h>
#include <fnmatch.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "lab.h"

static struct boot *boots;
static size_t nr_boots;
static volatile sig_atomic_t interrupted;

static void kill_all(void)
{
	for (size_t i = 0; i < nr_boots; i++)
		boot_kill(&boots[i]);
}

void die(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fprintf(stderr, "lab: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\n");
	kill_all();
	exit(LAB_ERROR);
}

void *xmalloc(size_t size)
{
	void *p = calloc(1, size);

	if (!p)
		die("out of memory");
	return p;
}

char *xstrdup(const char *s)
{
	char *p = strdup(s);

	if (!p)
		die("out of memory");
	return p;
}

char *xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		die("out of memory");
	va_end(ap);
	return s;
}

double monotonic(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void on_signal(int sig)
{
	interrupted = sig;
}

static const char usage[] =
"usage: lab --machines FILE --provenance FILE --kunit KUNIT.PY --out DIR\n"
"           --kernel COLUMN=BUILD_DIR... [OPTION...]\n"
"\n"
"Boot each machine with each kernel, compare the verdicts, print a table.\n"
"COLUMN is base, series, without or control; BUILD_DIR holds vmlinux and initrd,\n"
"vmlinux-ARCH and initrd-ARCH of other architectures than x86_64, and for machines\n"
"that are User-Mode Linux: linux, or linux.error if it does not build, a line that\n"
"says why.\n"
"\n"
"  --mutant NAME     the patch that \"without\" lacks or that \"control\" reverses;\n"
"                    unless --machine or --test is given, only the machines and\n"
"                    programs of its witnesses run\n"
"  --also NAME       a patch that had to be taken out with it (may be repeated)\n"
"  --topic NAME      the witnesses of the patches NAME/... are what is to be shown;\n"
"                    unless --machine is given, only the machines of their rows run\n"
"  --applied FILE    the series has these patches only, the last word of each line:\n"
"                    what others cure may fail as on the base\n"
"  --as-base         what no patch names may fail as on the base (old kernels)\n"
"  --no-um           leave out machines that are User-Mode Linux\n"
"  --machine PAT     only machines whose name matches (may be repeated)\n"
"  --arch ARCH       only machines that are arm64, s390x, x86_64 or um; unless one of\n"
"                    these two options asks for it, none is arm64 or s390x\n"
"  --test PAT        only test programs whose name matches\n"
"  --jobs N          boots side by side (default: twice the number of CPUs)\n"
"  --debug           the kernels have lockdep and KASAN: five times as much time for\n"
"                    each machine, and what only they show counts (cures-debug)\n"
"  --stress N        no other test than vfio_pci_stress_test, N seconds, with all\n"
"                    devices of the machine that vfio-pci or a variant of it has\n"
"  --needs           print what this would boot, the kernels by architecture and the\n"
"                    guest (initrd of x86_64 and um), run nothing\n"
"  --list            print the machines and what they are for, run nothing\n"
"  --verbose         all that is known of every failure\n";

struct options {
	struct conf machines, provenance;
	const char *kunit, *out, *mutant, *test, *arch;
	const char *patterns[32];
	size_t nr_patterns;
	struct expectation expect;
	struct kernel kernels[MAX_COLUMNS];
	size_t nr_kernels;
	unsigned int jobs, timeout_factor, stress;
	bool list, needs, verbose;
};

/* Of a map that tools/kernel.sh has written: COMMIT PATCH */
static void read_applied(struct expectation *expect, const char *path)
{
	FILE *f = fopen(path, "r");
	char name[512];

	if (!f)
		die("cannot read %s: %s", path, strerror(errno));
	expect->applied = xmalloc(sizeof(*expect->applied));
	while (fscanf(f, "%*s %511s", name) == 1) {
		expect->applied = realloc(expect->applied,
					  (expect->nr_applied + 1) * sizeof(*expect->applied));
		if (!expect->applied)
			die("out of memory");
		expect->applied[expect->nr_applied++] = xstrdup(name);
	}
	fclose(f);
}

static void add_kernel(struct options *o, const char *arg)
{
	static const char * const columns[] = { "base", "series", "without", "control" };
	const char *eq = strchr(arg, '=');
	struct kernel *k = &o->kernels[o->nr_kernels];

	if (!eq)
		die("--kernel wants COLUMN=BUILD_DIR, has: %s", arg);
	for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
		if (!strncmp(columns[i], arg, eq - arg) && !columns[i][eq - arg])
			k->column = columns[i];
	if (!k->column || o->nr_kernels == MAX_COLUMNS)
		die("no such column: %s", arg);
	/* QEMU, UML and kunit.py run in other directories */
	k->dir = realpath(eq + 1, NULL);
	if (!k->dir)
		die("no kernel to boot in %s: build it first (tools/build)", eq + 1);
	o->nr_kernels++;
}

static unsigned int number(const char *option, const char *arg, unsigned int most)
{
	char *end;
	long n = strtol(arg, &end, 10);

	if (*end || n < 1 || n > most)
		die("%s wants a number from 1 to %u, has: %s", option, most, arg);
	return n;
}

/* Of machines.conf, some of which only the guest's init reads */
static const char *const machine_keys[] = {
	"about", "like", "arch", "smp", "mem", "iommu", "qemu", "append", "timeout",
	"test-timeout", "suite", "mock", "vfs", "bind", "test", "kexec", NULL
};

/* Of patches/provenance and ci/controls/controls.conf, some of which only scripts read */
static const char *const patch_keys[] = {
	"rfc", "upstream", "stable", "untested", "no-fixes", "witness", "cures", "cures-debug", "may-fail",
	"undo", "without-also", "control", "undoes", NULL
};

static void parse_options(struct options *o, int argc, char *argv[])
{
	static const struct option longopts[] = {
		{ "machines", required_argument, NULL, 'm' },
		{ "provenance", required_argument, NULL, 'p' },
		{ "kunit", required_argument, NULL, 'u' },
		{ "out", required_argument, NULL, 'o' },
		{ "kernel", required_argument, NULL, 'k' },
		{ "mutant", required_argument, NULL, 'w' },
		{ "also", required_argument, NULL, 'A' },
		{ "topic", required_argument, NULL, 'T' },
		{ "applied", required_argument, NULL, 'a' },
		{ "as-base", no_argument, NULL, 'b' },
		{ "no-um", no_argument, NULL, 'U' },
		{ "machine", required_argument, NULL, 'M' },
		{ "arch", required_argument, NULL, 'c' },
		{ "test", required_argument, NULL, 't' },
		{ "jobs", required_argument, NULL, 'j' },
		{ "debug", no_argument, NULL, 'd' },
		{ "stress", required_argument, NULL, 's' },
		{ "needs", no_argument, NULL, 'n' },
		{ "list", no_argument, NULL, 'l' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	const char *kernels[MAX_COLUMNS + 1];
	size_t nr = 0;
	int c;

	/* Tests mostly wait for resets: two machines keep one CPU busy */
	o->jobs = 2 * sysconf(_SC_NPROCESSORS_ONLN);
	o->timeout_factor = 1;
	while ((c = getopt_long(argc, argv, "", longopts, NULL)) != -1) {
		switch (c) {
		case 'm':
			conf_read(&o->machines, optarg);
			conf_check_keys(&o->machines, machine_keys);
			break;
		case 'p':
			conf_read(&o->provenance, optarg);
			conf_check_keys(&o->provenance, patch_keys);
			break;
		case 'u': o->kunit = optarg; break;
		case 'o': o->out = optarg; break;
		case 'k':
			if (nr > MAX_COLUMNS)
				die("too many kernels");
			kernels[nr++] = optarg;
			break;
		case 'w': o->mutant = optarg; break;
		case 'T': o->expect.topic = optarg; break;
		case 'a': read_applied(&o->expect, optarg); break;
		case 'b': o->expect.as_base = true; break;
		case 'U': o->expect.no_um = true; break;
		case 'c': o->arch = optarg; break;
		case 'M':
			if (o->nr_patterns == ARRAY_SIZE(o->patterns))
				die("too many --machine");
			o->patterns[o->nr_patterns++] = optarg;
			break;
		case 'A':
			if (o->expect.nr_also == ARRAY_SIZE(o->expect.also))
				die("too many --also");
			o->expect.also[o->expect.nr_also++] = optarg;
			break;
		case 't':
			if (o->test)
				die("only one --test");
			o->test = optarg;
			break;
		case 'j': o->jobs = number("--jobs", optarg, 1000); break;
		case 'd': o->expect.debug = true; o->timeout_factor = 5; break;
		case 's': o->stress = number("--stress", optarg, 80000); break;
		case 'n': o->needs = true; break;
		case 'l': o->list = true; break;
		case 'v': o->verbose = true; break;
		case 'h': fputs(usage, stdout); exit(0);
		default: fputs(usage, stderr); exit(LAB_ERROR);
		}
	}
	if (o->machines.nr_stanzas && (o->list || (o->needs && o->provenance.path)))
		return;
	if (optind != argc || !o->machines.nr_stanzas || !o->provenance.path ||
	    !o->kunit || !o->out || !nr) {
		fputs(usage, stderr);
		exit(LAB_ERROR);
	}
	if (access(o->kunit, R_OK))
		die("no kunit.py at %s", o->kunit);
	for (size_t i = 0; i < nr; i++)
		add_kernel(o, kernels[i]);
	/* What the kernel does not know becomes the environment of the guest's init */
	for (size_t i = 0; o->stress && i < o->nr_kernels; i++)
		o->kernels[i].append = xasprintf("VFIO_SELFTESTS_STRESS_SECONDS=%u", o->stress);
}

static const struct stanza *find_patch(const struct options *o)
{
	if (!o->mutant)
		return NULL;
	for (size_t i = 0; i < o->provenance.nr_stanzas; i++)
		if (!strcmp(o->provenance.stanzas[i].name, o->mutant))
			return &o->provenance.stanzas[i];
	die("%s knows no patch %s", o->provenance.path, o->mutant);
}

/*
 * Does a witness of the patch, MACHINE/PROGRAM/TEST, speak of this machine and,
 * unless NULL, of this program?  With @cures, also what it has a part in.
 */
static bool has_witness_on(const struct stanza *patch, const char *machine,
			   const char *program, bool cures)
{
	for (size_t i = 0; i < patch->nr_lines; i++) {
		char *pattern, *prog, *end;
		bool match;

		if (strcmp(patch->lines[i].key, "witness") &&
		    (!cures || strcmp(patch->lines[i].key, "cures")))
			continue;
		pattern = xstrdup(patch->lines[i].value);
		prog = strchr(pattern, '/');
		if (!prog)
			die("witness of %s is not MACHINE/PROGRAM/TEST: %s", patch->name, pattern);
		*prog++ = 0;
		end = strchr(prog, '/');
		if (end)
			*end = 0;
		match = !fnmatch(pattern, machine, 0) &&
			(!program || !fnmatch(prog, program, 0));
		free(pattern);
		if (match)
			return true;
	}
	return false;
}

static bool machine_wanted(const struct options *o, const struct stanza *machine,
			   const struct stanza *patch)
{
	const char *like = stanza_get(machine, "like", machine->name);

	if (o->expect.no_um && machine_is_um(machine))
		return false;
	if (o->arch ? strcmp(o->arch, machine_arch(machine)) :
		      machine_is_cross(machine) && !o->nr_patterns)
		return false;
	if (!o->nr_patterns && patch)
		return has_witness_on(patch, like, NULL, false);
	if (!o->nr_patterns) {
		for (size_t i = 0; o->expect.topic && i < o->provenance.nr_stanzas; i++)
			if (patch_is_of_topic(&o->provenance.stanzas[i], o->expect.topic) &&
			    has_witness_on(&o->provenance.stanzas[i], like, NULL, true))
				return true;
		return !o->expect.topic;
	}
	for (size_t i = 0; i < o->nr_patterns; i++)
		if (!fnmatch(o->patterns[i], machine->name, 0))
			return true;
	return false;
}

/* Was the program or suite asked for or, of a mutant, can it tell? */
static bool program_wanted(const char *program, const struct stanza *machine,
			   const char *pattern, const struct stanza *patch)
{
	if (pattern || !patch)
		return !pattern || !fnmatch(pattern, program, 0);
	return has_witness_on(patch, stanza_get(machine, "like", machine->name), program, false);
}

/* Leave only the tests that are wanted; false: none is left */
static bool machine_filter_tests(struct stanza *machine, const char *pattern,
				 const struct stanza *patch)
{
	char *text = xasprintf("[%s]\n", machine->name);
	bool any = false;

	for (size_t i = 0; i < machine->nr_lines; i++) {
		const struct conf_line *l = &machine->lines[i];
		char *longer;

		if (!strcmp(l->key, "test")) {
			char *prog = xstrdup(l->value);
			bool match;

			prog[strcspn(prog, " \t")] = 0;
			match = program_wanted(prog, machine, pattern, patch);
			free(prog);
			if (!match)
				continue;
			any = true;
		}
		longer = xasprintf("%s%s = %s\n", text, l->key, l->value);
		free(text);
		text = longer;
	}
	free(machine->text);
	machine->text = text;
	return any;
}

/* The stress test instead of all others; false: there is no device for it */
static bool machine_stress(struct stanza *machine)
{
	char *test = xstrdup("test = vfio_pci_stress_test"), *text;
	bool any = false;

	text = xasprintf("[%s]\n", machine->name);
	for (size_t i = 0; i < machine->nr_lines; i++) {
		const struct conf_line *l = &machine->lines[i];
		char device[64], driver[64], *longer;

		if (!strcmp(l->key, "test") || !strcmp(l->key, "kexec"))
			continue;
		if (!strcmp(l->key, "bind") &&
		    sscanf(l->value, "%63s %63s", device, driver) == 2 &&
		    (strstr(driver, "vfio-pci") || strstr(driver, "vfio_pci"))) {
			longer = xasprintf("%s @%s", test, device);
			free(test);
			test = longer;
			any = true;
		}
		longer = xasprintf("%s%s = %s\n", text, l->key, l->value);
		free(text);
		text = longer;
	}
	free(machine->text);
	machine->text = xasprintf("%s%s\n", text, test);
	free(text);
	free(test);
	return any;
}

static bool readable(char *path)
{
	bool is = !access(path, R_OK);

	free(path);
	return is;
}

static bool kernel_has(const struct kernel *kernel, const char *name)
{
	return readable(xasprintf("%s/%s", kernel->dir, name));
}

/* Why there is no User-Mode Linux of this column, in a line; NULL: there is */
static const char *kernel_error(const struct kernel *kernel)
{
	static char reason[sizeof(boots->reason)];
	char *path;
	FILE *f;

	if (!kernel_has(kernel, "linux.error"))
		return NULL;
	path = xasprintf("%s/linux.error", kernel->dir);
	f = fopen(path, "r");
	if (!f || !fgets(reason, sizeof(reason), f))
		strcpy(reason, "it does not build");
	reason[strcspn(reason, "\r\n")] = 0;
	if (f)
		fclose(f);
	free(path);
	return reason;
}

/* One boot of the machine, or of one suite on it, with each kernel */
static void add_boots(const struct options *o, const struct stanza *machine, const char *suite)
{
	const char *lack = machine_is_um(machine) ? NULL : machine_lacks_device(machine);

	for (size_t k = 0; k < o->nr_kernels; k++) {
		const struct kernel *kernel = &o->kernels[k];
		const char *error = NULL;
		struct boot *b;

		boots = realloc(boots, (nr_boots + 1) * sizeof(*boots));
		if (!boots)
			die("out of memory");
		b = &boots[nr_boots++];
		memset(b, 0, sizeof(*b));
		b->machine = machine;
		b->suite = suite;
		b->id = suite ? xasprintf("%s/%s", machine->name, suite) : xstrdup(machine->name);
		b->kernel = kernel;
		b->column = k;
		if (machine_is_um(machine))
			error = kernel_error(kernel);
		if (error) {
			b->verdict = V_ERROR;
			snprintf(b->reason, sizeof(b->reason), "%s", error);
		} else if (!(machine_is_um(machine) ? kernel_has(kernel, "linux") :
			     readable(kernel_file(machine, kernel, "vmlinux"))) ||
			   (!suite && !readable(kernel_file(machine, kernel, "initrd")))) {
			die("no kernel for %s in %s: build it first (tools/build)", b->id,
			    kernel->dir);
		} else if (lack) {
			b->verdict = V_SKIP;
			snprintf(b->reason, sizeof(b->reason), "this QEMU has no device %s", lack);
		}
	}
}

static void plan_boots(struct options *o)
{
	const struct stanza *patch = find_patch(o);
	/* If a mutant's machines are named, all that they have runs */
	const struct stanza *filter = o->nr_patterns ? NULL : patch;
	const char *archs[8];
	size_t nr_archs = 0;
	bool guest = false;

	for (size_t i = 0; i < o->machines.nr_stanzas; i++) {
		struct stanza *machine = &o->machines.stanzas[i];
		bool wanted = false;
		size_t a = 0;

		if (!machine_wanted(o, machine, patch))
			continue;
		for (size_t k = 0; k < machine->nr_lines; k++) {
			const struct conf_line *l = &machine->lines[k];

			if (o->stress || strcmp(l->key, "suite") ||
			    !program_wanted(l->value, machine, o->test, filter))
				continue;
			wanted = true;
			add_boots(o, machine, l->value);
		}
		if (o->stress ? machine_stress(machine) :
				machine_filter_tests(machine, o->test, filter)) {
			wanted = true;
			guest |= !machine_is_cross(machine);
			add_boots(o, machine, NULL);
		}
		while (a < nr_archs && strcmp(archs[a], machine_arch(machine)))
			a++;
		if (wanted && a == nr_archs)
			archs[nr_archs++] = machine_arch(machine);
	}
	if (!nr_archs)
		die("no machine that matches --machine or --arch has a test that matches --test: see --list");
	for (size_t a = 0; o->needs && a < nr_archs; a++)
		printf("%s\n", archs[a]);
	if (o->needs && guest)
		printf("guest\n");
}

static void run_boots(const struct options *o, struct results *results)
{
	size_t next = 0, running = 0, done = 0;

	while (done < nr_boots) {
		while (running < o->jobs && next < nr_boots) {
			struct boot *b = &boots[next++];

			if (b->verdict != V_NONE) {
				done++;
				continue;
			}
			boot_start(b, o->out, o->timeout_factor, o->stress);
			running++;
		}
		for (size_t i = 0; i < next; i++) {
			struct boot *b = &boots[i];

			if (!b->pid || !boot_poll(b))
				continue;
			/* With one thread for each CPU, an assertion of its own fails rarely */
			if (b->crashed && machine_is_cross(b->machine) && !b->again) {
				printf("        %-8s %-16s once more: %s\n", b->kernel->column,
				       b->id, b->reason);
				b->again = true;
				boot_start(b, o->out, o->timeout_factor, o->stress);
				continue;
			}
			running--;
			done++;
			results_collect(results, b, o->kunit);
			printf("[%2zu/%zu] %-8s %-16s %5.1f s  %s%s%s\n", done, nr_boots,
			       b->kernel->column, b->id, b->took,
			       b->verdict == V_PASS ? "ran" : verdict_name(b->verdict),
			       b->reason[0] ? ": " : "", b->reason);
			fflush(stdout);
		}
		if (interrupted)
			die("interrupted by signal %d; nothing runs any more", (int)interrupted);
		usleep(20000);
	}
}

static void list_machines(const struct conf *machines)
{
	for (size_t i = 0; i < machines->nr_stanzas; i++)
		printf("%-16s %s\n", machines->stanzas[i].name,
		       stanza_get(&machines->stanzas[i], "about", ""));
}

int main(int argc, char *argv[])
{
	struct options o = { 0 };
	struct results results = { 0 };
	char *out;

	parse_options(&o, argc, argv);
	if (o.list) {
		list_machines(&o.machines);
		return 0;
	}
	if (o.needs) {
		plan_boots(&o);
		return 0;
	}
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	signal(SIGHUP, on_signal);
	/* Nothing runs on for a tools/prove that was killed */
	prctl(PR_SET_PDEATHSIG, SIGTERM);

	if (mkdir(o.out, 0755) && errno != EEXIST)
		die("cannot make %s: %s", o.out, strerror(errno));
	out = realpath(o.out, NULL);
	if (!out)
		die("%s: %s", o.out, strerror(errno));
	o.out = out;
	o.kunit = realpath(o.kunit, NULL);

	plan_boots(&o);
	run_boots(&o, &results);
	for (size_t i = 0; i < nr_boots; i++)
		if (!boots[i].dir)
			results_skip(&results, &boots[i]);
	results_complete(&results, boots, nr_boots);
	results_sort(&results, &o.machines);
	results_liken(&results, &o.machines);

	o.expect.machines = &o.machines;
	o.expect.provenance = &o.provenance;
	o.expect.mutant = o.mutant;
	o.expect.partial = o.nr_patterns || o.test || o.stress || o.arch;
	return table_print(&results, o.kernels, o.nr_kernels, &o.expect, o.out, o.verbose) ?
		LAB_AS_EXPECTED : LAB_UNEXPECTED;
}
