# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034,SC2153,SC2154 # read, and set, by tools/check-series
# Sourced by the checks that compile.  Each has a build directory of its own in the work
# tree $WORK/check, where make compiles what a patch concerns.  What the compiler says of
# a file is kept until the file is compiled again: so all warnings of a directory are
# known without compiling all of it.
#
# Such a check sets
#	BUILD		name of its build directory
#	MAKE_OPTIONS	array, for make: architecture and compiler
#	COMPILER	array, the command that compiles
#	CHECKER		array, instead of it, the command that is run on all that is compiled

MAKE_OPTIONS=() COMPILER=() CHECKER=()
# A directory of its own, but for those that are built together
SOURCES='^drivers/.*(\.[ch]|Kconfig|Makefile)$|^include/'
SELFTESTS='^tools/testing/selftests/vfio/.*(\.[ch]|\.mk|Makefile)$'
# User space is compiled by which of them
SELFTESTS_TOO=''

covers() {
	changed "$SOURCES" >/dev/null || { [ -n "$SELFTESTS_TOO" ] && changed "$SELFTESTS" >/dev/null; }
}

inputs() {
	echo "$BASE_TREE"
	cat "$RAW.headers"
	awk -F'\t' -v of="${SOURCES//\\/\\\\}|${SELFTESTS//\\/\\\\}" '$2 ~ of' "$RAW"
}

