// SPDX-License-Identifier: GPL-2.0-only
/*
 * Count the accesses of a reset in QEMU's traces, as a table and as a plot.
 *
 * usage: count [--kunit LOG] RESULTS COLUMN... -- MACHINE...
 *
 * RESULTS/MACHINE/COLUMN is the directory of a boot, as the lab leaves it:
 * qemu.log has the trace, which reset.c had on for the time of the reset alone,
 * ktap.log has what reset.c says about the device.  LOG is raw output of KUnit,
 * with lines of the software PCI hierarchy.
 *
 * Writes RESULTS/bench.md and RESULTS/bench.svg, and the table to stdout too.
 * Exit code: 0, or 2 if a trace is missing or is not that of a reset.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_COLUMNS	4
#define MAX_ROWS	32

struct counts {
	bool valid;
	unsigned long cfg_reads, cfg_writes;		/* of the device */
	unsigned long bridge_reads, bridge_writes;	/* config, of other functions */
	unsigned long mem_reads, mem_writes;		/* of the MSI-X Table */
};

struct row {
	char name[64];
	unsigned long vectors;
	struct counts counts[MAX_COLUMNS];
};

static const char *columns[MAX_COLUMNS];
static int nr_columns;
static struct row rows[MAX_ROWS];
static int nr_rows;

__attribute__((noreturn, format(printf, 1, 2)))
static void die(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "bench: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\n");
	exit(2);
}

__attribute__((format(printf, 1, 2)))
static FILE *open_file(const char *fmt, ...)
{
	char path[4096];
	va_list ap;
	FILE *f;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	f = fopen(path, "r");
	if (!f)
		die("cannot read %s: %s", path, strerror(errno));
	return f;
}

/* What reset.c says: the device, and how many vectors it has enabled */
static void read_ktap(const char *dir, char *bdf, size_t len, unsigned long *vectors)
{
	FILE *f = open_file("%s/ktap.log", dir);
	bool passed = false;
	char line[1024];

	bdf[0] = 0;
	*vectors = 0;
	while (fgets(line, sizeof(line), f)) {
		char *bench = strstr(line, "# bench: "), dev[32];

		passed |= !!strstr(line, "ok 1 reset") && !strstr(line, "not ok");
		if (!bench)
			continue;
		sscanf(bench, "# bench: vectors %lu", vectors);
		/* QEMU knows no domains: 0000:01:00.0 is 01:00.0 to it */
		if (sscanf(bench, "# bench: device %*x:%31s", dev) == 1)
			snprintf(bdf, len, "%s", dev);
	}
	fclose(f);
	if (!passed || !bdf[0] || !*vectors)
		die("no reset in %s: see ktap.log and console.log there", dir);
}

static void count_trace(const char *dir, const char *bdf, struct counts *c)
{
	FILE *f = open_file("%s/qemu.log", dir);
	char line[1024], where[32];

	while (fgets(line, sizeof(line), f)) {
		char *event;

		event = strstr(line, "pci_cfg_");
		if (event) {
			bool write = !strncmp(event, "pci_cfg_write ", 14);

			if (sscanf(event, "%*s %*s %31s", where) != 1)
				continue;
			if (!strcmp(where, bdf))
				++*(write ? &c->cfg_writes : &c->cfg_reads);
			else
				++*(write ? &c->bridge_writes : &c->bridge_reads);
			continue;
		}

		event = strstr(line, "memory_region_ops_");
		if (event && strstr(event, "name 'msix-table'"))
			++*(strncmp(event, "memory_region_ops_write", 23) ?
			    &c->mem_reads : &c->mem_writes);
	}
	fclose(f);
}

