// SPDX-License-Identifier: GPL-2.0-only
/*
 * From what a guest said to rows.  KTAP is read by the kernel's own parser,
 * kunit.py, whose JUnit output keeps the reasons.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <sys/wait.h>

#include "lab.h"

const char *verdict_name(enum verdict v)
{
	static const char * const names[] = {
		[V_NONE] = "-", [V_PASS] = "PASS", [V_FAIL] = "FAIL", [V_SKIP] = "SKIP",
		[V_HANG] = "HANG", [V_PANIC] = "PANIC", [V_ERROR] = "ERROR",
		[V_MISSING] = "MISSING",
	};

	return names[v];
}

static struct row *find_row(struct results *r, const char *id)
{
	for (size_t i = 0; i < r->nr_rows; i++)
		if (!strcmp(r->rows[i].id, id))
			return &r->rows[i];
	return NULL;
}

static void set_cell(struct results *r, size_t column, const char *id,
		     enum verdict v, const char *reason)
{
	struct row *row = find_row(r, id);

	if (!row) {
		r->rows = realloc(r->rows, (r->nr_rows + 1) * sizeof(*r->rows));
		if (!r->rows)
			die("out of memory");
		row = &r->rows[r->nr_rows++];
		memset(row, 0, sizeof(*row));
		row->id = xstrdup(id);
	}
	if (row->cell[column].verdict != V_NONE) {
		/* Two tests of one name cannot be told apart: never a pass */
		v = V_ERROR;
		reason = "two tests have this name";
	}
	free(row->cell[column].reason);
	row->cell[column].verdict = v;
	row->cell[column].reason = xstrdup(reason ? reason : "");
}

