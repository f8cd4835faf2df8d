/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_KMSG_H
#define SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_KMSG_H

#include <stdbool.h>
#include <stddef.h>

/* Open the log of the kernel, to read what is logged from now on. */
int kmsg_open(void);

/* Go to the end of the log. */
void kmsg_skip(int kmsg);

/* Read the next record, without blocking.  Returns false if there is none. */
bool kmsg_read(int kmsg, char *record, size_t size);

/*
 * Read the rest of the log.  Returns whether there is a record that is about
 * the device and contains the string.
 */
bool kmsg_has(int kmsg, const char *bdf, const char *str);

#endif /* SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_KMSG_H */