static void add_machine(const char *results, const char *machine)
{
	struct row *row = &rows[nr_rows++];

	if (nr_rows == MAX_ROWS)
		die("more than %d machines", MAX_ROWS - 1);
	snprintf(row->name, sizeof(row->name), "%s", machine);
	for (int i = 0; i < nr_columns; i++) {
		struct counts *c = &row->counts[i];
		char dir[3072], bdf[32];
		unsigned long vectors;

		snprintf(dir, sizeof(dir), "%s/%s/%s", results, machine, columns[i]);
		read_ktap(dir, bdf, sizeof(bdf), &vectors);
		count_trace(dir, bdf, c);
		if (row->vectors && row->vectors != vectors)
			die("%s: %lu vectors in one column, %lu in another", machine,
			    row->vectors, vectors);
		row->vectors = vectors;
		/* Whatever else a kernel does: each entry has four dwords */
		if (!c->cfg_reads || !c->cfg_writes || c->mem_writes < 2 * vectors)
			die("%s/qemu.log is not the trace of a reset: %lu + %lu config accesses, %lu table writes for %lu vectors",
			    dir, c->cfg_reads, c->cfg_writes, c->mem_writes, vectors);
		c->valid = true;
	}
}

/*
 * "... bench: NAME vectors V config R W memory R W", for the last column: the
 * base has no software PCI hierarchy.  It is pci_reset_function() that is counted.
 */
static void add_kunit(const char *log)
{
	FILE *f = open_file("%s", log);
	char line[1024];
	int before = nr_rows;

	while (fgets(line, sizeof(line), f)) {
		char *bench = strstr(line, " bench: ");
		struct row *row = &rows[nr_rows];
		struct counts *c = &row->counts[nr_columns - 1];

		if (!bench || nr_rows == MAX_ROWS)
			continue;
		if (sscanf(bench, " bench: %40s vectors %lu config %lu %lu memory %lu %lu",
			   row->name, &row->vectors, &c->cfg_reads, &c->cfg_writes,
			   &c->mem_reads, &c->mem_writes) != 6)
			continue;
		c->valid = true;
		strcat(row->name, " (KUnit)");
		nr_rows++;
	}
	fclose(f);
	if (nr_rows == before)
		die("%s has no line of the benchmark", log);
}

/* ---- Table ----------------------------------------------------------------- */

static void cell(FILE *f, const struct counts *c, unsigned long reads, unsigned long writes)
{
	if (c->valid)
		fprintf(f, " %lu / %lu |", reads, writes);
	else
		fprintf(f, " - |");
}

/* Columns of bridges are there only if one of them is accessed */
static bool any(int kind)
{
	for (int r = 0; r < nr_rows; r++)
		for (int i = 0; i < nr_columns; i++)
			if (kind != 1 || rows[r].counts[i].bridge_reads ||
			    rows[r].counts[i].bridge_writes)
				return true;
	return false;
}

static void print_table(FILE *f)
{
	static const char * const kinds[] = {
		"config reads / writes", "of bridges", "MSI-X Table reads / writes",
	};

	fprintf(f, "Accesses of one VFIO_DEVICE_RESET, all MSI-X vectors enabled:\n\n");
	fprintf(f, "| device | vectors |");
	for (int k = 0; k < 3; k++)
		for (int i = 0; any(k) && i < nr_columns; i++)
			fprintf(f, " %s, %s |", kinds[k], columns[i]);
	fprintf(f, "\n|---|--:|");
	for (int k = 0; k < 3; k++)
		for (int i = 0; any(k) && i < nr_columns; i++)
			fprintf(f, "--:|");
	fprintf(f, "\n");
	for (int r = 0; r < nr_rows; r++) {
		const struct counts *c = rows[r].counts;

		fprintf(f, "| %s | %lu |", rows[r].name, rows[r].vectors);
		for (int i = 0; i < nr_columns; i++)
			cell(f, &c[i], c[i].cfg_reads, c[i].cfg_writes);
		for (int i = 0; any(1) && i < nr_columns; i++)
			cell(f, &c[i], c[i].bridge_reads, c[i].bridge_writes);
		for (int i = 0; i < nr_columns; i++)
			cell(f, &c[i], c[i].mem_reads, c[i].mem_writes);
		fprintf(f, "\n");
	}
}

/* ---- Plot ------------------------------------------------------------------ */

