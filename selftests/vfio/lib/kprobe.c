// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <libvfio.h>

#define TRACING	"/sys/kernel/tracing/"
#define EVENT	"libvfio"

static int tracing_write(const char *file, int flags, const char *val)
{
	char path[128];
	ssize_t ret;
	int fd;

	snprintf_assert(path, sizeof(path), TRACING "%s", file);
	fd = open(path, O_WRONLY | flags);
	if (fd < 0)
		return -errno;

	ret = write(fd, val, strlen(val));
	if (ret < 0)
		ret = -errno;
	VFIO_ASSERT_EQ(close(fd), 0);

	return ret < 0 ? ret : 0;
}

void kprobe_remove(void)
{
	tracing_write("events/kprobes/" EVENT "/enable", 0, "0");
	tracing_write("kprobe_events", O_APPEND, "-:" EVENT);
}

int kprobe_add(const char *symbol)
{
	char def[128];
	int ret;

	kprobe_remove();

	snprintf_assert(def, sizeof(def), "p:" EVENT " %s", symbol);
	ret = tracing_write("kprobe_events", O_APPEND, def);
	if (!ret)
		ret = tracing_write("events/kprobes/" EVENT "/enable", 0, "1");

	return ret;
}

unsigned long kprobe_hits(void)
{
	unsigned long hits = ~0UL;
	char line[256];
	FILE *f;

	f = fopen(TRACING "kprobe_profile", "r");
	VFIO_ASSERT_NOT_NULL(f, "Failed to open kprobe_profile\n");

	while (fgets(line, sizeof(line), f))
		if (sscanf(line, " " EVENT " %lu", &hits) == 1)
			break;

	VFIO_ASSERT_NE(hits, ~0UL);
	VFIO_ASSERT_EQ(fclose(f), 0);
	return hits;
}
