// SPDX-License-Identifier: GPL-2.0-only
/* An init that fails on purpose, for the lab's own tests: see check_input */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <unistd.h>

int main(void)
{
	FILE *ktap;

	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	ktap = fopen("/dev/ttyS1", "w");
	if (!ktap)
		return 1;
#if defined(KIND_PANIC)
	/* The death of init is a panic */
	return 1;
#elif defined(KIND_HANG)
	for (;;)
		pause();
#else
	fprintf(ktap, "\x01\xff this is no KTAP\n# guest: done\n");
	fclose(ktap);
	sync();
	usleep(20000);
	reboot(RB_POWER_OFF);
#endif
	return 0;
}
