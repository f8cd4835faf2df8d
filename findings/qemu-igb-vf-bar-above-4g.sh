#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# qemu-system-x86 10.0.2 (Debian 12 backports, 1:10.0.2+ds-2+deb13u1~bpo12+1), device igb
#
# The VF BARs in the SR-IOV capability of an igb are 64 bit, and keep an address above
# 4 GB that is written to them.  But the VFs decode the lower half of it: there is
# nothing at the address, and a VF at the one below 4 GB, which may be somebody else's.
#
# Firmware of a PC gives bridges windows below 4 GB.  Where the kernel assigns them, as on
# QEMU's arm64 virt without firmware, or on a PC with qboot, a prefetchable window is above
# 4 GB, and each register of a VF reads as all ones or 0.  virt,highmem-mmio=off helps.
#
# Seen: Vector Control of entry 0 of the MSI-X Table of the first VF, which is 1 out of a
# reset, at both addresses.  No guest is run.
set -eu
version=1:10.0.2+ds-2+deb13u1~bpo12+1
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
mkdir -p deb/partial lists/partial root
# shellcheck disable=SC2016 # apt expands it
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -E '/debian/?$' | head -n 1)
for suite in bookworm bookworm-backports; do
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
done >sources.list
apt=(apt-get -qq -o Dir::Etc::SourceList="$tmp/sources.list" -o Dir::Etc::SourceParts=-
	-o Dir::State::Lists="$tmp/lists" -o APT::Sandbox::User=root)
"${apt[@]}" update
# With all that it depends on, whatever is installed here
: >status
"${apt[@]}" -o Dir::State::status="$tmp/status" -o Dir::Cache::archives="$tmp/deb" \
	-o Debug::NoLocking=1 --download-only --no-install-recommends -y -t bookworm-backports \
	install "qemu-system-x86=$version" >/dev/null
for deb in deb/*.deb; do dpkg-deb -x "$deb" root; done
qemu=(root/lib64/ld-linux-x86-64.so.2 --library-path
	"root/lib/x86_64-linux-gnu:root/usr/lib/x86_64-linux-gnu"
	root/usr/bin/qemu-system-x86_64)
export QEMU_MODULE_DIR=$tmp/root/usr/lib/x86_64-linux-gnu/qemu

# The PF is at 00:04.0, its first VF at 00:14.0; config space is at 0xb0000000
pf=0xb0020000 vf=0xb00a0000 sriov=0xb0020160 bar3=0xe0010000
check() { # HIGH WANT...: BAR 3 of the VFs at HIGH * 4 GB + $bar3
	local -a got
	mapfile -t got < <({
		echo outl 0xcf8 0x80000060
		echo outl 0xcfc 0xb0000001
		echo writew $((pf + 4)) 6		# Command: Memory Space, Bus Master
		echo writel $((sriov + 0x20)) 1		# System Page Size: 4 kB
		echo writel $((sriov + 0x24)) 0xe0000000 # VF BAR 0
		echo writel $((sriov + 0x28)) "$1"
		echo writel $((sriov + 0x30)) $bar3	# VF BAR 3
		echo writel $((sriov + 0x34)) "$1"
		echo writew $((sriov + 0x10)) 1		# NumVFs
		echo writew $((sriov + 0x08)) 9		# VF Enable, VF Memory Space Enable
		echo writew $((vf + 4)) 6
		echo readl $((sriov))			# Extended Capability ID 0x10
		echo readl $((sriov + 0x34))
		echo readl $((($1 << 32) + bar3 + 12))
		echo readl $((bar3 + 12))
	} | timeout 10 "${qemu[@]}" -M q35 -S -display none -qtest stdio -qtest-log none \
		-nodefaults -L root/usr/share/qemu -L root/usr/share/seabios \
		-device igb,addr=04.0,romfile= 2>/dev/null |
		awk '$1 == "OK" && NF == 2 { print $2 }')
	[ $((got[0] & 0xffff)) -eq $((0x10)) ]
	echo "VF BAR 3 at $((got[1])) * 4 GB + $bar3: there $((got[2])), below 4 GB $((got[3]))"
	[ $((got[1])) -eq "$1" ] && [ $((got[2])) -eq "$2" ] && [ $((got[3])) -eq "$3" ]
}
check 0 1 1
check 8 0 1
