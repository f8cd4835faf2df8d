/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The lab: boots every machine with every kernel and compares verdicts.
 *
 *	conf.c		reads machines.conf and patches/provenance
 *	boot.c		one machine, one kernel: runs QEMU or UML, watches it end
 *	results.c	turns what a guest said into rows
 *	table.c		what each row should be, the table, the JSON
 *	main.c		options, and the boots side by side
 */
#ifndef LAB_H
#define LAB_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof(*(a)))

/* Exit codes of the lab */
#define LAB_AS_EXPECTED	0
#define LAB_UNEXPECTED	1
#define LAB_ERROR	2

/* ---- conf.c: [NAME] followed by key = value lines ----------------------- */

struct conf_line {
	char *key;
	char *value;
};

struct stanza {
	char *name;
	char *text;		/* as in the file, for the guest */
	struct conf_line *lines;
	size_t nr_lines;
};

struct conf {
	const char *path;
	struct stanza *stanzas;
	size_t nr_stanzas;
};

void conf_read(struct conf *conf, const char *path);
void conf_check_keys(const struct conf *conf, const char *const *keys);
const char *stanza_get(const struct stanza *stanza, const char *key, const char *dflt);
long stanza_get_int(const struct stanza *stanza, const char *key, long dflt);

/* ---- boot.c -------------------------------------------------------------- */

enum verdict {
	V_NONE,		/* the row does not exist in this column */
	V_PASS,
	V_FAIL,
	V_SKIP,
	V_HANG,		/* no end in time */
	V_PANIC,	/* the kernel gave up */
	V_ERROR,	/* neither kernel nor test: QEMU, the guest's set-up, garbage */
	V_MISSING,	/* announced or known from another column, but never ran */
};

const char *verdict_name(enum verdict v);

struct kernel {
	const char *column;	/* "base", "series", "without", "control" */
	/*
	 * vmlinux and initrd for QEMU, vmlinux-ARCH and initrd-ARCH if it is not x86_64;
	 * linux, or linux.error
	 */
	const char *dir;
	const char *append;	/* more kernel command line, or NULL */
};

struct boot {
	const struct stanza *machine;
	const char *suite;	/* of KUnit: runs in a kernel of its own; or NULL */
	char *id;		/* MACHINE or MACHINE/SUITE: how its rows begin */
	const struct kernel *kernel;
	size_t column;		/* index of the kernel */
	char *dir;		/* console.log, ktap.log, qemu.log, junit.xml */
	pid_t pid;		/* of QEMU or UML, 0: not running */
	double started, deadline, took;
	bool crashed, again;	/* QEMU itself; so it was started once more */
	enum verdict verdict;	/* of the boot as a whole */
	char reason[256];
};

/* User-Mode Linux, a process of the host, instead of a machine in QEMU */
bool machine_is_um(const struct stanza *machine);
/* Neither x86_64 nor User-Mode Linux: has another compiler, and must be asked for */
bool machine_is_cross(const struct stanza *machine);
const char *machine_arch(const struct stanza *machine);
/* The file of a build directory, "vmlinux" or "initrd", that the machine boots */
char *kernel_file(const struct stanza *machine, const struct kernel *kernel, const char *name);
/* NULL: this QEMU has all devices of the machine; else the one it lacks */
const char *machine_lacks_device(const struct stanza *machine);
/* @seconds: more than the machine has in its stanza */
void boot_start(struct boot *boot, const char *out, unsigned int timeout_factor,
		unsigned int seconds);
/* true: it has ended, and boot->verdict says how */
bool boot_poll(struct boot *boot);
void boot_kill(struct boot *boot);

/* ---- results.c ----------------------------------------------------------- */

#define MAX_COLUMNS 4

struct cell {
	enum verdict verdict;
	char *reason;
};

struct row {
	char *id;		/* MACHINE/PROGRAM/TEST */
	char *like;		/* the same of the machine it is like, or the same */
	struct cell cell[MAX_COLUMNS];
	size_t order;		/* in which the rows came */
};

struct results {
	struct row *rows;
	size_t nr_rows;
};

void results_collect(struct results *results, const struct boot *boot, const char *kunit);
void results_skip(struct results *results, const struct boot *boot);
void results_sort(struct results *results, const struct conf *machines);
/* Whose rows the rows of a machine are like */
void results_liken(struct results *results, const struct conf *machines);
/* Rows that one column has and another lacks become HANG, PANIC or MISSING */
void results_complete(struct results *results, const struct boot *boots, size_t nr_boots);

/* ---- table.c ------------------------------------------------------------- */

struct expectation {
	const struct conf *machines;
	const struct conf *provenance;	/* witnesses of the patches */
	const char *topic;		/* the patches that this is about, or NULL: all */
	char **applied;			/* what "series" has, of it; NULL: all */
	size_t nr_applied;
	bool as_base;			/* what no patch names may fail as on the base */
	bool no_um;			/* machines that are User-Mode Linux are left out */
	const char *mutant;		/* patch taken out, or control applied */
	const char *also[16];		/* patches that had to go with it */
	size_t nr_also;
	bool debug;			/* kernels with lockdep and KASAN */
	bool partial;			/* only some machines or tests were asked for */
};

/* Is it TOPIC/0001-....patch? */
bool patch_is_of_topic(const struct stanza *patch, const char *topic);

/* Every row as it should be?  Prints the table, writes DIR/results.json */
bool table_print(const struct results *results, const struct kernel *kernels,
		 size_t nr_kernels, const struct expectation *expect, const char *out,
		 bool verbose);

/* ---- main.c -------------------------------------------------------------- */

__attribute__((noreturn, format(printf, 1, 2)))
void die(const char *fmt, ...);
void *xmalloc(size_t size);
char *xstrdup(const char *s);
__attribute__((format(printf, 1, 2)))
char *xasprintf(const char *fmt, ...);
double monotonic(void);

#endif
