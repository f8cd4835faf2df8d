# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034,SC2154 # read, and set, by tools/check-series
# coccicheck with the semantic patches of the kernel reports nothing new in the changed .c files

NEEDS='spatch coccinelle'
# The semantic patches are about the kernel's own functions
FILES='^(arch|block|crypto|drivers|fs|init|kernel|lib|mm|net|security|sound|virt)/.*\.c$'

covers() { changed "$FILES" >/dev/null; }
inputs() { cut -f1 "$RAW"; changed "$FILES"; }
versions() { spatch --version; tree_of base scripts/coccinelle; tree_of base scripts/coccicheck; }

# Each version of a file is looked at once: what is reported of it
REPORTS=$CACHE/check-series/cocci
report() { echo "$REPORTS/$1-$(sha256sum <"$RUN/version-cocci" | cut -c1-16)"; }

# versions_of: of the changed files, "BLOB PATH"
versions_of() {
	awk -v files="${FILES//\\/\\\\}" '$6 ~ files { if ($3 ~ /[1-9a-f]/) print $3, $6; print $4, $6 }' "$RAW"
}

# stock DIR: all semantic patches, several at once, on all files below; with one start
# of spatch for each of them, because that takes longer than most files do
stock() {
	local dir=$1 cocci n=0 tree=$SCRIPTS

	rm -rf "$dir.reports"
	mkdir -p "$dir.reports"
	while read -r cocci; do
		n=$((n + 1))
		[ $((n % 10)) -ne 1 ] || say "cocci: semantic patch $n of $(wc -l <"$dir.list"), $(find "$dir" -name '*.c' | wc -l) files"
		[ "$(jobs -rp | wc -l)" -lt "$JOBS" ] || wait -n || true
		(cd "$tree" && srctree=$tree srcroot=$dir KBUILD_EXTMOD=$dir MODE=report J=1 COCCI=$cocci \
			DEBUG_FILE=$dir.reports/$n.err SPFLAGS="--timeout 300" scripts/coccicheck) >"$dir.reports/$n" 2>&1 ||
			echo "${cocci#"$tree/"}" >>"$dir.reports/failed" &
	done <"$dir.list"
	wait
}

# The batch, with the planted file in it: proving starts spatch once, for one of them
prove() {
	mkdir -p "$SCRATCH/planted"
	printf '%s\n' '#include <linux/slab.h>' 'void planted(int *p);' 'void planted(int *p)' '{' '	if (p)' '		kfree(p);' '}' >"$SCRATCH/planted/planted.c"
	find "$SCRIPTS/scripts/coccinelle" -name ifnullfree.cocci >"$SCRATCH/planted.list"
	stock "$SCRATCH/planted"
	cat "$SCRATCH"/planted.reports/*
	grep -q 'planted.c:.*NULL check before' "$SCRATCH"/planted.reports/1
}

batch() {
	local dir=$SCRATCH/files blob path commit n=0

	mkdir -p "$dir" "$REPORTS"
	while read -r _ commit _; do
		RAW=$RUN/raw/$commit
		while read -r blob path; do
			[ ! -e "$(report "$blob")" ] || continue
			mkdir -p "$dir/$blob/$(dirname "$path")"
			git_k -C "$REPO" cat-file blob "$blob" >"$dir/$blob/$path"
		done < <(versions_of)
	done
	[ -n "$(ls "$dir")" ] || return 0
	find "$SCRIPTS/scripts/coccinelle" -name '*.cocci' -exec grep -lE 'virtual[[:space:]]+report' {} + | sort >"$dir.list"
	stock "$dir"
	[ ! -e "$dir.reports/failed" ] || {
		cp "$dir.reports/failed" "$LOGS/cocci-failed"
		cat "$dir.reports"/*.err >"$LOGS/cocci-failed.log"
		say "cocci: $(wc -l <"$dir.reports/failed") of $(wc -l <"$dir.list") semantic patches cannot run: $(xargs -n1 basename <"$dir.reports/failed" | xargs)"
		[ "$(wc -l <"$dir.reports/failed")" -lt $(($(wc -l <"$dir.list") / 4)) ] || return 1
	}
	for path in "$dir"/*; do
		blob=${path##*/}
		cat "$dir.reports"/*[0-9] | grep -F "$dir/$blob/" | sed -E "s|.*$dir/$blob/||; s/:[0-9]+(:[0-9]+-[0-9]+)?: /: /; s/ (on )?lines? [0-9, ]+//g" |
			sort >"$(report "$blob")" || true
	done
}

check() {
	local old new path

	: >"$SCRATCH/before"
	: >"$SCRATCH/now"
	while read -r _ _ old new _ path; do
		[[ $path =~ $FILES ]] || continue
		[[ $old != *[1-9a-f]* ]] || cat "$(report "$old")" >>"$SCRATCH/before"
		[[ $new != *[1-9a-f]* ]] || cat "$(report "$new")" >>"$SCRATCH/now"
	done <"$RAW"
	sort -o "$SCRATCH/before" "$SCRATCH/before"
	sort -o "$SCRATCH/now" "$SCRATCH/now"
	adds "$SCRATCH/before" "$SCRATCH/now"
}
