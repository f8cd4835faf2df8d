// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stanza files: [NAME], then "key = value" lines; # begins a comment line.  After
 * "like = NAME", a stanza has the lines of that one, which is above it, too: those
 * whose key it does not have itself.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab.h"

static char *trim(char *s)
{
	char *end;

	s += strspn(s, " \t");
	end = s + strlen(s);
	while (end > s && strchr(" \t\r\n", end[-1]))
		*--end = 0;
	return s;
}

static void stanza_add_text(struct stanza *st, const char *line)
{
	char *text = xasprintf("%s%s", st->text ? st->text : "", line);

	free(st->text);
	st->text = text;
}

static void stanza_add_line(struct stanza *st, const char *key, const char *value)
{
	st->lines = realloc(st->lines, (st->nr_lines + 1) * sizeof(*st->lines));
	if (!st->lines)
		die("out of memory");
	st->lines[st->nr_lines].key = xstrdup(key);
	st->lines[st->nr_lines++].value = xstrdup(value);
}

static void inherit_lines(const struct conf *conf, struct stanza *st)
{
	const char *like = stanza_get(st, "like", NULL);
	const struct stanza *from = conf->stanzas;
	size_t own = st->nr_lines;

	if (!like)
		return;
	while (from < st && strcmp(from->name, like))
		from++;
	if (from == st)
		die("%s: [%s]: no stanza %s is above it", conf->path, st->name, like);
	for (size_t i = 0; i < from->nr_lines; i++) {
		const struct conf_line *l = &from->lines[i];
		size_t k = 0;

		while (k < own && strcmp(st->lines[k].key, l->key))
			k++;
		if (k == own)
			stanza_add_line(st, l->key, l->value);
	}
}

void conf_read(struct conf *conf, const char *path)
{
	FILE *f = fopen(path, "r");
	struct stanza *st = NULL;
	char *line = NULL;
	size_t len = 0;
	int nr = 0;

	if (!f)
		die("cannot read %s: %s", path, strerror(errno));
	memset(conf, 0, sizeof(*conf));
	conf->path = path;
	while (getline(&line, &len, f) > 0) {
		char *raw = xstrdup(line), *s = trim(line), *eq;

		nr++;
		if (s[0] == '[') {
			size_t n = strlen(s);

			if (n < 3 || s[n - 1] != ']')
				die("%s:%d: a stanza begins with [NAME]", path, nr);
			s[n - 1] = 0;
			for (size_t i = 0; i < conf->nr_stanzas; i++)
				if (!strcmp(conf->stanzas[i].name, s + 1))
					die("%s:%d: a second stanza %s", path, nr, s + 1);
			conf->stanzas = realloc(conf->stanzas,
						(conf->nr_stanzas + 1) * sizeof(*st));
			if (!conf->stanzas)
				die("out of memory");
			st = &conf->stanzas[conf->nr_stanzas++];
			memset(st, 0, sizeof(*st));
			st->name = xstrdup(s + 1);
			stanza_add_text(st, raw);
		} else if (s[0] && s[0] != '#') {
			eq = strchr(s, '=');
			if (!st || !eq)
				die("%s:%d: neither [NAME], nor key = value, nor a comment", path, nr);
			*eq = 0;
			stanza_add_line(st, trim(s), trim(eq + 1));
			stanza_add_text(st, raw);
		}
		free(raw);
	}
	free(line);
	fclose(f);
	for (size_t i = 0; i < conf->nr_stanzas; i++)
		inherit_lines(conf, &conf->stanzas[i]);
}

/* A key that nobody knows is a typing error, and a test not run, say: die of it */
void conf_check_keys(const struct conf *conf, const char *const *keys)
{
	for (size_t i = 0; i < conf->nr_stanzas; i++) {
		const struct stanza *st = &conf->stanzas[i];

		for (size_t l = 0; l < st->nr_lines; l++) {
			const char *const *key = keys;

			while (*key && strcmp(*key, st->lines[l].key))
				key++;
			if (!*key)
				die("%s: [%s]: no such key: %s", conf->path, st->name,
				    st->lines[l].key);
		}
	}
}

const char *stanza_get(const struct stanza *st, const char *key, const char *dflt)
{
	for (size_t i = 0; i < st->nr_lines; i++)
		if (!strcmp(st->lines[i].key, key))
			return st->lines[i].value;
	return dflt;
}

long stanza_get_int(const struct stanza *st, const char *key, long dflt)
{
	const char *v = stanza_get(st, key, NULL);
	char *end;
	long n;

	if (!v)
		return dflt;
	n = strtol(v, &end, 0);
	if (*end || end == v || n < 0)
		die("[%s]: %s wants a number, has: %s", st->name, key, v);
	return n;
}
