include $(top_srcdir)/scripts/subarch.include
ARCH ?= $(SUBARCH)

LIBVFIO_SRCDIR := $(selfdir)/vfio/lib

LIBVFIO_C := aer_inject.c
LIBVFIO_C += iommu.c
LIBVFIO_C += iova_allocator.c
LIBVFIO_C += kmsg.c
LIBVFIO_C += kprobe.c
LIBVFIO_C += libvfio.c
LIBVFIO_C += slot_power.c
LIBVFIO_C += sysfs.c
LIBVFIO_C += vfio_pci_device.c
LIBVFIO_C += vfio_pci_driver.c
LIBVFIO_C += vfio_pci_state.c

ifeq ($(ARCH:x86_64=x86),x86)
LIBVFIO_C += drivers/ioat/ioat.c
LIBVFIO_C += drivers/dsa/dsa.c
endif

LIBVFIO_C += drivers/nv_falcon/nv_falcon.c
LIBVFIO_C += drivers/igb/igb.c

LIBVFIO_OUTPUT := $(OUTPUT)/libvfio

LIBVFIO_O := $(patsubst %.c, $(LIBVFIO_OUTPUT)/%.o, $(LIBVFIO_C))

LIBVFIO_O_DIRS := $(shell dirname $(LIBVFIO_O) | uniq)

$(LIBVFIO_O_DIRS):
	mkdir -p $@

CFLAGS += -I$(LIBVFIO_SRCDIR)/include
ifeq ($(ARCH:s390x=s390),s390)
CFLAGS += -I$(LIBVFIO_SRCDIR)/arch/s390/include
endif

LDLIBS += -luuid

$(LIBVFIO_O): $(LIBVFIO_OUTPUT)/%.o : $(LIBVFIO_SRCDIR)/%.c | $(LIBVFIO_O_DIRS)
	$(CC) $(CFLAGS) $(CPPFLAGS) $(TARGET_ARCH) -c $< -o $@

EXTRA_CLEAN += $(LIBVFIO_OUTPUT)
