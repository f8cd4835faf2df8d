/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_KPROBE_H
#define SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_KPROBE_H

/*
 * Count the calls of a function of the kernel.  There is one such probe at a time.
 *
 * kprobe_add() returns 0 or a negative error code.
 */
int kprobe_add(const char *symbol);
unsigned long kprobe_hits(void);
void kprobe_remove(void);

#endif /* SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_KPROBE_H */