/* The lines of a failed case that say why: the harness's own, not the noise */
static char *failure_reason(const char *log)
{
	char *copy = xstrdup(log), *save, *reason = xstrdup("");
	int nr = 0;

	for (char *l = strtok_r(copy, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		char *longer;

		while (*l == '#' || *l == ' ')
			l++;
		if (!*l || !strncmp(l, "RUN ", 4) || !strncmp(l, "OK ", 3) ||
		    !strncmp(l, "FAIL ", 5) || !strncmp(l, "Starting ", 9) || nr == 12)
			continue;
		longer = xasprintf("%s%s%s", reason, nr++ ? "\n" : "", l);
		free(reason);
		reason = longer;
	}
	free(copy);
	return reason;
}

/*
 * Of a KUnit case that failed: its expectations, what they found, and its own
 * remarks.  All else is the kernel's, of which there is a lot.
 */
static char *kunit_reason(const char *log)
{
	char *copy = xstrdup(log), *save, *reason = xstrdup("");
	int nr = 0, more = 0;

	for (char *l = strtok_r(copy, "\n", &save); l && nr < 12; l = strtok_r(NULL, "\n", &save)) {
		char *text = l + strspn(l, " \t"), *at, *longer;

		if (!strncmp(text, "# ", 2)) {
			/* # CASE: EXPECTATION FAILED at FILE:LINE */
			text = strstr(text, ": ") ? strstr(text, ": ") + 2 : text + 2;
			at = strstr(text, " FAILED at ");
			more = at ? 2 : 0;
			if (at && strrchr(at, '/'))
				text = strrchr(at, '/') + 1;
		} else if (more && (text > l || !strncmp(l, "Expected ", 9))) {
			;
		} else if (more) {
			/* The message of the expectation, where it has one */
			more = 0;
		} else
			continue;
		longer = xasprintf("%s%s%s", reason, nr++ ? "\n" : "", text);
		free(reason);
		reason = longer;
	}
	free(copy);
	return nr ? reason : (free(reason), failure_reason(log));
}

static char *child_text(xmlNode *node, const char *name)
{
	for (xmlNode *c = node->children; c; c = c->next)
		if (c->type == XML_ELEMENT_NODE && !strcmp((char *)c->name, name)) {
			xmlChar *text = xmlNodeGetContent(c);
			char *copy = xstrdup(text ? (char *)text : "");

			xmlFree(text);
			return copy;
		}
	return NULL;
}

static char *node_name(xmlNode *node)
{
	xmlChar *attr = node->type == XML_ELEMENT_NODE ? xmlGetProp(node, BAD_CAST "name") : NULL;
	char *name = attr ? xstrdup((char *)attr) : NULL;

	xmlFree(attr);
	return name;
}

/* How a test case ended; *reason is to be freed */
static enum verdict case_verdict(const struct boot *boot, xmlNode *node, char **reason)
{
	char *skipped = child_text(node, "skipped");
	char *failed = child_text(node, "failure");
	char *error = child_text(node, "error");
	char *log = child_text(node, "system-out");
	enum verdict v = V_PASS;

	*reason = NULL;
	if (skipped) {
		v = V_SKIP;
		*reason = xstrdup(skipped);
	} else if (failed || error) {
		*reason = boot->suite ? kunit_reason(log ? log : "") : failure_reason(log ? log : "");
		/* The guest's word for a test that it had to kill */
		v = strstr(*reason, "HANG: ") ? V_HANG : V_FAIL;
	}
	free(skipped);
	free(failed);
	free(error);
	free(log);
	return v;
}

/* A KUnit case with parameters is one row: it fails if it does with any */
static void fold(struct results *r, const struct boot *boot, xmlNode *node, const char *id)
{
	size_t nr = 0, bad = 0, skipped = 0;
	char *first = NULL, *skip = NULL, *text = NULL;

	for (xmlNode *c = node->children; c; c = c->next) {
		char *name = node_name(c), *reason;
		enum verdict v;

		if (!name)
			continue;
		nr++;
		v = case_verdict(boot, c, &reason);
		if (v == V_SKIP) {
			skipped++;
			if (!skip)
				skip = xstrdup(reason);
		} else if (v != V_PASS) {
			if (!bad++)
				first = xasprintf("%s: %s", name, reason);
		}
		free(reason);
		free(name);
	}
	if (bad)
		text = xasprintf("fails with %zu of %zu parameters; with %s", bad, nr, first);
	set_cell(r, boot->column, id, bad ? V_FAIL : skipped == nr ? V_SKIP : V_PASS,
		 bad ? text : skipped == nr ? skip : NULL);
	free(first);
	free(skip);
	free(text);
}

static size_t walk(struct results *r, const struct boot *boot, xmlNode *node, const char *id,
		   unsigned int depth)
{
	size_t nr = 0;

	for (xmlNode *c = node->children; c; c = c->next) {
		char *name = node_name(c), *sub, *reason;

		if (!name)
			continue;
		/* Only there to complete a plan: see settle_plan() in the guest */
		if (!strncmp(name, "not-run-", 8)) {
			free(name);
			continue;
		}
		sub = xasprintf("%s/%s", id, name);
		if (!strcmp((char *)c->name, "testsuite") && boot->suite && depth) {
			fold(r, boot, c, sub);
			nr++;
		} else if (!strcmp((char *)c->name, "testsuite")) {
			nr += walk(r, boot, c, sub, depth + 1);
		} else if (!strcmp((char *)c->name, "testcase")) {
			enum verdict v = case_verdict(boot, c, &reason);

			set_cell(r, boot->column, sub, v, reason);
			free(reason);
			nr++;
		}
		free(sub);
		free(name);
	}
	return nr;
}

/* What the whole of it says of itself: @count is "errors" or "failures" */
static long suite_count(xmlNode *root, const char *count)
{
	xmlChar *attr = xmlGetProp(root, BAD_CAST count);
	long n = attr ? strtol((char *)attr, NULL, 10) : -1;

	xmlFree(attr);
	return n;
}

static long failed_cases(xmlNode *node)
{
	long nr = 0;

	for (xmlNode *c = node->children; c; c = c->next) {
		char *failed = child_text(c, "failure");

		nr += failed ? 1 : failed_cases(c);
		free(failed);
	}
	return nr;
}

static int run_kunit(const char *kunit, const char *dir, const char *ktap)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (!pid) {
		int fd;

		if (chdir(dir))
			_exit(126);
		fd = open("parse.log", O_WRONLY | O_CREAT | O_TRUNC, 0644);
		if (fd < 0)
			_exit(126);
		dup2(fd, 1);
		dup2(fd, 2);
		setenv("PYTHONDONTWRITEBYTECODE", "1", 1);
		/* Absolute paths: kunit.py changes to the top of its kernel tree */
		execlp("python3", "python3", kunit, "parse",
		       xasprintf("--junit=%s/junit.xml", dir),
		       xasprintf("%s/%s", dir, ktap), (char *)NULL);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

/*
 * What no test asserts and every test wants: a kernel without complaints.
 * Looked for at the start of a message, that is after the time stamp, which
 * User-Mode Linux does not have.
 */
static char *kernel_complaint(const char *dir, bool stamped)
{
	static const char * const marks[] = {
		"WARNING: ", "BUG: ", "watchdog: BUG: ", "Oops", "INFO: task ", "rcu: INFO: ",
		"UBSAN:", "general protection fault", "kernel BUG at",
		"=============================", "INFO: trying to register non-static key",
		"turning off the locking correctness validator",
		"refcount_t:", "unreferenced object", "DEBUG_LOCKS_WARN_ON",
		/* A device writes or reads where it may not */
		"DMAR: DRHD: handling fault status", "AMD-Vi: Event logged",
	};
	char *path = xasprintf("%s/console.log", dir), *line = NULL, *found = NULL;
	FILE *f = fopen(path, "r");
	size_t len = 0;

	free(path);
	while (f && !found && getline(&line, &len, f) > 0) {
		char *msg = line;

		if (stamped) {
			msg = strstr(line, "] ");
			if (line[0] != '[' || !msg)
				continue;
			msg += 2;
		}
		for (size_t i = 0; i < ARRAY_SIZE(marks); i++)
			if (!strncmp(msg, marks[i], strlen(marks[i]))) {
				msg[strcspn(msg, "\r\n")] = 0;
				found = xstrdup(msg);
				break;
			}
	}
	if (f)
		fclose(f);
	free(line);
	return found;
}

void results_collect(struct results *r, const struct boot *boot, const char *kunit)
{
	char *xml = xasprintf("%s/junit.xml", boot->dir), *id, *complaint;
	int ret = run_kunit(kunit, boot->dir, boot->suite ? "console.log" : "ktap.log");
	xmlDoc *doc = access(xml, R_OK) ? NULL : xmlReadFile(xml, NULL, XML_PARSE_NOERROR);
	xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL;
	size_t nr = root ? walk(r, boot, root, boot->machine->name, 0) : 0;

	id = xasprintf("%s/boot", boot->id);
	if (boot->verdict != V_PASS)
		set_cell(r, boot->column, id, boot->verdict, boot->reason);
	else if (!root || ret > 1)
		set_cell(r, boot->column, id, V_ERROR, "no KTAP that kunit.py can read: see parse.log");
	else if (suite_count(root, "errors"))
		set_cell(r, boot->column, id, V_ERROR, "malformed KTAP: see parse.log");
	else if (suite_count(root, "failures") > failed_cases(root))
		set_cell(r, boot->column, id, V_FAIL, "a suite or program fails, but no case of it");
	else if (boot->suite && !nr)
		set_cell(r, boot->column, id, V_ERROR, "this kernel has no such KUnit suite");
	else
		set_cell(r, boot->column, id, V_PASS, NULL);
	free(id);

	xmlFreeDoc(doc);
	free(xml);

	id = xasprintf("%s/kernel-log", boot->id);
	complaint = kernel_complaint(boot->dir, !machine_is_um(boot->machine));
	set_cell(r, boot->column, id, complaint ? V_FAIL : V_PASS, complaint);
	free(complaint);
	free(id);
}

/* Of a machine or, MACHINE/SUITE, of one boot of it */
static bool row_is_of(const struct row *row, const char *id)
{
	size_t n = strlen(id);

	return !strncmp(row->id, id, n) && row->id[n] == '/';
}

void results_complete(struct results *r, const struct boot *boots, size_t nr_boots)
{
	for (size_t b = 0; b < nr_boots; b++) {
		const struct boot *boot = &boots[b];

		if (boot->verdict == V_SKIP)
			continue;
		for (size_t i = 0; i < r->nr_rows; i++) {
			struct row *row = &r->rows[i];

			if (row->cell[boot->column].verdict != V_NONE ||
			    !row_is_of(row, boot->id))
				continue;
			row->cell[boot->column].verdict =
				boot->verdict == V_PASS ? V_MISSING : boot->verdict;
			row->cell[boot->column].reason = xstrdup(boot->reason);
		}
	}
}

/* A machine that this QEMU cannot be, a kernel that did not build: one row says so */
void results_skip(struct results *r, const struct boot *boot)
{
	char *id = xasprintf("%s/boot", boot->id);

	set_cell(r, boot->column, id, boot->verdict, boot->reason);
	free(id);
}

static const struct conf *sort_machines;

/*
 * The machines, and the suites of one, in the order of machines.conf; the rows
 * of one boot as they came
 */
static size_t machine_rank(const struct row *row)
{
	size_t rank = 0;

	for (size_t i = 0; i < sort_machines->nr_stanzas; i++) {
		const struct stanza *machine = &sort_machines->stanzas[i];
		bool found = row_is_of(row, machine->name);

		rank++;
		for (size_t k = 0; k < machine->nr_lines; k++) {
			char *id;

			if (strcmp(machine->lines[k].key, "suite"))
				continue;
			rank++;
			id = xasprintf("%s/%s", machine->name, machine->lines[k].value);
			if (found && row_is_of(row, id)) {
				free(id);
				return rank;
			}
			free(id);
		}
		if (found)
			return rank;
	}
	return rank + 1;
}

static int compare_rows(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	size_t rx = machine_rank(x), ry = machine_rank(y);

	if (rx != ry)
		return rx < ry ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

void results_sort(struct results *r, const struct conf *machines)
{
	sort_machines = machines;
	for (size_t i = 0; i < r->nr_rows; i++)
		r->rows[i].order = i;
	qsort(r->rows, r->nr_rows, sizeof(*r->rows), compare_rows);
}

void results_liken(struct results *r, const struct conf *machines)
{
	for (size_t i = 0; i < r->nr_rows; i++) {
		struct row *row = &r->rows[i];

		row->like = row->id;
		for (size_t k = 0; k < machines->nr_stanzas; k++) {
			const struct stanza *m = &machines->stanzas[k];
			const char *like = stanza_get(m, "like", NULL);

			if (like && row_is_of(row, m->name))
				row->like = xasprintf("%s%s", like, row->id + strlen(m->name));
		}
	}
}
