# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034,SC2154 # read, and set, by tools/check-series
# gcc, x86_64 allmodconfig and the selftests: W=1 adds no warning in the directories concerned

NEEDS='gcc gcc'
# shellcheck source=tools/checks.d/compile.sh
. "$CHECKS/compile.sh"
BUILD=gcc MAKE_OPTIONS=(ARCH=x86_64) COMPILER=(gcc) SELFTESTS_TOO=yes

versions() { gcc --version; ld --version; }
