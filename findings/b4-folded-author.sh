#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# b4 0.12.0 (Debian 12, 0.12.0-2), with the mails of git 2.39
#
# git format-patch folds a From: header of more than 76 characters, as RFC 5322 allows.
# "b4 am" and "b4 shazam" end with a ValueError on such a mail ("Header values may not
# contain linefeed"), and so does the whole thread that it is in.  git am takes it.  So
# whether a series can be applied with b4 depends on the length of its author's name
# and address.
#
# Seen: of two mails with the same change, b4 takes the one with a short author, and
# ends with a traceback on the other one; git am takes both.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
apt-get -q download b4=0.12.0-2 python3-patatt=0.6.3-1 python3-dkim=1.1.4-1 \
	python3-dnspython python3-requests python3-urllib3 python3-chardet python3-idna \
	python3-certifi python3-charset-normalizer python3-nacl >/dev/null
for deb in *.deb; do dpkg-deb -x "$deb" .; done
export PYTHONPATH=$tmp/usr/lib/python3/dist-packages HOME=$tmp GIT_CONFIG_GLOBAL=/dev/null

git init -q repo
cd repo
git config user.name C
git config user.email c@example.org
echo one >file
git add file
git commit -q -m 'file: Add it' --author 'C <c@example.org>'
git branch -q start

mail() { # NAME AUTHOR: a patch by AUTHOR
	git checkout -q -B work start
	echo two >file
	git commit -q -a -m 'file: Change it' --author "$2"
	git format-patch -q -1 --thread --stdout >"$tmp/$1.mbox"
	git checkout -q -B target start
	git am -q "$tmp/$1.mbox"
}
mail short 'A Person <a@example.org>'
mail long 'A Person Whose Name Is Rather Long <a.person.with.a.long.address@mail.example.org>'

b4() { /usr/bin/python3 -c 'import sys, b4.command; sys.exit(b4.command.cmd())' --offline-mode am -m "$1" -o "$tmp"; }
b4 "$tmp/short.mbox" >"$tmp/out" 2>&1 || { cat "$tmp/out"; exit 1; }
echo "short author: b4 am: exit 0"
ret=0
b4 "$tmp/long.mbox" >"$tmp/out" 2>&1 || ret=$?
echo "long author: b4 am: exit $ret: $(tail -n 1 "$tmp/out")"
[ $ret -ne 0 ] && grep -q '^ValueError: Header values may not contain linefeed' "$tmp/out"
