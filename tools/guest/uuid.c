// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the vfio selftests need of libuuid, for guests of another architecture: the
 * library itself would have to come from a second architecture of the distribution.
 */
#include <stdio.h>
#include <string.h>
#include <uuid/uuid.h>

int uuid_parse(const char *in, uuid_t uu)
{
	int n = 0;

	memset(uu, 0, sizeof(uuid_t));
	if (sscanf(in, "%2hhx%2hhx%2hhx%2hhx-%2hhx%2hhx-%2hhx%2hhx-%2hhx%2hhx-%2hhx%2hhx%2hhx%2hhx%2hhx%2hhx%n",
		   &uu[0], &uu[1], &uu[2], &uu[3], &uu[4], &uu[5], &uu[6], &uu[7], &uu[8], &uu[9],
		   &uu[10], &uu[11], &uu[12], &uu[13], &uu[14], &uu[15], &n) != 16 || in[n])
		return -1;
	return 0;
}