# dir_of FILE: the directory that make gets for it
dir_of() {
	case $1 in
	drivers/pci/* | drivers/vfio/*) cut -d/ -f1,2 <<<"$1" ;;
	*) dirname "$1" ;;
	esac
}

# all_dirs: those that any patch of the series changes a source of
all_dirs() {
	git_k -C "$REPO" diff --name-only base "$SERIES" -- 'drivers/*.c' | while read -r file; do dir_of "$file"; done | sort -u
}

# dirs_of: those of the patch; a header of include/ concerns all
dirs_of() {
	if changed '^include/' >/dev/null; then
		all_dirs
	else
		changed "$SOURCES" | while read -r file; do dir_of "$file"; done | sort -u
	fi
}

# The command that is put before the compiler
keeper() {
	local file=$CACHE/check-series/keep-warnings

	cat >"$file.tmp" <<-'EOF'
	#!/usr/bin/env bash
	# COMMAND...: runs it, and keeps below $KEEP_IN what it says of the .c file of $KEEP_OF
	src=''
	for arg; do
		case $arg in *.c) src=$arg ;; esac
	done
	[ -n "$src" ] && src=$(realpath -m --relative-to="$KEEP_OF" "$src")
	case $src in '' | ../*) exec "$@" ;; esac
	kept=$KEEP_IN/$src.said
	mkdir -p "${kept%/*}"
	ret=0
	"$@" 2>"$kept.$$" || ret=$?
	cat "$kept.$$" >&2
	mv "$kept.$$" "$kept"
	exit $ret
	EOF
	chmod +x "$file.tmp"
	cmp -s "$file.tmp" "$file" || mv "$file.tmp" "$file"
	echo "$file"
}

# kmake ARGUMENT...: in the build directory of the check
kmake() {
	local tree=$WORK/check keeper cc="${COMPILER[*]}"

	keeper=$(keeper)
	local options=("${MAKE_OPTIONS[@]}")
	! command -v ccache >/dev/null || cc="ccache $cc"
	if [ ${#CHECKER[@]} -gt 0 ]; then
		options+=("CC=$cc" C=1 "CHECK=$keeper ${CHECKER[*]}")
	else
		options+=("CC=$keeper $cc")
	fi
	KEEP_OF=$tree KEEP_IN=$tree/build-$BUILD/said make -k -C "$tree" O="$tree/build-$BUILD" \
		W=1 cmd_checkdoc= "${options[@]}" -j"$JOBS" "$@" 9>&-
}

# configured COMMIT: everything that can be, as modules, except for what makes a build
# slow or stops it at the first warning
configured() {
	local out=$WORK/check/build-$BUILD key with

	# Objects of another compiler are made again by themselves, but they are not checked
	# again by another checker, nor if a run was stopped between the two
	with=$( (printf '%s\n' "${MAKE_OPTIONS[@]}" "${CHECKER[@]}" && versions) | sha256sum)
	if [ "$(cat "$out/.with" 2>/dev/null)" != "$with" ] || { [ ${#CHECKER[@]} -gt 0 ] && [ -e "$out/.under-way" ]; }; then
		rm -rf "$out"
		mkdir -p "$out"
		echo "$with" >"$out/.with"
	fi
	key=$( (git_k -C "$REPO" ls-tree -r "$1" | grep -E 'Kconfig|\.kunitconfig'
		cat "$CHECKS/compile.sh") | sha256sum)
	[ "$(cat "$out/.of" 2>/dev/null)" != "$key" ] || return 0
	printf '# CONFIG_%s is not set\n' WERROR DEBUG_INFO_BTF GCC_PLUGINS KASAN KCSAN KMSAN KCOV UBSAN \
		MODVERSIONS GCOV_KERNEL RUST RANDSTRUCT_FULL FORTIFY_KUNIT_TEST >"$out/fragment"
	echo "CONFIG_DEBUG_INFO_NONE=y" >>"$out/fragment"
	cp "$out/.config" "$out/.config.before" 2>/dev/null
	kmake -s KCONFIG_ALLCONFIG="$out/fragment" allmodconfig >"$LOGS/$BUILD-config.log" 2>&1 ||
		{ echo "cannot configure $BUILD: $(tail -n 1 "$LOGS/$BUILD-config.log")"; return 1; }
	! cmp -s "$out/.config" "$out/.config.before" || cp -p "$out/.config.before" "$out/.config"
	echo "$key" >"$out/.of"
}

# compiled COMMIT DIR...: what is kept in these directories is what is said of COMMIT
compiled() {
	local commit=$1 out=$WORK/check/build-$BUILD dir todo=() log=$LOGS/$BUILD-${1/^/-before}.log ret=0 tree
	shift

	tree=$(git_k -C "$REPO" rev-parse "$commit^{tree}")
	for dir; do
		[ "$(cat "$out/at/$dir/.at" 2>/dev/null)" = "$tree" ] || todo+=("$dir")
	done
	worktree_at check "$commit"
	[ ${#todo[@]} -gt 0 ] || return 0
	configured "$commit" || return 2
	for dir in "${todo[@]}"; do rm -f "$out/at/$dir/.at"; done
	touch "$out/.under-way"
	kmake "${todo[@]/%//}" >"$log" 2>&1 || ret=$?
	rm "$out/.under-way"
	# objtool speaks of objects
	grep -E '^[^ ]*\.o: warning: objtool' "$log" | while read -r line; do
		dir=${line%%.o:*}
		[ ! -e "$out/said/$dir.c.said" ] || echo "$line" >>"$out/said/$dir.c.said"
	done
	forget_gone "${todo[@]}"
	# An error in a file is one of its warnings; any other says nothing of the patch
	if [ $ret -ne 0 ] && ! grep -qrE '(error|Error):|error generated' "$out/said"; then
		grep -E '\*\*\*|rror' "$log" | grep -v 'No rule to make target .*/.$' | head -n 3
		return 2
	fi
	for dir in "${todo[@]}"; do
		mkdir -p "$out/at/$dir"
		echo "$tree" >"$out/at/$dir/.at"
	done
}

# forget_gone DIR...: what is kept of files that this commit does not have
forget_gone() {
	local out=$WORK/check/build-$BUILD file dir

	for dir; do
		[ -d "$out/said/$dir" ] || continue
		while read -r file; do
			[ -e "$WORK/check/$dir/${file%.said}" ] || rm -f "$out/said/$dir/$file"
		done < <(find "$out/said/$dir" -name '*.said' -printf '%P\n')
	done
}

