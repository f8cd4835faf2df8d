# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Sourced: the kernel trees.
#
# $WORK, one directory in the cache for each base, holds
#
#	repo.git	the base as a commit, with the series on top of it
#	base/ series/ mutant/	work trees of it, each with its build in build/
#	uml/		the one work tree where User-Mode Linux is built, of
#			whichever commit; the kernels are kept with the others
#
# A build directory below its source tree keeps all paths relative, so that
# ccache and make see the same compilation in every work tree.

# shellcheck source=tools/apt-suite.sh
. "$TOP/tools/apt-suite.sh"

# Commits made from the same patches are the same commits everywhere
git_k() {
	GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=$AUTHOR_NAME GIT_AUTHOR_EMAIL=$AUTHOR_EMAIL \
	GIT_COMMITTER_NAME=$AUTHOR_NAME GIT_COMMITTER_EMAIL=$AUTHOR_EMAIL git -c core.abbrev=12 -c gc.auto=0 \
		-c advice.detachedHead=false -c core.hooksPath=/dev/null "$@" 9>&-
}

# ---- the base ----------------------------------------------------------------

# import_source ID TARBALL MESSAGE: one commit with the unpacked tarball
import_source() {
	local id=$1 tarball=$2 message=$3 tmp

	WORK=$CACHE/work/$id
	[ ! -f "$WORK/repo.git/imported" ] || return 0
	room "$CACHE" 12000
	say "unpacking $(basename "$tarball") (a minute, once)"
	rm -rf "$WORK/repo.git" "$WORK/unpack"
	tmp=$WORK/unpack
	mkdir -p "$tmp"
	tar -xf "$tarball" -C "$tmp" --strip-components=1 2>"$WORK/unpack.log" ||
		die "cannot unpack $tarball: $(head -n 1 "$WORK/unpack.log")"
	is_kernel_tree "$tmp" || die "no kernel source in $tarball"
	# Debian ignores the whole top level: new files could not be added
	if grep -qx '/\*' "$tmp/.gitignore" 2>/dev/null; then
		rm "$tmp/.gitignore"
	fi
	git_k init -q --bare "$WORK/repo.git"
	(
		export GIT_DIR=$WORK/repo.git GIT_WORK_TREE=$tmp
		export GIT_AUTHOR_DATE="2026-01-01T00:00:00Z" GIT_COMMITTER_DATE="2026-01-01T00:00:00Z"
		cd "$tmp"
		git_k -c core.looseCompression=1 add -A -f .
		git_k commit -q -m "$message"
		git_k branch -f base HEAD
	) || die "cannot import $tarball"
	rm -rf "$tmp"
	touch "$WORK/repo.git/imported"
}

# fetch_package PACKAGE SUITE VERSION SHA256: prints the file; 1: not to be had
fetch_package() {
	local package=$1 suite=$2 version=$3 sha=$4 dir=$CACHE/download file

	mkdir -p "$dir"
	# A file that was fetched before is as good, once it is verified
	for file in "$dir/${package}_"*.deb; do
		if [ "$sha" != - ] && [ -f "$file" ] &&
			echo "$sha  $file" | sha256sum --status -c -; then
			echo "$file"
			return
		fi
	done
	command -v apt-get >/dev/null ||
		die "no apt-get here to fetch $package: name a kernel with --tree or --tarball"
	apt_suite "$suite"
	if [ "$version" = - ]; then
		version=$(apt-cache "${APT_SUITE[@]}" policy "$package" |
			sed -n 's/.*Candidate: //p' | grep -v none || true)
		[ -n "$version" ] || return 1
	fi
	say "fetching $package $version from Debian's $suite (160 MB)"
	(cd "$dir" && quietly "$CACHE/log/fetch.log" \
		apt-get "${APT_SUITE[@]}" download "$package=$version") || return 1
	# apt leaves the epoch out of a file's name
	file=$(find "$dir" -name "${package}_${version#*:}_*.deb" | head -n 1)
	[ -n "$file" ] || return 1
	if [ "$sha" != - ] && ! echo "$sha  $file" | sha256sum --status -c -; then
		rm -f "$file"
		die "wrong checksum: $package $version is not the file that is pinned in tools/base.conf; it was deleted"
	fi
	echo "$file"
}

# base_from_debian [NAME]
base_from_debian() {
	local want=${1:-} name package suite version sha upstream file id rows

	rows=$(sed -e 's/[[:space:]]*#.*//' -e '/^$/d' "$TOP/tools/base.conf")
	[ -z "$want" ] || grep -q "^$want " <<<"$rows" ||
		die "tools/base.conf has no base $want; it has: $(cut -d' ' -f1 <<<"$rows" | xargs)"
	while read -r name package suite version sha upstream <&3; do
		[ -z "$want" ] || [ "$name" = "$want" ] || continue
		WORK=$CACHE/work/$name
		BASE_NAME=$upstream
		[ ! -f "$WORK/repo.git/imported" ] || return 0
		file=$(fetch_package "$package" "$suite" "$version" "$sha") || {
			# 1: not to be had; anything else was said already
			[ $? -eq 1 ] || exit 2
			say "WARNING: $package $version can no longer be had from $suite, trying the next base"
			continue
		}
		[ "$sha" != - ] ||
			say "WARNING: this is NOT the pinned base: $(basename "$file"), signed by Debian, of no pinned checksum"
		id=$(basename "$file" .deb)
		mkdir -p "$WORK"
		dpkg-deb --fsys-tarfile "$file" |
			tar -xO --wildcards './usr/src/linux-source-*.tar.xz' >"$WORK/source.tar.xz" ||
			die "no kernel source in $file"
		import_source "$name" "$WORK/source.tar.xz" "$upstream as in $id"
		rm -f "$WORK/source.tar.xz"
		return 0
	done 3<<<"$rows"
	die "no kernel source can be had from Debian: name one with --tree or --tarball"
}

