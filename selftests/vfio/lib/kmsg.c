// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <libvfio.h>

int kmsg_open(void)
{
	int kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);

	VFIO_ASSERT_GE(kmsg, 0, "open(/dev/kmsg) failed\n");
	kmsg_skip(kmsg);

	return kmsg;
}

void kmsg_skip(int kmsg)
{
	VFIO_ASSERT_GE(lseek(kmsg, 0, SEEK_END), 0);
}

bool kmsg_read(int kmsg, char *record, size_t size)
{
	ssize_t ret;

	/* EPIPE: records were overwritten before they were read */
	do
		ret = read(kmsg, record, size - 1);
	while (ret < 0 && errno == EPIPE);

	if (ret < 0) {
		VFIO_ASSERT_EQ(errno, EAGAIN, "Failed to read /dev/kmsg\n");
		return false;
	}

	record[ret] = 0;
	return true;
}

bool kmsg_has(int kmsg, const char *bdf, const char *str)
{
	bool found = false;
	char record[2048];

	while (kmsg_read(kmsg, record, sizeof(record))) {
		if (strstr(record, bdf) && strstr(record, str))
			found = true;
	}

	return found;
}
