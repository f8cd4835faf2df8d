# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034,SC2154 # read, and set, by tools/check-series
# clang, x86_64 allmodconfig and the selftests: W=1 adds no warning in the directories concerned

# shellcheck source=tools/checks.d/compile.sh
. "$CHECKS/compile.sh"

# find_clang: the oldest one that this kernel takes, if its linker is there too
find_clang() {
	local want=0 have name

	[ -z "${SCRIPTS:-}" ] || want=$(SRCARCH=x86 sh "$SCRIPTS/scripts/min-tool-version.sh" llvm)
	while read -r name; do
		have=$("$name" --version | sed -n 's/.*clang version \([0-9.]*\).*/\1/p')
		if sort -CV <<<"$want"$'\n'"$have" && command -v "ld.lld${name#clang}" "llvm-ar${name#clang}" >/dev/null; then
			echo "$name"
			return
		fi
	done < <({ compgen -c clang | grep -E '^clang(-[0-9]+)?$' || true; } | sort -uV)
}

missing() { [ -n "$clang" ] || echo "clang-19 lld-19 llvm-19"; }

clang=$(find_clang)
suffix=${clang#clang}
BUILD=clang MAKE_OPTIONS=(ARCH=x86_64 "LLVM=${suffix:-1}") COMPILER=("$clang") SELFTESTS_TOO=yes

versions() { "$clang" --version; }