# base_from_tree DIR: the user's own tree, of which nothing is changed
base_from_tree() {
	local dir head

	dir=$(cd "$1" 2>/dev/null && pwd -P) || die "no directory $1"
	is_kernel_tree "$dir" || die "not a kernel tree: $1"
	git -C "$dir" rev-parse -q --verify HEAD >/dev/null 2>&1 ||
		die "$1 is no git tree: use git init and commit, or --tarball"
	[ -z "$(git --no-optional-locks -C "$dir" status --porcelain --untracked-files=no | head -n 1)" ] ||
		die "$1 has uncommitted changes: commit or stash them first"
	head=$(git -C "$dir" rev-parse HEAD)
	WORK=$CACHE/work/tree-$(echo "$dir" | sha256sum | cut -c1-12)
	BASE_NAME="$(git -C "$dir" describe --always 2>/dev/null || echo "$head") of $dir"
	if [ ! -d "$WORK/repo.git" ]; then
		mkdir -p "$WORK"
		# Borrows the user's objects, writes only to its own directory
		git_k clone -q --bare --shared "$dir" "$WORK/repo.git" ||
			die "cannot clone $1"
	elif ! git_k -C "$WORK/repo.git" cat-file -e "$head" 2>/dev/null; then
		git_k -C "$WORK/repo.git" fetch -q "$dir" HEAD ||
			die "cannot fetch from $1: remove $WORK and try again"
	fi
	git_k -C "$WORK/repo.git" branch -q -f base "$head"
}

# base_from_tarball FILE
base_from_tarball() {
	[[ -f $1 && -r $1 ]] || die "cannot read $1"
	BASE_NAME=$(basename "$1")
	import_source "tarball-$(sha256sum "$1" | cut -c1-12)" "$1" "$BASE_NAME"
}

# choose_base OPTION ARGUMENT: which of them get_base shall get; the options are
# those of every tool that wants a base
GET_BASE=(base_from_debian)
choose_base() {
	[ -n "$2" ] || die "$1 wants an argument (see --help)"
	case $1 in
	--base) GET_BASE=(base_from_debian "$2") ;;
	--tree) GET_BASE=(base_from_tree "$2") ;;
	--tarball) GET_BASE=(base_from_tarball "$2") ;;
	esac
}

# get_base: the first one of tools/base.conf, or the chosen one; sets WORK and
# BASE_NAME
get_base() { "${GET_BASE[@]}"; }

# ---- the series on top of it ---------------------------------------------------

# check_series: every patch that patches/series names is there, and no other
check_series() {
	local listed files

	[ -f "$TOP/patches/series" ] || die "no patches/series: is this a complete clone?"
	listed=$(series_patches | sort)
	files=$(find "$TOP/patches" -name '*.patch' -printf '%f\n' | sort)
	[ "$listed" = "$files" ] ||
		die "patches/series and the files differ: $(comm -3 <(echo "$listed") <(echo "$files") | xargs)"
}

# series_commit: the series on top of the base, as a commit; sets SERIES
series_commit() {
	local patches

	check_series
	mapfile -t patches < <(series_patches)
	apply_patches "${patches[@]}"
	SERIES=$APPLIED
	[ -n "$SERIES" ] || die "$APPLY_ERROR; nothing was changed"
}

# kunit_commit: only the patches of topic kunit on top of the base, which need
# none of the others; sets KUNIT_BASE, empty if they do not apply
kunit_commit() {
	local patches

	mapfile -t patches < <(topic_patches kunit)
	apply_patches "${patches[@]}"
	# shellcheck disable=SC2034 # for tools/prove
	KUNIT_BASE=$APPLIED
}

