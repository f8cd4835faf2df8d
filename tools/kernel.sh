# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Sourced: the kernel trees.
#
# $WORK, one directory in the cache for each base, holds
#
#	repo.git	the base as a commit, with the series on top of it
#	base/ series/ mutant/	work trees of it, each with its build in build/
#	uml/		the one work tree where User-Mode Linux and the kernels of
#			other architectures are built, of whichever commit; the
#			kernels are kept with the others
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
	rm -rf "$WORK/repo.git" "$WORK/unpack"
	tmp=$WORK/unpack
	mkdir -p "$tmp"
	# A wrong file is named whether or not there is room for a right one
	[ -n "$(tar -tf "$tarball" 2>"$WORK/unpack.log" | head -n 1)" ] ||
		die "cannot unpack $tarball: $(head -n 1 "$WORK/unpack.log")"
	room "$CACHE" 12000
	say "unpacking $(basename "$tarball") (a minute, once)"
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

base_rows() { sed -e 's/[[:space:]]*#.*//' -e '/^$/d' "$TOP/tools/base.conf"; }

# base_from_debian [NAME]
base_from_debian() {
	local want=${1:-} name package suite version sha upstream own file id rows

	rows=$(base_rows)
	while read -r name package suite version sha upstream own <&3; do
		[ "$name" = "${want:-$name}" ] || continue
		# No other base can stand in for one with its own series, nor that one for it
		[ -n "$want" ] || [ "$own" != stable ] || continue
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
	--base) GET_BASE=(base_from_debian "$2"); choose_series "$2" ;;
	--tree) GET_BASE=(base_from_tree "$2") ;;
	--tarball) GET_BASE=(base_from_tarball "$2") ;;
	esac
}

# choose_series NAME: that of patches/stable/NAME, if this base has its own
choose_series() {
	local row

	row=$(base_rows | awk -v want="$1" '$1 == want')
	[ -n "$row" ] || die "tools/base.conf has no base $1; it has: $(base_rows | cut -d' ' -f1 | xargs)"
	[[ $row == *" stable" || -d $TOP/patches/stable/$1 ]] || return 0
	STABLE=stable/$1
	PROVENANCE=$TOP/patches/stable/$1/provenance
}

# get_base: the first one of tools/base.conf, or the chosen one; sets WORK and
# BASE_NAME
get_base() { "${GET_BASE[@]}"; }

# ---- the series on top of it ---------------------------------------------------

# check_series: what patches/series names is there, and nothing else
check_series() {
	local listed files topic need seen=' ' n patch known

	[ -f "$TOP/patches/series" ] || die "no patches/series: is this a complete clone?"
	if [ -n "$STABLE" ]; then
		[ -d "$TOP/patches/$STABLE" ] ||
			die "${STABLE#*/} wants a series of its own, and there is no patches/$STABLE (see tools/base.conf)"
		files=$(cd "$TOP/patches" && find "$STABLE" -name '*.patch' | sort)
	else
		files=$(cd "$TOP/patches" && find . -path ./stable -prune -o -name '*.patch' -printf '%P\n' | sort)
	fi
	listed=$(series_patches | sort)
	[ "$listed" = "$files" ] ||
		die "patches/series and the files differ: $(comm -3 <(echo "$listed") <(echo "$files") | xargs)"
	known=$(sed -n 's/^\[\(.*\.patch\)\]$/\1/p' "$PROVENANCE" | sort)
	[ "$listed" = "$known" ] ||
		die "${PROVENANCE#"$TOP/"} and the files differ: $(comm -3 <(echo "$listed") <(echo "$known") | xargs)"
	while read -r topic; do
		[ -f "$TOP/patches/$topic/cover-letter.txt" ] || die "no patches/$topic/cover-letter.txt"
		n=0
		while read -r patch; do
			n=$((n + 1))
			[[ $patch == "$topic/$(printf %04d $n)"-* ]] || die "patches/$topic has no patch $n"
		done < <(topic_patches "$topic")
		while read -r need; do
			[[ $seen == *" $need "* ]] ||
				die "patches/series: $topic needs $need, which is no topic before it"
		done < <(needs_of "$topic")
		seen+="$topic "
	done < <(topics)
}

# series_items [TOPIC...]: each topic, for its cover commit, and then its patches
series_items() {
	local topic all

	mapfile -t all < <(topics)
	[ $# -gt 0 ] || set -- "${all[@]}"
	for topic; do
		echo "$topic"
		topic_patches "$topic"
	done
}

# item_file ITEM: the mail of it
item_file() {
	case $1 in
	*.patch) echo "$TOP/patches/$1" ;;
	*) echo "$TOP/patches/$1/cover-letter.txt" ;;
	esac
}

