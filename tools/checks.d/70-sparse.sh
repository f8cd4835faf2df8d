# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034,SC2154 # read, and set, by tools/check-series
# sparse, x86_64 allmodconfig: no new warning in what the patch has compiled again

NEEDS='sparse sparse
gcc gcc'
# shellcheck source=tools/checks.d/compile.sh
. "$CHECKS/compile.sh"
# Debian 12's does not know __typeof_unqual__, and checks nothing then, without a word
BUILD=sparse MAKE_OPTIONS=(ARCH=x86_64 CF=-D__typeof_unqual__=__typeof__) COMPILER=(gcc) CHECKER=(sparse)

versions() { sparse --version; gcc --version; }

prove() {
	planted "$(printf '%s\n' '#include <linux/pci.h>' 'int planted(struct pci_dev *dev, __le16 a, void __user *p);' \
		'int planted(struct pci_dev *dev, __le16 a, void __user *p)' '{' '	u16 b = a;' '' '	return b + *(int *)p + dev->devfn;' '}')" \
		'incorrect type in initializer|removes address space'
}
