// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include <libvfio.h>

#define DEVICE "/dev/aer_inject"

#define TIMEOUT 60

/* As drivers/pci/pcie/aer_inject.c defines it */
struct aer_error_inj {
	u8 bus;
	u8 dev;
	u8 fn;
	u32 uncor_status;
	u32 cor_status;
	u32 header_log0;
	u32 header_log1;
	u32 header_log2;
	u32 header_log3;
	u32 domain;
};

static u32 uncor_sever(const char *bdf)
{
	struct vfio_pci_state *state = vfio_pci_state_alloc();
	u32 sever = 0;
	u16 aer;

	vfio_pci_state_read_config(bdf, state);
	aer = vfio_pci_state_find_ext_cap(state, PCI_EXT_CAP_ID_ERR);
	if (aer)
		sever = vfio_pci_state_readl(state, aer + PCI_ERR_UNCOR_SEVER) &
			~vfio_pci_state_readl(state, aer + PCI_ERR_UNCOR_MASK);

	free(state);
	return sever;
}

const char *aer_inject_init(struct aer_inject *inject, const char *bdf)
{
	char *port;

	inject->bdf = bdf;

	port = sysfs_upstream_bridge_get(bdf);
	if (!port)
		return "There is no port above it";
	snprintf_assert(inject->port, sizeof(inject->port), "%s", port);
	free(port);

	/* By default a malformed TLP is fatal (PCIe r6.0, sec 6.2.7) */
	if (!(uncor_sever(bdf) & PCI_ERR_UNC_MALF_TLP))
		return "No AER, or not a fatal error";

	inject->fd = open(DEVICE, O_WRONLY);
	if (inject->fd < 0)
		return "Cannot open " DEVICE;

	inject->kmsg = kmsg_open();

	return NULL;
}

void aer_inject_cleanup(struct aer_inject *inject)
{
	VFIO_ASSERT_EQ(close(inject->fd), 0);
	VFIO_ASSERT_EQ(close(inject->kmsg), 0);
}

/* Is this a kernel message that says how a recovery has ended? */
static bool is_end(struct aer_inject *inject, const char *record, bool *success)
{
	if (!strstr(record, inject->port))
		return false;

	*success = strstr(record, "device recovery successful");
	return *success || strstr(record, "device recovery failed");
}

static int wait_for_end(struct aer_inject *inject)
{
	struct pollfd pollfd = { .fd = inject->kmsg, .events = POLLIN };
	time_t end = time(NULL) + TIMEOUT;
	char record[2048];
	bool success;

	while (time(NULL) <= end) {
		while (kmsg_read(inject->kmsg, record, sizeof(record))) {
			if (is_end(inject, record, &success))
				return success;
		}

		poll(&pollfd, 1, 1000);
	}

	return -ETIMEDOUT;
}

int __aer_inject_error(struct aer_inject *inject, bool fatal)
{
	struct aer_error_inj einj = {
		/* By default a Completion Timeout isn't fatal */
		.uncor_status = fatal ? PCI_ERR_UNC_MALF_TLP : PCI_ERR_UNC_COMP_TIME,
	};
	unsigned int s, b, d, f;
	int n;

	n = sscanf(inject->bdf, "%4x:%2x:%2x.%1x", &s, &b, &d, &f);
	VFIO_ASSERT_EQ(n, 4);
	einj.domain = s;
	einj.bus = b;
	einj.dev = d;
	einj.fn = f;

	/* What was said before is not about this error. */
	kmsg_skip(inject->kmsg);

	if (write(inject->fd, &einj, sizeof(einj)) != sizeof(einj))
		return -errno;

	return wait_for_end(inject);
}

bool aer_inject_error(struct aer_inject *inject, bool fatal)
{
	int ret = __aer_inject_error(inject, fatal);

	VFIO_ASSERT_NE(ret, -ETIMEDOUT, "No recovery from the error of %s\n", inject->bdf);
	VFIO_ASSERT_GE(ret, 0, "Failed to inject an error into %s\n", inject->bdf);
	return ret;
}
