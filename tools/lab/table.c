// SPDX-License-Identifier: GPL-2.0-only
/*
 * What each row should be, and whether it is.
 *
 * A row of the column "series" passes, or is skipped with a reason.  In
 * "base" the same holds, except for the witnesses of the patches: those fail.
 * In "without" and "control", where one patch was taken out or one upstream
 * fix reversed, the witnesses of that patch fail and all else passes.
 *
 * The rows of a machine that is like another one are as those.
 *
 * If the series is but one topic and what it needs, a row that a patch outside
 * of it cures may be as on the base, or pass.  The witnesses of the topic's own
 * patches pass.
 */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lab.h"

static bool row_matches(const struct row *row, const char *pattern)
{
	return !fnmatch(pattern, row->id, 0) || !fnmatch(pattern, row->like, 0);
}

static bool stanza_matches(const struct stanza *patch, const char *key, const struct row *row)
{
	for (size_t i = 0; i < patch->nr_lines; i++)
		if (!strcmp(patch->lines[i].key, key) && row_matches(row, patch->lines[i].value))
			return true;
	return false;
}

static bool stanza_has_witness(const struct stanza *patch, const struct row *row)
{
	return stanza_matches(patch, "witness", row);
}

/* Fails on the base, but not for want of this patch alone, or only if debugged */
static bool stanza_cures(const struct stanza *patch, const struct row *row,
			 const struct expectation *expect)
{
	return stanza_matches(patch, "cures", row) ||
	       (expect->debug && stanza_matches(patch, "cures-debug", row));
}

bool patch_is_of_topic(const struct stanza *patch, const char *topic)
{
	size_t n = strlen(topic);

	return !strncmp(patch->name, topic, n) && patch->name[n] == '/';
}

static bool is_applied(const struct stanza *patch, const struct expectation *expect)
{
	for (size_t i = 0; i < expect->nr_applied; i++)
		if (!strcmp(expect->applied[i], patch->name))
			return true;
	return !expect->applied;
}

/* May the row fail, because what cures it is not in this series? */
static bool not_cured_here(const struct row *row, const struct expectation *expect)
{
	bool named = false, missing = false;

	for (size_t i = 0; i < expect->provenance->nr_stanzas; i++) {
		const struct stanza *patch = &expect->provenance->stanzas[i];
		bool witness = stanza_has_witness(patch, row);

		if (witness && expect->topic && patch_is_of_topic(patch, expect->topic))
			return false;
		if (!witness && !stanza_cures(patch, row, expect) &&
		    !stanza_matches(patch, "may-fail", row))
			continue;
		named = true;
		missing |= !is_applied(patch, expect);
	}
	return missing || (expect->as_base && !named);
}

static bool is_bad(enum verdict v)
{
	return v != V_PASS && v != V_SKIP && v != V_NONE;
}

/* Does a witness show something: not if it was skipped, or could not run */
static bool shows(enum verdict v)
{
	return v == V_FAIL || v == V_HANG || v == V_PANIC;
}

/* The patch whose witness the row is in this column, or NULL */
static const char *witness_of(const struct row *row, const char *column,
			      const struct expectation *expect)
{
	bool base = !strcmp(column, "base"), series = !strcmp(column, "series");
	const char *found = NULL;

	if (series)
		return NULL;
	for (size_t i = 0; i < expect->provenance->nr_stanzas; i++) {
		const struct stanza *patch = &expect->provenance->stanzas[i];

		if (!base && strcmp(patch->name, expect->mutant))
			continue;
		/* A control is no patch of the series: base has its fix */
		if (base && stanza_get(patch, "control", NULL))
			continue;
		if (!stanza_has_witness(patch, row) &&
		    (!base || !stanza_cures(patch, row, expect)))
			continue;
		/* Of several, one of the topic in question */
		if (!expect->topic || patch_is_of_topic(patch, expect->topic))
			return patch->name;
		if (!found)
			found = patch->name;
	}
	return found;
}

/*
 * Is it a row that proves nothing in this column, whether it passes or fails:
 * one that fails now and then where the patch that cures it is not applied, a
 * witness of a patch that was only taken out along with another, or a row that
 * this patch is not alone in curing?
 */
static bool proves_nothing(const struct row *row, const char *column,
			   const struct expectation *expect)
{
	bool base = !strcmp(column, "base"), without = !strcmp(column, "without");

	for (size_t i = 0; i < expect->provenance->nr_stanzas; i++) {
		const struct stanza *patch = &expect->provenance->stanzas[i];
		bool mutant = without && !strcmp(patch->name, expect->mutant);

		if ((base || mutant || !is_applied(patch, expect)) &&
		    stanza_matches(patch, "may-fail", row))
			return true;
		if (mutant && stanza_cures(patch, row, expect))
			return true;
		for (size_t k = 0; without && k < expect->nr_also; k++)
			if (!strcmp(patch->name, expect->also[k]) &&
			    (stanza_has_witness(patch, row) || stanza_cures(patch, row, expect)))
				return true;
	}
	return false;
}

