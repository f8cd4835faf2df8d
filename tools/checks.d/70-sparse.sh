# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034,SC2154 # read, and set, by tools/check-series
# sparse, x86_64 allmodconfig: no new warning in what the patch has compiled again

NEEDS='sparse sparse
gcc gcc'
# shellcheck source=tools/checks.d/compile.sh
. "$CHECKS/compile.sh"
# Debian 12's does not know __typeof_unqual__, nor the length of a string as a constant,
# which each module asserts something of: after such an error it checks nothing, without
# a word
BUILD=sparse COMPILER=(gcc) CHECKER=(sparse)
MAKE_OPTIONS=(ARCH=x86_64 "CF=-D__typeof_unqual__=__typeof__ '-D_Static_assert(...)='")

versions() { sparse --version; gcc --version; }

# After an error it keeps all warnings of the file to itself
check() {
	local ret=0 file blind

	compile_patch || ret=$?
	[ $ret -ne 2 ] || return 2
	blind=$(built | while read -r file; do
		! grep -q 'error:' "$WORK/check/build-$BUILD/said/$file.said" || echo "$file"
	done)
	[ -z "$blind" ] || {
		echo "checked only up to an error, see sparse on: $(xargs <<<"$blind")"
		[ $ret -ne 0 ] || ret=3
	}
	return $ret
}

prove() {
	planted "$(printf '%s\n' '#include <linux/module.h>' '#include <linux/pci.h>' 'MODULE_LICENSE("GPL");' \
		'int planted(struct pci_dev *dev, __le16 a, void __user *p);' \
		'int planted(struct pci_dev *dev, __le16 a, void __user *p)' '{' '	u16 b = a;' '' '	return b + *(int *)p + dev->devfn;' '}')" \
		'incorrect type in initializer|removes address space'
}