#define PLOT_LEFT	150
#define PLOT_WIDTH	420
#define PLOT_RIGHT	130
#define BAR		16
#define GROUP_GAP	34

/* Two bars in one: reads, dark, and writes.  Each group has a scale of its own. */
static int plot_group(FILE *f, int y, const struct row *row, bool mem)
{
	unsigned long max = 1;

	for (int i = 0; i < nr_columns; i++) {
		const struct counts *c = &row->counts[i];
		unsigned long sum = mem ? c->mem_reads + c->mem_writes :
					  c->cfg_reads + c->cfg_writes;

		if (sum > max)
			max = sum;
	}

	fprintf(f, "<text x=\"8\" y=\"%d\" font-weight=\"bold\">%s, %lu vectors: %s</text>\n", y,
		row->name, row->vectors, mem ? "accesses to the MSI-X Table" : "config accesses");
	y += 6;
	for (int i = 0; i < nr_columns; i++) {
		const struct counts *c = &row->counts[i];
		unsigned long reads = mem ? c->mem_reads : c->cfg_reads;
		unsigned long writes = mem ? c->mem_writes : c->cfg_writes;
		double r = (double)reads * PLOT_WIDTH / max, w = (double)writes * PLOT_WIDTH / max;

		if (!c->valid)
			continue;
		fprintf(f, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n",
			PLOT_LEFT - 8, y + BAR - 4, columns[i]);
		fprintf(f, "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"#1f4e79\"/>\n",
			PLOT_LEFT, y, r, BAR - 2);
		fprintf(f, "<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"#8fb8de\"/>\n",
			PLOT_LEFT + r, y, w, BAR - 2);
		fprintf(f, "<text x=\"%.1f\" y=\"%d\">%lu + %lu</text>\n",
			PLOT_LEFT + r + w + 6, y + BAR - 4, reads, writes);
		y += BAR;
	}
	return y + GROUP_GAP - BAR;
}

static void print_plot(FILE *f)
{
	int height = 44 + nr_rows * 2 * (nr_columns * BAR + 6 + GROUP_GAP - BAR) + 8, y = 58;

	fprintf(f, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" font-size=\"12\">\n",
		PLOT_LEFT + PLOT_WIDTH + PLOT_RIGHT, height);
	fprintf(f, "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n");
	fprintf(f, "<text x=\"8\" y=\"18\" font-size=\"14\" font-weight=\"bold\">Accesses of one VFIO_DEVICE_RESET</text>\n");
	fprintf(f, "<text x=\"8\" y=\"35\">dark: reads, each a round trip; light: writes; every pair of bars has its own scale</text>\n");
	for (int r = 0; r < nr_rows; r++) {
		y = plot_group(f, y, &rows[r], false);
		y = plot_group(f, y, &rows[r], true);
	}
	fprintf(f, "</svg>\n");
}

static void write_file(const char *dir, const char *name, void (*print)(FILE *f))
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	if (!f)
		die("cannot write %s: %s", path, strerror(errno));
	print(f);
	if (fclose(f))
		die("cannot write %s: %s", path, strerror(errno));
}

int main(int argc, char *argv[])
{
	const char *kunit = NULL, *results;
	int i = 1;

	if (i + 1 < argc && !strcmp(argv[i], "--kunit")) {
		kunit = argv[i + 1];
		i += 2;
	}
	if (i >= argc)
		die("usage: %s [--kunit LOG] RESULTS COLUMN... -- MACHINE...", argv[0]);
	results = argv[i++];
	for (; i < argc && strcmp(argv[i], "--"); i++) {
		if (nr_columns == MAX_COLUMNS)
			die("more than %d columns", MAX_COLUMNS);
		columns[nr_columns++] = argv[i];
	}
	if (!nr_columns || ++i >= argc)
		die("no columns, or no machines");
	for (; i < argc; i++)
		add_machine(results, argv[i]);
	if (kunit)
		add_kunit(kunit);

	print_table(stdout);
	write_file(results, "bench.md", print_table);
	write_file(results, "bench.svg", print_plot);
	return 0;
}
