/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_SYSFS_H
#define SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_SYSFS_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>

#include <linux/types.h>

/* Read a string from, or write one to, a file of sysfs. */
void sysfs_read(const char *path, char *buf, size_t size);
void sysfs_write(const char *path, const char *val);

int sysfs_sriov_totalvfs_get(const char *bdf);
int sysfs_sriov_numvfs_get(const char *bdf);
void sysfs_sriov_numvfs_set(const char *bdf, int numvfs);
char *sysfs_sriov_vf_bdf_get(const char *pf_bdf, int i);
int sysfs_iommu_group_get(const char *bdf);
char *sysfs_driver_get(const char *bdf);
void sysfs_driver_bind(const char *bdf, const char *driver);
void sysfs_driver_unbind(const char *bdf);

/* Return the BDF of the bridge above the device, or NULL if there is none. */
char *sysfs_upstream_bridge_get(const char *bdf);

/* Read or write an attribute of the device.  A line feed is not returned. */
void sysfs_device_attr_get(const char *bdf, const char *attr, char *buf,
			   size_t size);
void sysfs_device_attr_set(const char *bdf, const char *attr, const char *val);
int __sysfs_device_attr_set(const char *bdf, const char *attr, const char *val);

/* Does the kernel have runtime power management?  Without, a device stays in D0. */
bool sysfs_device_has_pm(const char *bdf);

/* Read or write power/control, if there is one. */
void sysfs_power_control_get(const char *bdf, char *buf, size_t size);
void sysfs_power_control_set(const char *bdf, const char *val);

/* Does the device suspend within that time?  Not in use, it should. */
bool sysfs_device_suspends(const char *bdf, unsigned int timeout_ms);

/* Map a BAR as a device driver in the kernel would, without vfio. */
void *sysfs_bar_map(const char *bdf, int bar, size_t offset, size_t size);

/*
 * Access the configuration space of the hardware, unlike
 * vfio_pci_config_access(), which accesses what vfio shows of it.
 */
int __sysfs_config_access(const char *bdf, bool write, size_t config,
			  size_t size, void *data);
void sysfs_config_access(const char *bdf, bool write, size_t config,
			 size_t size, void *data);

#define sysfs_config_read(_bdf, _offset, _type) ({				\
	_type __data;								\
	sysfs_config_access((_bdf), false, _offset, sizeof(__data), &__data);	\
	__data;									\
})

/* It is little endian. */
#define sysfs_config_readb(_b, _o) sysfs_config_read(_b, _o, u8)
#define sysfs_config_readw(_b, _o) ((u16)le16toh(sysfs_config_read(_b, _o, u16)))
#define sysfs_config_readl(_b, _o) ((u32)le32toh(sysfs_config_read(_b, _o, u32)))

#define sysfs_config_write(_bdf, _offset, _value, _type) do {			\
	_type __data = (_value);						\
	sysfs_config_access((_bdf), true, _offset, sizeof(__data), &__data);	\
} while (0)

#define sysfs_config_writew(_b, _o, _v) sysfs_config_write(_b, _o, htole16(_v), u16)
#define sysfs_config_writel(_b, _o, _v) sysfs_config_write(_b, _o, htole32(_v), u32)

/* Return the offset of a capability in configuration space, or 0. */
u8 sysfs_config_find_capability(const char *bdf, u8 id);

#endif /* SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_SYSFS_H */
