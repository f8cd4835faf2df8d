# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034,SC2154 # read, and set, by tools/check-series
# the patch applies with git am, as it is, on top of those before it

covers() { :; }
inputs() { cat "$MAIL" "$RAW"; }
versions() { git --version; }

# am_on COMMIT MAIL: in a tree that has only the files concerned
am_on() {
	scratch_tree "$1" "$2" && git_k -C "$WORK/apply" am --committer-date-is-author-date "$2" 2>&1
}

prove() {
	local bad=$SCRATCH/bad.patch

	sed 's/^ \(.*[a-z].*\)$/ \1 no such line/' "$TOP/patches/$(series_patches | head -n 1)" >"$bad"
	! am_on base "$bad"
	drop_scratch
}

check() {
	local ret=0

	am_on "$COMMIT^" "$MAIL" >"$SCRATCH/log" || ret=1
	if [ $ret -ne 0 ]; then
		grep -E '^error|^Patch failed' "$SCRATCH/log"
	elif ! git_k -C "$WORK/apply" diff --quiet HEAD "$COMMIT"; then
		echo "git am gives another tree than the series has"
		ret=1
	elif grep -q '^warning' "$SCRATCH/log"; then
		grep '^warning' "$SCRATCH/log"
		ret=3
	fi
	drop_scratch
	return $ret
}
