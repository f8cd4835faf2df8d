/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SELFTESTS_VFIO_LIB_ARCH_S390_INCLUDE_ASM_IO_H
#define SELFTESTS_VFIO_LIB_ARCH_S390_INCLUDE_ASM_IO_H

/*
 * PCI memory is accessed by instructions of its own.  What they take as an
 * address depends on the machine, so leave that to the kernel.
 */
#include <errno.h>
#include <signal.h>
#include <unistd.h>
#include <sys/syscall.h>

#include <linux/types.h>

/* The last bytes of a value are its low ones */
#define S390_MMIO_BYTES(_val, _size) ((u8 *)(&(_val) + 1) - (_size))

static inline u64 s390_mmio_read(unsigned long addr, size_t size)
{
	u64 val = 0;

	if (!syscall(__NR_s390_pci_mmio_read, addr, S390_MMIO_BYTES(val, size), size))
		return val;

	/* As of a device that does not respond */
	if (errno != EIO)
		raise(SIGBUS);
	return ~0ULL;
}

static inline void s390_mmio_write(u64 val, unsigned long addr, size_t size)
{
	if (syscall(__NR_s390_pci_mmio_write, addr, S390_MMIO_BYTES(val, size), size) &&
	    errno != EIO)
		raise(SIGBUS);
}

#define __raw_readb(_addr) ((u8)s390_mmio_read((unsigned long)(_addr), 1))
#define __raw_readw(_addr) ((u16)s390_mmio_read((unsigned long)(_addr), 2))
#define __raw_readl(_addr) ((u32)s390_mmio_read((unsigned long)(_addr), 4))
#define __raw_readq(_addr) s390_mmio_read((unsigned long)(_addr), 8)
#define __raw_writeb(_val, _addr) s390_mmio_write(_val, (unsigned long)(_addr), 1)
#define __raw_writew(_val, _addr) s390_mmio_write(_val, (unsigned long)(_addr), 2)
#define __raw_writel(_val, _addr) s390_mmio_write(_val, (unsigned long)(_addr), 4)
#define __raw_writeq(_val, _addr) s390_mmio_write(_val, (unsigned long)(_addr), 8)

#include <asm-generic/io.h>

#endif /* SELFTESTS_VFIO_LIB_ARCH_S390_INCLUDE_ASM_IO_H */
