# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034,SC2154 # read, and set, by tools/check-series
# Sphinx warns of nothing new in the .rst pages that the patch changes, and each is in a table of contents

NEEDS='sphinx-build python3-sphinx
python3 python3'
PAGES='^Documentation/.*\.rst$'

covers() { changed "$PAGES" >/dev/null; }
# Pages include the comments of the source
inputs() { cat "$RAW" "$RAW.headers"; echo "$BASE_TREE"; }
versions() { sphinx-build --version; }

# pages SIDE: those that the patch has changed, as they are there, with nothing else.
# Nothing is missing from them but what they refer to.
pages() {
	local dir=$SCRATCH/$1

	mkdir -p "$dir/Documentation"
	blobs "$1" "$dir" "$PAGES"
	sphinx "$dir"
}

# sphinx DIR: what it warns of in DIR/Documentation, read as pages of $WORK/check
sphinx() {
	local tree=$WORK/check

	cp "$tree/MAINTAINERS" "$1/"
	[ -e "$1/Documentation/index.rst" ] || printf 'Pages\n=====\n\n.. toctree::\n   :glob:\n\n   **\n' >"$1/Documentation/index.rst"
	(cd "$tree/Documentation" && srctree=$tree PYTHONDONTWRITEBYTECODE=1 PATH=/usr/bin:$PATH \
		sphinx-build -q -b dummy -c "$tree/Documentation" -d "$1/doctrees" "$1/Documentation" "$1/out") >"$1/log" 2>&1 || {
		cat "$1/log" >&2
		return 2
	}
	{ grep -vE "^Using |dot\(1\)|convert\(1\)|document isn't included in any toctree" "$1/log" || true; } | while read -r line; do
		# A page that is there, only not in this small copy
		if [[ $line =~ (nonexisting\ document|unknown\ document):?\ \'?([^\' ]*) ]] &&
			[ -e "$tree/Documentation/${BASH_REMATCH[2]}.rst" ]; then
			continue
		fi
		echo "${line#"$1/"}"
	done | sed -E 's/:[0-9]+:/:/' | sort
}

prove() {
	worktree_at check base
	mkdir -p "$SCRATCH/planted/Documentation/PCI"
	# shellcheck disable=SC2016 # that is reStructuredText
	printf '%s\n' 'Planted' '====' '' '.. no-such-directive:: x' '' 'See `nowhere`_.' >"$SCRATCH/planted/Documentation/PCI/planted.rst"
	sphinx "$SCRATCH/planted" >"$SCRATCH/log"
	cat "$SCRATCH/log"
	grep -q 'Title underline too short' "$SCRATCH/log" && grep -q 'no-such-directive' "$SCRATCH/log"
}

check() {
	local page index ret=0

	worktree_at check "$COMMIT^"
	pages old >"$SCRATCH/before" || return 2
	worktree_at check "$COMMIT"
	pages new >"$SCRATCH/now" || return 2
	adds "$SCRATCH/before" "$SCRATCH/now" || ret=1
	while read -r page; do
		[[ $page != */index.rst && -e $WORK/check/$page ]] || continue
		index=$WORK/check/${page%/*}/index.rst
		grep -qE "^ +(.*<)?$(basename "$page" .rst)>?\$" "$index" || { echo "$page is not in ${index#"$WORK/check/"}"; ret=1; }
	done < <(changed "$PAGES")
	return $ret
}