/* Has the row run, and failed, in a column that this one is compared with? */
static bool shown_elsewhere(const struct row *row, size_t column, const char *name)
{
	if (strcmp(name, "series"))
		return false;
	for (size_t c = 0; c < MAX_COLUMNS; c++)
		if (c != column && shows(row->cell[c].verdict))
			return true;
	return false;
}

/* Does the row pass, or fail as it does in a column that this one is compared with? */
static bool as_elsewhere(const struct row *row, size_t column, const char *name)
{
	enum verdict v = row->cell[column].verdict;

	if (v == V_PASS)
		return true;
	/* On an old base, whatever a test may find */
	if (!strcmp(name, "base"))
		return shows(v) || v == V_MISSING;
	for (size_t c = 0; c < MAX_COLUMNS; c++)
		if (c != column && (v == row->cell[c].verdict ||
				    (shows(v) && shows(row->cell[c].verdict))))
			return true;
	return false;
}

static bool cell_as_expected(const struct row *row, size_t column, const char *name,
			     const struct expectation *expect)
{
	enum verdict v = row->cell[column].verdict;

	/* A test that the series keeps from running is not cured */
	if (v == V_SKIP)
		return row->cell[column].reason[0] &&
		       (!shown_elsewhere(row, column, name) ||
			(expect->as_base && not_cured_here(row, expect)));
	if (v == V_NONE)
		return true;
	if (witness_of(row, name, expect))
		return shows(v);
	/* It need not be in the base, if it does not compile there */
	if (proves_nothing(row, name, expect) &&
	    (v == V_PASS || v == V_FAIL || (v == V_MISSING && !strcmp(name, "base"))))
		return true;
	if ((expect->as_base || strcmp(name, "base")) && not_cured_here(row, expect))
		return as_elsewhere(row, column, name);
	return v == V_PASS;
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && !strcmp(s + n - m, end);
}

static bool row_is_quiet(const struct row *row, size_t nr_kernels)
{
	if (!ends_with(row->id, "/boot") && !ends_with(row->id, "-end"))
		return false;
	for (size_t c = 0; c < nr_kernels; c++)
		if (row->cell[c].verdict != V_PASS && row->cell[c].verdict != V_NONE)
			return false;
	return true;
}

static void print_json_string(FILE *f, const char *s)
{
	fputc('"', f);
	for (; s && *s; s++) {
		if (*s == '"' || *s == '\\')
			fprintf(f, "\\%c", *s);
		else if ((unsigned char)*s < 0x20)
			fprintf(f, "\\u%04x", *s);
		else
			fputc(*s, f);
	}
	fputc('"', f);
}

static void write_json(const struct results *r, const struct kernel *kernels,
		       size_t nr_kernels, const struct expectation *expect,
		       const char *out, bool ok)
{
	char *path = xasprintf("%s/results.json", out), *tmp = xasprintf("%s.tmp", path);
	FILE *f = fopen(tmp, "w");

	if (!f)
		die("cannot write %s: %s", tmp, strerror(errno));
	fprintf(f, "{\n  \"as_expected\": %s,\n  \"mutant\": ", ok ? "true" : "false");
	if (expect->mutant)
		print_json_string(f, expect->mutant);
	else
		fprintf(f, "null");
	fprintf(f, ",\n  \"rows\": [");
	for (size_t i = 0; i < r->nr_rows; i++) {
		fprintf(f, "%s\n    { \"id\": ", i ? "," : "");
		print_json_string(f, r->rows[i].id);
		for (size_t c = 0; c < nr_kernels; c++) {
			const struct cell *cell = &r->rows[i].cell[c];
			const char *patch = witness_of(&r->rows[i], kernels[c].column, expect);

			fprintf(f, ",\n      \"%s\": { \"verdict\": \"%s\", \"as_expected\": %s",
				kernels[c].column, verdict_name(cell->verdict),
				cell_as_expected(&r->rows[i], c, kernels[c].column, expect) ?
				"true" : "false");
			if (patch) {
				fprintf(f, ", \"witness_of\": ");
				print_json_string(f, patch);
			}
			if (cell->reason && cell->reason[0]) {
				fprintf(f, ", \"reason\": ");
				print_json_string(f, cell->reason);
			}
			fprintf(f, " }");
		}
		fprintf(f, " }");
	}
	fprintf(f, "\n  ]\n}\n");
	if (fclose(f) || rename(tmp, path))
		die("cannot write %s: %s", path, strerror(errno));
	free(path);
	free(tmp);
}

static void print_reason(const char *column, const char *reason, size_t most)
{
	char *copy = xstrdup(reason), *save;
	size_t nr = 0;

	for (char *l = strtok_r(copy, "\n", &save); l && nr < most;
	     l = strtok_r(NULL, "\n", &save), nr++)
		printf("        %s: %s\n", column, l);
	free(copy);
}

/* Does the witness speak of User-Mode Linux, which was left out? */
static bool is_left_out(const char *pattern, const struct expectation *expect)
{
	char *name = xasprintf("%.*s", (int)strcspn(pattern, "/"), pattern);
	bool left_out = false;

	for (size_t i = 0; expect->no_um && i < expect->machines->nr_stanzas; i++)
		left_out |= machine_is_um(&expect->machines->stanzas[i]) &&
			    !fnmatch(name, expect->machines->stanzas[i].name, 0);
	free(name);
	return left_out;
}