# series_commit: the series on top of the base, as a commit; sets SERIES, and
# SERIES_MAP, a file with a line "COMMIT ITEM" for each commit
series_commit() {
	local items

	check_series
	mapfile -t items < <(series_items)
	apply_items "${items[@]}"
	[ -n "$APPLIED" ] || die "$APPLY_ERROR; nothing was changed"
	SERIES=$APPLIED
	SERIES_MAP=$APPLIED_MAP
}

# default_series: prints "WORK SERIES SERIES_MAP" of the default base
default_series() {
	local STABLE='' PROVENANCE=$TOP/patches/provenance WORK BASE_NAME SERIES SERIES_MAP

	base_from_debian ''
	series_commit
	echo "$WORK $SERIES $SERIES_MAP"
}

# topic_commit TOPIC: only this topic and what it needs, after series_commit; sets
# APPLIED and APPLIED_MAP
topic_commit() {
	local topics items n PICK_ON='' PICK_ON_MAP=''

	mapfile -t topics < <(with_needs "$1")
	# Topic by topic: others begin with the same ones
	for ((n = 1; n <= ${#topics[@]}; n++)); do
		mapfile -t items < <(series_items "${topics[@]::n}")
		pick_items "${items[@]}"
		[ -n "$APPLIED" ] ||
			die "$APPLY_ERROR: \"needs\" of $1 lacks something; nothing was changed"
		PICK_ON=$APPLIED PICK_ON_MAP=$APPLIED_MAP
	done
}

# kunit_commit: only the tests of the series on top of the base, after
# series_commit; sets KUNIT_BASE, empty if they do not apply
kunit_commit() {
	local items

	mapfile -t items < <(test_patches)
	[ ${#items[@]} -eq 0 ] || pick_items "${items[@]}"
	# shellcheck disable=SC2034 # for tools/prove
	KUNIT_BASE=${APPLIED:-}
}

# test_patches: those that change tests and documentation and, of all else, only
# the lines that hook drivers/pci/tests in: no kernel is another one for them
test_patches() {
	local patch

	while read -r patch; do
		awk '/^diff --git / { body = 0
				test = $4 ~ /^b\/(Documentation|drivers\/pci\/tests|tools\/testing)\// || $4 == "b/MAINTAINERS" }
			/^@@ / { body = 1; next }
			!body || test || !/^[-+]/ || /^-- $/ { next }
			/^\+source "drivers\/pci\/tests\/Kconfig"$/ || /^\+obj-.*\+= tests\/$/ || /^\+$/ { next }
			{ exit 1 }' "$TOP/patches/$patch" && echo "$patch"
	done < <(series_patches) || true
}

# applied KEY: whether that was applied before; sets APPLIED and APPLIED_MAP
applied() {
	APPLY_REF=refs/series/$1
	APPLIED_MAP=$WORK/repo.git/map-$1
	APPLIED=''
	[ ! -f "$APPLIED_MAP" ] || APPLIED=$(git_k -C "$WORK/repo.git" rev-parse -q --verify "$APPLY_REF" || true)
	[ -n "$APPLIED" ]
}

# applied_is TREE: what is there is remembered
applied_is() {
	APPLIED=$(git_k -C "$1" rev-parse HEAD)
	mv "$APPLIED_MAP.tmp" "$APPLIED_MAP"
	git_k -C "$WORK/repo.git" update-ref "$APPLY_REF" "$APPLIED"
	drop_scratch
}

# apply_failed ITEM LOG: what stopped in $WORK/apply, as APPLY_ERROR
apply_failed() {
	local tmp=$WORK/apply

	APPLY_ERROR="$1 does not apply to ${BASE_NAME:-the base} ($(conflict_of "$tmp" base "$(subject_of "$(item_file "$1")")" "$2"))"
	APPLIED=''
	drop_scratch
}

# apply_items ITEM...: on top of the base, as commits; sets APPLIED and
# APPLIED_MAP, or APPLY_ERROR.  Applied in a work tree that has only the files
# concerned, so that a patch that fails leaves nothing behind, and files keep
# their time stamps.  Where the lines around it have changed, git merges it (-3).
apply_items() {
	local key tmp=$WORK/apply item files=() run=() n

	for item; do
		files+=("$(item_file "$item")")
	done
	key=$( (git_k -C "$WORK/repo.git" rev-parse base
		printf '%s\n' "$@" && cat "${files[@]}" "$PROVENANCE" "$TOP/patches/series") | sha256sum | cut -c1-32)
	! applied "$key" || return 0
	say "applying $(printf '%s\n' "$@" | grep -c '\.patch$') patches to ${BASE_NAME:-the base}"
	mapfile -t run < <(printf '%s\n' "${files[@]}" | grep '\.patch$')
	scratch_tree base "${run[@]}"
	run=()
	for item in "$@" ''; do
		case $item in *.patch) run+=("$item"); continue ;; esac
		# The topic before is complete
		[ ${#run[@]} -eq 0 ] || git_k -C "$tmp" am -q -3 --committer-date-is-author-date "${run[@]/#/$TOP/patches/}" \
			>"$WORK/am.log" 2>&1 || {
			n=$(cat "$(git_k -C "$tmp" rev-parse --absolute-git-dir)/rebase-apply/next" 2>/dev/null || echo 1)
			apply_failed "${run[n - 1]}" "$WORK/am.log"
			return
		}
		run=()
		[ -z "$item" ] || cover_commit "$tmp" "$item"
	done
	map_items "$tmp" "$@"
	applied_is "$tmp"
}

# map_items TREE ITEM...: writes the map of base..HEAD, and its notes
map_items() {
	local tmp=$1 commit subject item there=() n=1
	shift

	while read -r commit subject; do
		# git am skips a patch all of which is there
		while [ $n -le $# ] && [ "$(subject_of "$(item_file "${!n}")")" != "$subject" ]; do
			there+=("${!n}")
			n=$((n + 1))
		done
		[ $n -le $# ] || die "no patch of the series became the commit: $subject"
		item=${!n}
		n=$((n + 1))
		attach_note "$tmp" "$item" "$commit"
		echo "$commit $item"
	done < <(git_k -C "$tmp" log --reverse --format='%H %s' base..HEAD) >"$APPLIED_MAP.tmp"
	there+=("${@:n}")
	[ ${#there[@]} -eq 0 ] || say "WARNING: ${BASE_NAME:-the base} has these already: ${there[*]}"
}

# pick_items ITEM...: some of the series, picked from its commits; sets APPLIED
# and APPLIED_MAP, or APPLY_ERROR.  PICK_ON has the first of them already, as
# PICK_ON_MAP says.
pick_items() {
	local key tmp=$WORK/apply item commit files wanted

	wanted=$(printf '%s\n' "$@")
	key=$(sha256sum <<<"$SERIES $wanted" | cut -c1-32)
	! applied "$key" || return 0
	cp "${PICK_ON_MAP:-/dev/null}" "$APPLIED_MAP.tmp"
	wanted=$(grep -vxFf <(cut -d ' ' -f 2- "$APPLIED_MAP.tmp") <<<"$wanted")
	mapfile -t files < <(grep '\.patch$' <<<"$wanted")
	say "picking ${#files[@]} patches for ${BASE_NAME:-the base}"
	scratch_tree "${PICK_ON:-base}" "${files[@]/#/$TOP/patches/}"
	while read -r commit item; do
		grep -qxF -- "$item" <<<"$wanted" || continue
		GIT_COMMITTER_DATE=$(git_k -C "$tmp" log -1 --format=%aI "$commit") \
			git_k -C "$tmp" cherry-pick --keep-redundant-commits "$commit" >"$WORK/pick.log" 2>&1 || {
			apply_failed "$item" "$WORK/pick.log"
			return 0
		}
		attach_note "$tmp" "$item" HEAD
		echo "$(git_k -C "$tmp" rev-parse HEAD) $item"
	done <"$SERIES_MAP" >>"$APPLIED_MAP.tmp"
	applied_is "$tmp"
}

# subject_of MAIL: the subject of its commit
subject_of() {
	git_k mailinfo /dev/null /dev/null <"$1" | sed -n 's/^Subject: //p'
}

# cover_text MAIL: subject and text of a cover letter, without what git adds
cover_text() {
	subject_of "$1"
	echo
	awk '!body { body = /^$/; next } /^.* \([0-9]+\):$/ { exit }
		/^$/ { blank = blank "\n"; next } { printf "%s%s\n", blank, $0; blank = "" }' "$1"
}

# cover_commit TREE TOPIC: the empty commit that a topic begins with
cover_commit() {
	local file date

	file=$(item_file "$2")
	date=$(sed -n 's/^Date: //p;/^$/q' "$file")
	cover_text "$file" | GIT_AUTHOR_DATE=$date GIT_COMMITTER_DATE=$date \
		git_k -C "$1" commit -q --allow-empty --no-verify --cleanup=whitespace -F -
}

# conflict_of TREE BASE SUBJECT LOG: the files that a patch conflicts in, and
# where there is a history, the upstream commit that changed them
conflict_of() {
	local tree=$1 base=$2 files file text

	mapfile -t files < <(git_k -C "$tree" diff --name-only --diff-filter=U)
	if [ ${#files[@]} -gt 0 ]; then
		text="conflict in ${files[*]}"
	else
		mapfile -t files < <(sed -n 's/^error: patch failed: \(.*\):[0-9]*$/\1/p; s/^error: \(.*\): does not exist in index$/\1/p' "$4" | sort -u)
		text=$(sed -n 's/^error: //p' "$4" | head -n 1)
	fi
	if [ "$(git_k -C "$tree" log -n 20000 --format=%s "$base" | grep -cxF -- "$3")" -gt 0 ]; then
		text+=", a commit of that subject is there already"
	fi
	for file in "${files[@]}"; do
		text+=$(upstream_of "$tree" "$base" "$file")
	done
	echo "${text:-$(tail -n 1 "$4")}"
}

# upstream_of TREE BASE FILE: the newest commit of BASE that touched the lines of
# the first conflict in FILE, or FILE at all; nothing without a history
upstream_of() {
	local tree=$1 base=$2 file=$3 lines commit=''

	[ "$(git_k -C "$tree" rev-list -n 2 --count "$base")" -eq 2 ] || return 0
	# The lines of ours in the conflict, as numbers of what is there
	lines=$(awk 'FNR == NR { have[++n] = $0; next }
		/^<<<<<<< / && !in_it { in_it = 1; next }
		in_it == 1 && (/^=======$/ || /^\|\|\|\|\|\|\| /) { exit }
		in_it == 1 { want[++m] = $0 }
		END { for (i = 1; m && i <= n - m + 1; i++) {
			for (k = 1; k <= m && have[i + k - 1] == want[k]; k++) ;
			if (k > m) { print i "," i + m - 1; exit }
		} }' <(git_k -C "$tree" show "HEAD:$file" 2>/dev/null) "$tree/$file" 2>/dev/null || true)
	[ -z "$lines" ] || commit=$(git_k -C "$tree" blame --porcelain -L "$lines" HEAD -- "$file" 2>/dev/null |
		awk 'length($1) == 40 { c = $1 } /^committer-time / { t[c] = $2 } END { for (c in t) print t[c], c }' |
		sort -rn | while read -r _ commit; do
			! git_k -C "$tree" merge-base --is-ancestor "$commit" "$base" || { echo "$commit"; break; }
		done)
	[ -n "$commit" ] || commit=$(git_k -C "$tree" log -1 --format=%H "$base" -- "$file")
	[ -z "$commit" ] || git_k -C "$tree" log -1 --format=', last changed upstream by %h ("%s")' "$commit"
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

# note_of ITEM: what is known of it, as the git note of its commit has it
note_of() {
	local needs

	if [[ $1 != *.patch ]]; then
		echo "topic = $1"
		needs=$(needs_of "$1" | xargs)
		[ -z "$needs" ] || echo "needs = $needs"
	fi
	provenance_of "$1"
}

# attach_note TREE ITEM COMMIT
attach_note() {
	git_k -C "$1" notes --ref "$NOTES" add -f -m "$(note_of "$2")" "$3" 2>/dev/null ||
		die "cannot add a git note in $1"
}

# clone_tree DIR: a kernel tree to work in, from $WORK/repo.git, with objects of
# its own: the cache may go.  Nothing is checked out yet.
clone_tree() {
	git_k clone -q --no-checkout "${@:2}" "$WORK/repo.git" "$1"
	git_k -C "$1" fetch -q origin "+refs/notes/$NOTES:refs/notes/$NOTES" 2>/dev/null || true
	git_k -C "$1" update-ref refs/heads/base "$(git_k -C "$WORK/repo.git" rev-parse base)"
	git_k -C "$1" remote remove origin
	git_k -C "$1" config user.name "$AUTHOR_NAME"
	git_k -C "$1" config user.email "$AUTHOR_EMAIL"
	git_k -C "$1" config core.notesRef "refs/notes/$NOTES"
	git_k -C "$1" config notes.rewriteRef "refs/notes/$NOTES"
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
