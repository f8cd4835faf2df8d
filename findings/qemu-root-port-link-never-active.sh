#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# qemu-system-x86 7.2 (Debian 12, 1:7.2+dfsg-7+deb12u18+b3), machine q35; 10.0.2 and
# 11.1.3 do the same
#
# A pcie-root-port with a device below it says that it can report Data Link Layer Link
# Active, and reports that the link is not active.  The device works all the same.
# Hotplug through ACPI is what makes the difference, and it is on by default: with
# acpi-pci-hotplug-with-bridge-support=off, the link of the same port is active.
#
# Linux waits for that bit after a Secondary Bus Reset if the port supports more than
# 5 GT/s, and fails the reset.  The default of the port is 16 GT/s, so no bus or hot
# reset below it succeeds.  x-speed=2_5 helps: below such a port Linux does not look at
# the bit.
#
# Seen: the registers below, as firmware or a kernel would read them.  No guest is run.
set -eu
version=1:7.2+dfsg-7+deb12u18+b3
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
mkdir -p deb/partial root
# With all that it depends on, whatever is installed here
: >status
apt-get -qq -o Dir::State::status="$tmp/status" -o Dir::Cache::archives="$tmp/deb" \
	-o Debug::NoLocking=1 -o APT::Sandbox::User=root --download-only --no-install-recommends -y \
	install "qemu-system-x86=$version" >/dev/null
for deb in deb/*.deb; do dpkg-deb -x "$deb" root; done
qemu=(root/lib64/ld-linux-x86-64.so.2 --library-path
	"root/lib/x86_64-linux-gnu:root/usr/lib/x86_64-linux-gnu"
	root/usr/bin/qemu-system-x86_64)
export QEMU_MODULE_DIR=$tmp/root/usr/lib/x86_64-linux-gnu/qemu

# The config space of the port at 00:04.0, a dword per line
config() { # OPTION...
	local where
	for ((where = 0; where < 0x100; where += 4)); do
		printf 'outl 0xcf8 0x%x\ninl 0xcfc\n' $((0x80000000 | 4 << 11 | where))
	done | timeout 10 "${qemu[@]}" -M q35 -S -display none -qtest stdio -qtest-log none \
		-nodefaults -L root/usr/share/qemu -L root/usr/share/seabios "$@" 2>/dev/null |
		awk '$1 == "OK" && NF == 2 { print $2 }'
}

check() { # ACTIVE PORT-OPTIONS OPTION...
	local -a c
	local cap active
	mapfile -t c < <(config -device "pcie-root-port,id=rp,chassis=1,addr=04.0$2" \
		-device e1000e,bus=rp,romfile= "${@:3}")
	cap=$((c[0x34 / 4] & 0xff))
	while [ $((c[cap / 4] & 0xff)) -ne 16 ]; do	# PCI Express
		cap=$((c[cap / 4] >> 8 & 0xff))
		[ $cap -ne 0 ]
	done
	reporting=$((c[(cap + 12) / 4] >> 20 & 1))
	active=$((c[(cap + 16) / 4] >> 29 & 1))
	echo "port$2 ${*:3}: reporting capable $reporting, speed $((c[(cap + 12) / 4] & 15)), link active $active"
	[ $active = "$1" ]
}
check 0 ''
[ "$reporting" = 1 ]
check 0 ,x-speed=2_5
check 1 '' -global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off
