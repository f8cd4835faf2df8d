/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_AER_INJECT_H
#define SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_AER_INJECT_H

#include <stdbool.h>

/*
 * Have the kernel believe that the device has signalled an uncorrectable error:
 * Needs CONFIG_PCIEAER_INJECT.  The kernel recovers from a fatal error as it
 * does from a real one, by a reset of everything below the port.
 */
struct aer_inject {
	char port[16];	/* the port above the device, which is reset */
	const char *bdf;
	int fd;
	int kmsg;
};

/* Returns NULL, or the reason why no error can be injected into the device. */
const char *aer_inject_init(struct aer_inject *inject, const char *bdf);
void aer_inject_cleanup(struct aer_inject *inject);

/*
 * Inject an error and wait for the end of the recovery.  Returns whether it
 * was successful according to the kernel.
 */
bool aer_inject_error(struct aer_inject *inject, bool fatal);

/*
 * The same, but returns a negative errno if the error can't be injected, or if
 * nothing comes of it, because the device was reset in the meantime.
 */
int __aer_inject_error(struct aer_inject *inject, bool fatal);

#endif /* SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_AER_INJECT_H */
