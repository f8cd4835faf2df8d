# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Sourced by every tool: where things are, and how to say what is wrong.

set -euo pipefail
# What git, sort and make do must not depend on who calls; a hook of git has the
# caller's repository in its environment
export LC_ALL=C GIT_CONFIG_NOSYSTEM=1
while read -r var; do
	unset "$var"
done < <(git rev-parse --local-env-vars 2>/dev/null)
umask 022

TOP=$(cd "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
export TOP
SELF=${0##*/}
# Everything that is downloaded or built lives here, nothing in the repository
CACHE=${VRS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vfio-reset-state}
JOBS=${JOBS:-$(nproc)}

# What a commit or a patch of ours carries until a person submits it
export AUTHOR_NAME=vfio-reset-state AUTHOR_EMAIL=vfio-reset-state@localhost

say() { echo "$SELF: $*" >&2; }
die() { echo "$SELF: $*" >&2; exit 2; }
# Nothing ends silently: what no check foresaw is named too
set -E
trap 'say "stopped by a failing command (${BASH_SOURCE[0]##*/}:$LINENO): $BASH_COMMAND"' ERR

# Git, make and the kernel's build are particular about it
case $CACHE in /*) ;; *) CACHE=$PWD/$CACHE ;; esac
[[ $CACHE != *[[:space:]:]* ]] || die "no blanks or colons, please, in the cache's path: set VRS_CACHE"

# What is built twice is compiled once, whatever the directory.  In depend mode,
# what is not in the cache yet doesn't take a run of the preprocessor more.
export CCACHE_DIR=$CACHE/ccache CCACHE_MAXSIZE=5G CCACHE_NOHASHDIR=1 CCACHE_DEPEND=1

# kmake_options [PREFIX]: what every kernel is made with.  All have the warnings of W=1,
# whatever they are for: other flags would compile all of it again.  But comments are
# not read by the way: ci/test has kernel-doc read those that a patch changes.
kmake_options() {
	printf '%s\n' W=1 cmd_checkdoc= "CC=$(! command -v ccache >/dev/null || echo "ccache ")${1:-}gcc"
}

# cross_of ARCH: of the architectures that need another compiler, what the kernel calls
# it, the prefix of its compiler, its image, and Debian's names of compiler, C library and
# emulator
cross_of() {
	case $1 in
	arm64) echo "arm64 aarch64-linux-gnu- Image gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-system-arm" ;;
	s390x) echo "s390 s390x-linux-gnu- bzImage gcc-s390x-linux-gnu libc6-dev-s390x-cross qemu-system-s390x" ;;
	*) die "no such architecture: $1; there are: arm64 s390x" ;;
	esac
}
# The same source gives the same kernel
export KBUILD_BUILD_TIMESTAMP=@0 KBUILD_BUILD_USER=lab KBUILD_BUILD_HOST=lab

# um_fragments TREE: what is merged on top of drivers/pci/tests/.kunitconfig of TREE
um_fragments() {
	printf '%s\n' "$TOP"/kconfig-fragments/{kunit,uml-vfio}.config
	! grep -qs PCI_MOCK_DEBUGFS "$1/drivers/pci/tests/Kconfig" || echo "$TOP/kconfig-fragments/uml-faults.config"
}

# need TOOL...: all of them are there, or one line says which are not
need() {
	local missing=() tool

	for tool; do
		command -v "$tool" >/dev/null || missing+=("$tool")
	done
	[ ${#missing[@]} -eq 0 ] ||
		die "missing: ${missing[*]}; run tools/setup, or install them yourself"
}

# room DIR MEGABYTES: enough free disk below DIR, or one line says so
room() {
	local free

	mkdir -p "$1" || die "cannot make $1"
	free=$(df -Pm "$1" | awk 'NR == 2 { print $4 }')
	[ "$free" -ge "$2" ] ||
		die "$1 has $free MB free, $2 MB are needed: make room, or set VRS_CACHE to another disk"
}

# Only one of our tools at a time changes the cache, with those it calls; another
# one waits
lock_cache() {
	[ "${VRS_LOCKED:-}" != "$CACHE" ] || return 0
	mkdir -p "$CACHE" || die "cannot make $CACHE"
	exec 9>"$CACHE/lock"
	if ! flock -n 9; then
		say "waiting for another run that uses $CACHE"
		flock 9
	fi
	export VRS_LOCKED=$CACHE
}

# quietly LOG COMMAND...: run, keep the output, show its end only on failure
quietly() {
	local log=$1
	shift

	mkdir -p "$(dirname "$log")"
	"$@" >"$log" 2>&1 9>&- || {
		tail -n 15 "$log" >&2
		return 1
	}
}

# is_kernel_tree DIR
is_kernel_tree() {
	[ -f "$1/MAINTAINERS" ] && [ -f "$1/Kbuild" ] && [ -f "$1/drivers/pci/pci.c" ]
}

# usage: the comment at the head of the tool that was called, without the licence
usage() { awk 'NR <= 3 { next } !/^#/ { exit } { sub(/^# ?/, ""); print }' "$0"; }

# Which series it is: the topics of patches/series or, for a base that has a
# series of its own, STABLE = stable/NAME (choose_base sets it)
STABLE=''
PROVENANCE=$TOP/patches/provenance

# topics: in order.  All that the tools call a topic is a directory in patches/.
topics() {
	if [ -n "$STABLE" ]; then
		echo "$STABLE"
	else
		sed -e 's/[[:space:]]*#.*//' -e 's/[[:space:]]*:.*//' -e '/^$/d' "$TOP/patches/series"
	fi
}

# needs_of TOPIC: those that it needs directly
needs_of() {
	awk -v want="$1" '{ sub(/#.*/, ""); if (!sub(/:/, " ") || $1 != want) next
		for (i = 2; i <= NF; i++) print $i }' "$TOP/patches/series"
}

