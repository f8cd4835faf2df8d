#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# sparse 0.6.4 (Debian 12, 0.6.4-3)
#
# One construct that sparse cannot parse makes it drop every warning of the whole
# file, and it still exits with 0.  Headers of recent kernels use __typeof_unqual__, so
# "make C=2" with this sparse prints no warning for any file and succeeds: a tree
# looks clean that was not checked at all.  -D__typeof_unqual__=__typeof__ in CF
# brings the warnings back.
#
# Seen: the file below dereferences a noderef pointer in line 4.  sparse reports that
# in the plain file.  With a use of __typeof_unqual__ in a later function, sparse
# reports errors of that line alone, not the dereference, and exits with 0.
set -eu
version=0.6.4-3
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
apt-get -q download "sparse=$version" >/dev/null
dpkg-deb -x sparse_*.deb .
sparse=$tmp/usr/bin/sparse

cat >plain.c <<'C'
static int __attribute__((noderef, address_space(1))) *p;
static int f(void)
{
	return *p;
}
static int g(int x)
{
	__typeof__(x) y = x;
	return y + f();
}
int (*h)(int) = g;
C
sed 's/__typeof__/__typeof_unqual__/' plain.c >unqual.c

check() { # FILE WARNS OPTION...
	local out ret=0 warns=no
	out=$("$sparse" "${@:3}" "$1" 2>&1) || ret=$?
	grep -q 'dereference of noderef' <<<"$out" && warns=yes
	echo "$1 ${*:3}: exit $ret, noderef reported: $warns"
	[ $ret -eq 0 ] && [ $warns = "$2" ]
}
check plain.c yes
check unqual.c no
check unqual.c yes -D__typeof_unqual__=__typeof__
