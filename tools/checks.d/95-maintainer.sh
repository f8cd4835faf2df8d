# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034,SC2154 # read, and set, by tools/check-series
# get_maintainer.pl finds a maintainer and a list for the changed files; THE REST does not count

NEEDS='perl perl'
PARALLEL=yes

covers() { :; }
inputs() { cat "$MAIL"; tree_of "$COMMIT" MAINTAINERS; }
versions() { cat "$SCRIPTS/scripts/get_maintainer.pl"; }

# maintainers COMMIT MAIL: those of the whole kernel left out, M: NAME <ADDRESS> (ROLE) and L: ADDRESS (ROLE)
maintainers() {
	git_k -C "$REPO" show "$1:MAINTAINERS" >"$SCRATCH/MAINTAINERS"
	(cd "$SCRIPTS" && scripts/get_maintainer.pl --no-tree --mpath "$SCRATCH/MAINTAINERS" --no-git --no-git-fallback \
		--no-fixes --no-s --roles "$2" 2>"$SCRATCH/err" </dev/null) | grep -vE 'THE REST|\(open list\)$' |
		sed -nE 's/^(.*\((maintainer|supporter|odd fixer|reviewer):.*)$/M: \1/p; s/^(.*\(.*list.*\).*)$/L: \1/p'
}

prove() {
	local mail=$SCRATCH/mail found

	printf '%s\n' "diff --git a/planted/x.c b/planted/x.c" "--- a/planted/x.c" "+++ b/planted/x.c" \
		"@@ -1,1 +1,2 @@" " int a;" "+int b;" >"$mail"
	found=$(maintainers base "$mail")
	echo "of a file that has none: $found"
	[ -z "$found" ] || return 1
	sed -i 's|planted/x.c|drivers/pci/pci.c|g' "$mail"
	found=$(maintainers base "$mail")
	echo "of drivers/pci/pci.c: $found"
	grep -q '^M: .*helgaas' <<<"$found" && grep -q '^L: linux-pci@' <<<"$found"
}

check() {
	local found ret=0

	found=$(maintainers "$COMMIT" "$MAIL")
	grep -q '^M: .*\(maintainer\|supporter\|odd fixer\)' <<<"$found" || { echo "no maintainer"; ret=1; }
	grep -q '^L: ' <<<"$found" || { echo "no list"; ret=1; }
	echo "$found"
	return $ret
}