# apply_patches PATCH...: on top of the base, as a commit; sets APPLIED, or
# APPLY_ERROR.  Applied in a work tree that has only the files concerned, so
# that a patch that fails leaves nothing behind, and files keep their time stamps.
# Where the lines around it have changed, git merges it (-3), as "git am -3" would.
apply_patches() {
	local key tmp=$WORK/apply n=0 ref where commit subject patch skipped_patches
	local -A patch_of=()

	key=$( (git_k -C "$WORK/repo.git" rev-parse base
		cd "$TOP/patches" && cat "$@" provenance) | sha256sum | cut -c1-32)
	ref=refs/series/$key
	if git_k -C "$WORK/repo.git" rev-parse -q --verify "$ref" >/dev/null; then
		APPLIED=$(git_k -C "$WORK/repo.git" rev-parse "$ref")
		return
	fi

	say "applying $# patches to ${BASE_NAME:-the base}"
	scratch_tree base "${@/#/$TOP/patches/}"
	git_k -C "$tmp" am -q -3 --committer-date-is-author-date "${@/#/$TOP/patches/}" \
		>"$WORK/am.log" 2>&1 || {
		n=$(cat "$(git_k -C "$tmp" rev-parse --absolute-git-dir)/rebase-apply/next" 2>/dev/null || echo 1)
		where=$(git_k -C "$tmp" diff --name-only --diff-filter=U | xargs)
		where=${where:+conflict in $where}
		subject=$(subject_of "$TOP/patches/${*:n:1}")
		if git_k -C "$tmp" log -n 20000 --format=%s base | grep -qxF -- "$subject"; then
			where+=${where:+, }'a commit of that subject is there already'
		fi
		git_k -C "$tmp" am --abort >/dev/null 2>&1 || true
		drop_scratch
		APPLIED=''
		APPLY_ERROR="patch $n does not apply to ${BASE_NAME:-the base}: ${*:n:1} (${where:-$(sed -n 's/^error: //p' "$WORK/am.log" | head -n 1)})"
		return
	}
	for patch; do
		patch_of[$(subject_of "$TOP/patches/$patch")]=$patch
	done
	while read -r commit subject; do
		[ -n "${patch_of[$subject]:-}" ] || die "no patch of patches/series became the commit: $subject"
		attach_note "$tmp" "${patch_of[$subject]}" "$commit"
		patch_of[$subject]=''
	done < <(git_k -C "$tmp" log --reverse --format='%H %s' base..HEAD)
	# git am skips a patch all of which is there
	skipped_patches=$(printf '%s\n' "${patch_of[@]}" | sort | xargs)
	[ -z "$skipped_patches" ] || say "WARNING: ${BASE_NAME:-the base} has these already: $skipped_patches"
	APPLIED=$(git_k -C "$tmp" rev-parse HEAD)
	drop_scratch
	git_k -C "$WORK/repo.git" update-ref "$ref" "$APPLIED"
}

# subject_of PATCH_FILE: the subject of its commit
subject_of() {
	git_k mailinfo /dev/null /dev/null <"$1" | sed -n 's/^Subject: //p'
}

# scratch_tree COMMIT PATCH_FILE...: $WORK/apply shows of the commit only the
# files that the patches touch; drop_scratch ends that
scratch_tree() {
	local tmp=$WORK/apply commit=$1
	shift

	drop_scratch
	git_k -C "$WORK/repo.git" worktree add -q --no-checkout --detach "$tmp" "$commit"
	git_k apply --numstat "$@" | cut -f3 | sort -u |
		git_k -C "$tmp" sparse-checkout set --no-cone --stdin
	git_k -C "$tmp" checkout -q
}

drop_scratch() {
	rm -rf "$WORK/apply"
	git_k -C "$WORK/repo.git" worktree prune
}

NOTES=vfio-reset-state

# attach_note TREE PATCH COMMIT: what patches/provenance says of a patch, as a git
# note of its commit
attach_note() {
	local text

	text=$(provenance_of "$2")
	[ -n "$text" ] || die "patches/provenance says nothing of $2"
	git_k -C "$1" notes --ref "$NOTES" add -f -m "$text" "$3" 2>/dev/null ||
		die "cannot add a git note in $1"
}

# worktree_at NAME COMMIT: the work tree $WORK/NAME shows COMMIT; files that
# are the same keep their time stamps
worktree_at() {
	local dir=$WORK/$1

	if [ ! -e "$dir/.git" ]; then
		room "$WORK" 6000
		git_k -C "$WORK/repo.git" worktree prune
		rm -rf "$dir"
		git_k -C "$WORK/repo.git" worktree add -q -f --no-checkout --detach "$dir" "$2" ||
			die "cannot make the work tree $dir"
		mkdir -p "$WORK/repo.git/info"
		grep -qx /build "$WORK/repo.git/info/exclude" 2>/dev/null ||
			echo /build >>"$WORK/repo.git/info/exclude"
	fi
	# A run that was killed here leaves a lock; ours is $CACHE/lock
	rm -f "$(git_k -C "$dir" rev-parse --git-dir)/index.lock"
	git_k -C "$dir" checkout -q -f --detach "$2" || die "cannot check out $2 in $dir"
}

# kunit_run LOG [OPTION...]: the KUnit suites of drivers/pci, with kunit.py, in
# the one work tree for User-Mode Linux, configured as the lab has it
kunit_run() {
	local log=$1 fragments options
	shift

	mapfile -t fragments < <(um_fragments "$WORK/uml")
	mapfile -t options < <(kmake_options)
	(cd "$WORK/uml" && tools/testing/kunit/kunit.py run --kunitconfig=drivers/pci/tests \
		"${fragments[@]/#/--kunitconfig=}" "${options[@]/#/--make_options=}" --build_dir=build-um \
		--jobs "$JOBS" "$@") >"$log" 2>&1 9>&-
}
