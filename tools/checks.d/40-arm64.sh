# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034,SC2154 # read, and set, by tools/check-series
# gcc, arm64 allmodconfig: W=1 adds no warning in the directories concerned

NEEDS='aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu'
# shellcheck source=tools/checks.d/compile.sh
. "$CHECKS/compile.sh"
BUILD=arm64 MAKE_OPTIONS=(ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu-) COMPILER=(aarch64-linux-gnu-gcc)

versions() { aarch64-linux-gnu-gcc --version; }