/* Witnesses that no row matched, or whose row was skipped: nothing is shown */
static size_t count_unseen(const struct results *r, const struct kernel *kernels,
			   size_t nr_kernels, const struct expectation *expect, bool *missing,
			   size_t *seen)
{
	size_t unseen = 0;

	for (size_t i = 0; i < expect->provenance->nr_stanzas; i++) {
		const struct stanza *patch = &expect->provenance->stanzas[i];

		if (expect->mutant ? strcmp(patch->name, expect->mutant) :
		    !!stanza_get(patch, "control", NULL))
			continue;
		if (!expect->mutant && expect->topic && !patch_is_of_topic(patch, expect->topic))
			continue;
		for (size_t k = 0; k < patch->nr_lines; k++) {
			const char *pattern = patch->lines[k].value;
			bool failed = false, uncured = false, row_there = false;

			if (strcmp(patch->lines[k].key, "witness"))
				continue;
			for (size_t j = 0; j < r->nr_rows; j++) {
				if (!row_matches(&r->rows[j], pattern))
					continue;
				row_there = true;
				for (size_t c = 0; c < nr_kernels; c++)
					if (shows(r->rows[j].cell[c].verdict))
						*(strcmp(kernels[c].column, "series") ?
						  &failed : &uncured) = true;
			}
			if (failed && !uncured) {
				(*seen)++;
				continue;
			}
			unseen++;
			if (row_there || expect->partial || is_left_out(pattern, expect))
				continue;
			/* The machine was skipped, or the witness does not exist */
			char *machine = xasprintf("%.*s/boot", (int)strcspn(pattern, "/"), pattern);

			for (size_t j = 0; j < r->nr_rows; j++)
				if (!fnmatch(machine, r->rows[j].id, 0) &&
				    r->rows[j].cell[0].verdict == V_SKIP)
					row_there = true;
			free(machine);
			if (!row_there) {
				printf("no such row: witness %s\n        of %s\n", pattern, patch->name);
				*missing = true;
			}
		}
	}
	return unseen;
}

bool table_print(const struct results *r, const struct kernel *kernels,
		 size_t nr_kernels, const struct expectation *expect, const char *out,
		 bool verbose)
{
	size_t wrong = 0, shown = 0, skipped = 0, witnesses = 0, seen = 0, unseen;
	bool missing = false, run = false, ok;

	printf("\n");
	for (size_t c = 0; c < nr_kernels; c++)
		printf("%-8s", kernels[c].column);
	printf("test\n");

	for (size_t i = 0; i < r->nr_rows; i++) {
		const struct row *row = &r->rows[i];
		const char *patch = NULL;
		bool row_ok = true, witnessed = false;

		if (row_is_quiet(row, nr_kernels))
			continue;
		shown++;
		for (size_t c = 0; c < nr_kernels; c++)
			run |= row->cell[c].verdict != V_SKIP && row->cell[c].verdict != V_NONE;
		for (size_t c = 0; c < nr_kernels; c++) {
			const char *w = witness_of(row, kernels[c].column, expect);

			if (w) {
				patch = w;
				witnessed |= shows(row->cell[c].verdict);
			}
			row_ok &= cell_as_expected(row, c, kernels[c].column, expect);
			printf("%-8s", verdict_name(row->cell[c].verdict));
		}
		printf("%s%s\n", row->id, row_ok ? "" : "   <-- NOT AS IT SHOULD BE");
		if (patch) {
			printf("        witness of %s\n", patch);
			witnesses += witnessed;
		}
		wrong += !row_ok;
		for (size_t c = 0; c < nr_kernels; c++) {
			const struct cell *cell = &row->cell[c];

			if (cell->verdict == V_SKIP && c == 0) {
				print_reason("skipped", cell->reason, 1);
				skipped++;
			} else if (is_bad(cell->verdict) && cell->reason)
				print_reason(kernels[c].column, cell->reason,
					     !row_ok || verbose ? 12 : 3);
		}
	}

	unseen = count_unseen(r, kernels, nr_kernels, expect, &missing, &seen);
	if (shown && !run)
		printf("nothing was run: every row was skipped\n");
	ok = !wrong && !missing && run && (!expect->mutant || witnesses > 0) &&
	     (!expect->topic || expect->partial || seen > 0);
	write_json(r, kernels, nr_kernels, expect, out, ok);
	printf("\n%zu rows, %zu witnesses, %zu skipped, %zu not as they should be", shown,
	       witnesses, skipped, wrong);
	if (unseen && !expect->partial)
		printf("; %zu witnesses could not be shown here", unseen);
	printf("\nLogs: %s\n%s", out, ok ? "Every row is as it should be" :
	       "NOT every row is as it should be");
	if (expect->topic && !expect->mutant)
		printf("; %zu of %zu witnesses of %s shown", seen, seen + unseen,
		       expect->topic);
	printf(".\n");
	return ok;
}
