# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034,SC2154 # read, and set, by tools/check-series
# gcc, s390 allmodconfig: W=1 adds no warning in the directories concerned

NEEDS='s390x-linux-gnu-gcc gcc-s390x-linux-gnu'
# shellcheck source=tools/checks.d/compile.sh
. "$CHECKS/compile.sh"
BUILD=s390 MAKE_OPTIONS=(ARCH=s390 CROSS_COMPILE=s390x-linux-gnu-) COMPILER=(s390x-linux-gnu-gcc)

versions() { s390x-linux-gnu-gcc --version; }
