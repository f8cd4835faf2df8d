# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034,SC2154 # read, and set, by tools/check-series
# kernel-doc -none warns of nothing new in the changed files

NEEDS='python3 python3'
PARALLEL=yes
FILES='^[^.].*\.[ch]$'

covers() { changed "$FILES" >/dev/null; }
inputs() { cat "$RAW"; }
versions() { tree_of base tools/docs; tree_of base tools/lib/python; python3 --version; }

# kernel_doc DIR: what it warns of in all files below, without the numbers of lines
kernel_doc() {
	(cd "$1" && find . -type f -printf '%P\n' | sort |
		PYTHONDONTWRITEBYTECODE=1 xargs -r python3 "$SCRIPTS/tools/docs/kernel-doc" -none 2>&1) |
		grep . | sed -E 's/:[0-9]+ /: /' | sort
}

prove() {
	mkdir "$SCRATCH/planted"
	printf '%s\n' '/**' ' * planted() - a function' ' * @a: first' ' */' 'int planted(int a, int b)' '{' '}' >"$SCRATCH/planted/x.c"
	kernel_doc "$SCRATCH/planted" >"$SCRATCH/log"
	cat "$SCRATCH/log"
	grep -q "parameter 'b' not described" "$SCRATCH/log"
}

check() {
	blobs old "$SCRATCH/old" "$FILES"
	blobs new "$SCRATCH/new" "$FILES"
	kernel_doc "$SCRATCH/old" >"$SCRATCH/before"
	kernel_doc "$SCRATCH/new" >"$SCRATCH/now"
	adds "$SCRATCH/before" "$SCRATCH/now"
}