# selftests_compiled COMMIT: all of them again, because what depends on a header that
# is gone cannot be made; ccache has most
selftests_compiled() {
	local tree=$WORK/check out=$WORK/check/build-$BUILD dir=tools/testing/selftests/vfio key cc="${COMPILER[*]}" keeper

	worktree_at check "$1"
	key=$(tree_of "$1" $dir)
	[ "$(cat "$out/at-selftests" 2>/dev/null)" != "$key" ] || return 0
	configured "$1" || return 2
	if [ "$(cat "$out/at-headers" 2>/dev/null)" != "$(tree_of "$1" include/uapi)" ]; then
		kmake -s headers >"$LOGS/$BUILD-headers.log" 2>&1 || { tail -n 3 "$LOGS/$BUILD-headers.log"; return 2; }
		tree_of "$1" include/uapi >"$out/at-headers"
	fi
	rm -rf "$out/selftests" "$out/said/tools" "$out/at-selftests"
	mkdir -p "$out/selftests"
	! command -v ccache >/dev/null || cc="ccache $cc"
	keeper=$(keeper)
	KEEP_OF=$tree KEEP_IN=$out/said make -k -s -C "$tree/$dir" -j"$JOBS" OUTPUT="$out/selftests" CC="$keeper $cc" \
		KHDR_INCLUDES="-isystem $out/usr/include" >"$LOGS/$BUILD-selftests.log" 2>&1 9>&- ||
		grep -qrE '(error|Error):' "$out/said/$dir" || { tail -n 3 "$LOGS/$BUILD-selftests.log"; return 2; }
	echo "$key" >"$out/at-selftests"
}

# said DIR...: all warnings and errors, without the numbers of lines
said() {
	local dir

	for dir; do
		[ ! -d "$WORK/check/build-$BUILD/said/$dir" ] ||
			find "$WORK/check/build-$BUILD/said/$dir" -name '*.said' -exec cat {} +
	done | grep -E 'warning:|error:' | sed -E "s/:[0-9]+(:[0-9]+)?:/:/; s|^(\.\./)+||; s|$WORK/check/||g" | sort
}

# prove: a file with FAULT, which the compiler is to call FOUND
planted() {
	local tree=$WORK/check file=drivers/pci/planted ret=0

	worktree_at check base
	configured base || return 1
	printf '%s\n' "$1" >"$tree/$file.c"
	rm -rf "$tree/build-$BUILD/said/$file.c.said"
	kmake "$file.o" || true
	grep -E "$2" "$tree/build-$BUILD/said/$file.c.said" || ret=1
	rm -f "$tree/$file.c" "$tree/build-$BUILD/$file".* "$tree/build-$BUILD/drivers/pci/.planted."* \
		"$tree/build-$BUILD/said/$file.c.said"
	return $ret
}

prove() {
	# Only W=1 warns of it
	planted "$(printf '%s\n' 'int planted(void);' 'int planted(void)' '{' '	int unused;' '	unused = 1;' '	return 0;' '}')" \
		'unused.*set but not used'
}

# built: the changed .c files that this build compiles
built() {
	local file

	changed '\.c$' | while read -r file; do
		[ ! -e "$WORK/check/build-$BUILD/said/$file.said" ] || echo "$file"
	done
}

check() { compile_patch; }

compile_patch() {
	local dirs selftests='' missing

	mapfile -t dirs < <(dirs_of)
	[ -z "$SELFTESTS_TOO" ] || ! changed "$SELFTESTS" >/dev/null || selftests=tools/testing/selftests/vfio
	compiled "$COMMIT^" "${dirs[@]}" || return 2
	[ -z "$selftests" ] || selftests_compiled "$COMMIT^" || return 2
	said "${dirs[@]}" $selftests >"$SCRATCH/before"
	compiled "$COMMIT" "${dirs[@]}" || return 2
	[ -z "$selftests" ] || selftests_compiled "$COMMIT" || return 2
	said "${dirs[@]}" $selftests >"$SCRATCH/now"
	missing=$(comm -23 <(changed '^drivers/.*\.c$' | sort) <(built | sort))
	[ -z "$missing" ] || echo "not compiled in this configuration: $(xargs <<<"$missing")"
	adds "$SCRATCH/before" "$SCRATCH/now"
}
