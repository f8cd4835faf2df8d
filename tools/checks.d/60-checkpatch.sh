# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034,SC2154 # read, and set, by tools/check-series
# scripts/checkpatch.pl --strict --codespell says nothing

NEEDS='perl perl
codespell codespell'
PARALLEL=yes

covers() { :; }
inputs() { cat "$MAIL"; }
versions() {
	cat "$SCRIPTS"/scripts/{checkpatch.pl,spelling.txt,const_structs.checkpatch}
	# codespell says only its number
	codespell --version
}

# What the form check looks at, better because it knows the commits, is left out, and
# the sign-off, which is of who submits.  A python of a version manager lacks the
# dictionary of codespell.
run_checkpatch() {
	(cd "$SCRIPTS" && PATH=/usr/bin:$PATH scripts/checkpatch.pl --strict --no-tree --show-types --codespell \
		--ignore MISSING_SIGN_OFF,UNKNOWN_COMMIT_ID,FILE_PATH_CHANGES,GIT_COMMIT_ID "$1" 2>&1)
}

prove() {
	local mail=$SCRATCH/mail

	printf '%s\n' "From: A <a@localhost>" "Date: Thu, 1 Jan 2026 00:00:00 +0000" "Subject: [PATCH] x: y" "" \
		"A speling mistake, which the dicionary of codespell has: accomodate." "" --- " x.c | 1 +" \
		" 1 file changed, 1 insertion(+)" "" "diff --git a/x.c b/x.c" "--- a/x.c" "+++ b/x.c" \
		"@@ -1,1 +1,2 @@" " int a;" "+int b;  " >"$mail"
	! run_checkpatch "$mail" >"$SCRATCH/log"
	cat "$SCRATCH/log"
	grep -q 'ERROR:TRAILING_WHITESPACE' "$SCRATCH/log" && grep -q 'TYPO_SPELLING.*dicionary' "$SCRATCH/log"
}

check() {
	local ret=0

	run_checkpatch "$MAIL" >"$SCRATCH/log" || ret=1
	grep -q '^total: 0 errors, 0 warnings, 0 checks' "$SCRATCH/log" || ret=1
	# It has not come to an end
	grep -q '^total: ' "$SCRATCH/log" || { tail -n 3 "$SCRATCH/log"; return 2; }
	[ $ret -eq 0 ] || grep -A3 -E '^(WARNING|ERROR|CHECK):' "$SCRATCH/log" | grep -v '^$' || tail -n 5 "$SCRATCH/log"
	return $ret
}