# with_needs TOPIC: the topic and all that it needs, in order
with_needs() {
	local topic found=" $1 "

	while read -r topic; do
		[[ $found != *" $topic "* ]] || found+="$(needs_of "$topic" | xargs) "
	done < <(topics | tac)
	topics | grep -xF "$(xargs -n1 <<<"$found")"
}

# topic_patches TOPIC: NN-topic/0001-....patch
topic_patches() {
	(cd "$TOP/patches" && printf '%s\n' "$1"/0*.patch)
}

# The patches in order
series_patches() {
	local topic

	topics | while read -r topic; do topic_patches "$topic"; done
}

# stanzas_with FILE KEY: names of the stanzas that have such a line
stanzas_with() {
	awk -v key="$2" '/^\[/ { name = substr($0, 2, length($0) - 2); next }
		{ k = $0; sub(/[ \t]*=.*/, "", k) } k == key && name != last { print name; last = name }' "$1"
}

# provenance_of PATCH: its stanza of patches/provenance, without the name
provenance_of() {
	awk -v want="[$1]" '/^\[/ { on = $0 == want; next } on' "$PROVENANCE"
}

# values_of PATCH KEY: of its stanza
values_of() {
	provenance_of "$1" | sed -n "s/^$2[[:space:]]*=[[:space:]]*//p"
}

# find_topic WHAT: a topic, with or without its number
find_topic() {
	local topic

	while read -r topic; do
		case $topic in "$1" | [0-9][0-9]-"$1") echo "$topic"; return ;; esac
	done < <(topics)
	die "there is no topic $1; there are: $(topics | xargs)"
}

# find_patch WHAT: NN-topic/N, topic/N, file name or a part of it that only one has
find_patch() {
	local hits

	hits=$(series_patches | grep -F -- "$1" || true)
	if [[ $1 =~ ^(.+)/([0-9]+)$ ]]; then
		hits=$(series_patches | grep -E "(^|/|^[0-9][0-9]-)${BASH_REMATCH[1]//./\\.}/0*$((10#${BASH_REMATCH[2]}))-" || true)
	fi
	case $(grep -c . <<<"$hits" || true) in
	1) echo "$hits" ;;
	0) die "no patch of the series matches $1" ;;
	*) die "$1 matches several patches: $(xargs <<<"$hits")" ;;
	esac
}
