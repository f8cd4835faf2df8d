# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Sourced by ci/test: the checks.  Each calls ok, fail or skip once for each
# thing that it looked at.
# shellcheck disable=SC2153,SC2154 # $SERIES and $WORK come from tools/kernel.sh, $start
# from ci/test

ok() { passed=$((passed + 1)); echo "ok      $*"; }
fail() { failed=$((failed + 1)); echo "FAIL    $*"; failures+=("$*"); }
skip() { skipped=$((skipped + 1)); echo "skip    $*"; }

# try NAME COMMAND...: ok if it succeeds, else fail, with the end of its output
try() {
	local name=$1 log
	shift

	log=$LOGS/${name//[^A-Za-z0-9._-]/_}.log
	# Nothing may read what a loop reads
	if "$@" >"$log" 2>&1 </dev/null; then
		ok "$name"
	else
		fail "$name"
		tail -n 20 "$log" | sed 's/^/        /'
	fi
}

# refuses NAME EXIT_CODE TEXT COMMAND...: bad input is answered by this code
# and by one line that has TEXT
refuses() {
	local name=$1 code=$2 text=$3 log ret=0
	shift 3

	log=$LOGS/input-${name//[^A-Za-z0-9._-]/_}.log
	"$@" >"$log" 2>&1 || ret=$?
	if [ "$ret" -ne "$code" ]; then
		fail "input: $name: exit code $ret instead of $code"
	elif ! grep -q -- "$text" "$log"; then
		fail "input: $name: no line says \"$text\""
	elif [ "$(grep -c . "$log")" -gt 3 ] || grep -q "stopped by a failing command" "$log"; then
		fail "input: $name: more than one clear line"
	else
		ok "input: $name"
		return
	fi
	tail -n 5 "$log" | sed 's/^/        /'
}

shell_files() {
	git ls-files -co --exclude-standard | while read -r f; do
		case $f in selftests/vfio/*) continue ;; esac
		[ -f "$f" ] || continue
		case $f in *.sh) echo "$f"; continue ;; esac
		head -c 30 "$f" | grep -qa '^#!.*bash' && echo "$f"
	done
}

check_lint() {
	local f files

	mapfile -t files < <(shell_files)
	for f in "${files[@]}"; do
		try "shellcheck $f" shellcheck -x "$f"
	done
	try "the lab and the guest's init build without a warning" \
		make -B -s -C tools/lab OUT="$(mkdir -p "$LOGS/lab" && echo "$LOGS/lab")"
	# Paths of somebody's machine
	if git grep -nE '(^|[^A-Za-z0-9_.$}])/(home|root|work|tmp)/[a-z]' -- . ':!selftests/vfio' ':!patches' ':!ci/checks.sh' \
		>"$LOGS/words.log"; then
		fail "paths of one machine"
		sed 's/^/        /' "$LOGS/words.log"
	else
		ok "no paths of one machine"
	fi
}

# A shallow stand-in for a kernel tree, enough to be taken for one
fake_tree() {
	mkdir -p "$1/drivers/pci"
	touch "$1/MAINTAINERS" "$1/Kbuild" "$1/drivers/pci/pci.c"
	git -C "$1" init -q
	git -C "$1" add .
	git -C "$1" -c user.name=x -c user.email=x@localhost commit -q -m x
}

check_input() {
	local tmp=$LOGS/input first bad topic

	rm -rf "$tmp"
	mkdir -p "$tmp/empty"
	refuses "not a kernel tree" 2 "not a kernel tree" tools/prove --no-install --tree "$tmp/empty"
	refuses "no such directory" 2 "no directory" tools/prove --no-install --tree "$tmp/nowhere"
	fake_tree "$tmp/other"
	refuses "a tree where the first patch does not apply" 2 "does not apply" \
		env VRS_CACHE="$tmp/cache" tools/prove --no-install --tree "$tmp/other"
	if [ -z "$(git -C "$tmp/other" status --porcelain)" ] &&
		[ "$(git -C "$tmp/other" log --oneline | wc -l)" -eq 1 ] &&
		[ "$(git -C "$tmp/other" worktree list | wc -l)" -eq 1 ]; then
		ok "input: the tree it did not apply to is as it was"
	else
		fail "input: the tree it did not apply to was changed"
	fi
	echo dirty >"$tmp/other/Kbuild"
	refuses "dirty tree" 2 "uncommitted changes" tools/prove --no-install --tree "$tmp/other"
	refuses "unknown option" 2 "no such option" tools/prove --frobnicate
	refuses "unknown base" 2 "has no base" tools/prove --no-install --base v0.01
	refuses "unknown patch" 2 "no patch of the series" tools/prove --without no-such-patch
	refuses "unknown topic" 2 "there is no topic" tools/prove --topic no-such-topic
	refuses "unknown topic of export" 2 "there is no topic" tools/export --topic no-such-topic "$tmp/new"
	refuses "unknown topic of tree" 2 "there is no topic" tools/tree --topic no-such-topic "$tmp/new"
	refuses "continue without a move" 2 "no tools/move is under way" tools/move --continue "$tmp/other"
	refuses "unknown machine" 2 "no machine that matches" tools/prove --no-install --machine no-such-machine
	refuses "unknown test" 2 "no machine that matches" tools/prove --no-install --test no-such-test
	refuses "unknown control" 2 "names 0 of" tools/prove --control no-such-fix
	refuses "breaks that are not there" 2 "no patch is there" tools/prove --mutate "$tmp/no-such-file"
	refuses "a break and a control" 2 "excludes" tools/prove --mutate ci/mutations --control all
	refuses "tarball that is none" 2 "cannot unpack" \
		env VRS_CACHE="$tmp/cache" tools/prove --no-install --tarball tools/prove
	refuses "unreadable tarball" 2 "cannot read" tools/prove --no-install --tarball "$tmp/no.tar.xz"
	refuses "export into an existing directory" 2 "exists already" tools/export "$tmp"
	refuses "export signed by nobody" 2 "Name <address>" tools/export --submit somebody "$tmp/new"
	refuses "refresh from a tree without branches" 2 "has no branch" tools/refresh "$tmp/other"

	# A compiler, QEMU or b4 that is not there: a PATH without it
	mkdir -p "$tmp/bin"
	for f in /usr/bin/* /bin/*; do
		case ${f##*/} in gcc | qemu-system-x86_64 | b4) continue ;; esac
		[ -e "$tmp/bin/${f##*/}" ] || ln -s "$f" "$tmp/bin/${f##*/}"
	done
	for f in gcc qemu-system-x86; do
		refuses "missing $f" 1 "missing: $f" env PATH="$tmp/bin" tools/setup --no-install
	done
	refuses "missing b4" 1 "missing: b4" env PATH="$tmp/bin" tools/setup --no-install --ci
	# The same of another architecture, which nobody else needs
	mkdir -p "$tmp/bin-cross"
	for f in /usr/bin/* /bin/*; do
		case ${f##*/} in aarch64-linux-gnu-gcc | qemu-system-aarch64) continue ;; esac
		[ -e "$tmp/bin-cross/${f##*/}" ] || ln -s "$f" "$tmp/bin-cross/${f##*/}"
	done
	for f in gcc-aarch64-linux-gnu qemu-system-arm; do
		refuses "missing $f" 1 "missing: $f" env PATH="$tmp/bin-cross" tools/setup --no-install --arch arm64
	done
	refuses "missing gcc-aarch64-linux-gnu of build" 2 "missing: gcc-aarch64-linux-gnu" \
		env PATH="$tmp/bin-cross" tools/build --arch arm64 "$tmp/other"
	refuses "unknown architecture" 2 "no such architecture" tools/setup --no-install --arch vax
	refuses "machines of an unknown architecture" 2 "no machine that matches" tools/prove --no-install --arch vax

	# A package that is not the pinned one
	bad=$tmp/bad-base
	rm -rf "$bad"
	mkdir -p "$bad"
	cp -r tools patches "$bad/"
	sed -i 's/[0-9a-f]\{64\}/0000000000000000000000000000000000000000000000000000000000000000/' "$bad/tools/base.conf"
	refuses "wrong checksum" 2 "wrong checksum" env VRS_CACHE="$tmp/cache" "$bad/tools/base"

	# A full disk: a file system of 20 MB
	if mkdir -p "$tmp/full" && mount -t tmpfs -o size=20m tmpfs "$tmp/full" 2>/dev/null; then
		refuses "full disk" 2 "MB free" env VRS_CACHE="$tmp/full/cache" tools/base --tarball "$(find_source_tarball "$tmp")"
		umount "$tmp/full"
	else
		skip "input: full disk: cannot mount a small file system here"
	fi

	check_bad_series "$tmp/bad-series"
	check_conflict "$tmp"
	check_bad_trees "$tmp"
	check_guests_that_fail "$tmp"
}

# A series that is not complete or does not apply: the second patch is spoilt, ...
check_bad_series() {
	local bad=$1 first topic

	# A patch in the middle that does not apply is named, and nothing stays
	first=$(series_patches | sed -n 2p)
	rm -rf "$bad"
	mkdir -p "$bad"
	cp -r tools patches ci kconfig-fragments "$bad/"
	sed -i 's/^ \(.*[a-z].*\)$/ \1 no such line/' "$bad/patches/$first"
	refuses "a patch in the middle that does not apply" 2 "$first does not apply" \
		"$bad/tools/prove" --no-install
	if [ ! -e "$WORK/apply" ]; then
		ok "input: nothing of the failed series is left"
	else
		fail "input: $WORK/apply is left"
	fi
	rm "$bad/patches/$first"
	refuses "a patch file that is not there" 2 "differ" "$bad/tools/prove" --no-install
	rm -rf "$bad/patches"
	cp -r patches "$bad/"
	topic=$(topics | tail -n 1)
	sed -i "s/^$topic.*/$topic: 00-no-such-topic/" "$bad/patches/series"
	refuses "a topic whose need is not in patches/series" 2 "$topic needs 00-no-such-topic" \
		"$bad/tools/prove" --no-install --topic "$topic"
	cp patches/series "$bad/patches/"
	rm -rf "$bad/patches/stable"
	echo "6.0.y linux-source-6.0 sid - - v6.0.y stable" >>"$bad/tools/base.conf"
	refuses "a stable base without its patches" 2 "no patches/stable/6.0.y" "$bad/tools/prove" --no-install --base 6.0.y
}

# A tree with a history, in which upstream has changed what a patch changes, or
# has taken the file away
check_conflict() {
	local tree=$1/conflict patch file line commit

	user_tree "$tree"
	patch=$(series_patches | sed -n 1p)
	file=$(git apply --numstat "patches/$patch" | awk 'NR == 1 { print $3 }')
	git -C "$tree" apply "$TOP/patches/$patch"
	line=$(git -C "$tree" diff -U0 "$file" | awk '/^@@ -/ && !n++ { split(substr($2, 2), at, ","); print at[1] }')
	git -C "$tree" checkout -q .
	sed -i "$line,$((line + 1))s/\$/ \/* upstream *\//" "$tree/$file"
	git -C "$tree" commit -qam "Upstream has changed this"
	commit=$(git -C "$tree" log -1 --abbrev=12 --format=%h)
	refuses "a base where a patch conflicts" 2 "$patch does not apply.*$file.*$commit (\"Upstream has changed this\")" \
		tools/tree --tree "$tree" "$1/new"
	refuses "a move that conflicts" 1 "$patch does not apply.*$file.*$commit (\"Upstream has changed this\")" \
		tools/move --tree "$tree" "$1/moved"
	try "input: tools/move --abort" tools/move --abort "$1/moved"
	git -C "$tree" reset -q --hard origin/base
	# Without drivers/pci/pci.c it would be no kernel tree
	file=$(git apply --numstat patches/[0-9]*/*.patch | cut -f3 | grep -vx drivers/pci/pci.c |
		while read -r line; do [ ! -f "$tree/$line" ] || echo "$line"; done | sed -n 1p)
	git -C "$tree" rm -q "$file"
	git -C "$tree" commit -qm "Upstream has removed this"
	refuses "a tree without the source file" 2 "does not apply.*$file.*Upstream has removed this" tools/tree --tree "$tree" "$1/new"
	if [ -z "$(git -C "$tree" status --porcelain)" ] && [ ! -e "$1/new" ] && [ ! -e "$1/moved" ]; then
		ok "input: after conflicts, the tree is as it was and no other is there"
	else
		fail "input: conflicts leave something behind"
	fi
	rm -rf "$tree"
}

# Trees that tools/refresh does not take
check_bad_trees() {
	local tree=$1/bad-tree topic cover n

	user_tree "$tree"
	git -C "$tree" checkout -q -B series "$SERIES"
	git -C "$tree" branch -q -f base origin/base
	git -C "$tree" fetch -q origin "refs/notes/$NOTES:refs/notes/$NOTES"
	topic=$(topics | tail -n 1)
	cover=$(awk -v want="$topic" '$2 == want { print $1 }' "$SERIES_MAP")
	git -C "$tree" notes --ref "$NOTES" append -m "needs = 00-no-such-topic" "$cover"
	refuses "refresh with a need that is no topic" 2 "$topic needs 00-no-such-topic" tools/refresh --to "$1/refreshed" "$tree"
	git -C "$tree" notes --ref "$NOTES" add -f -m "topic = $topic" "$cover"
	git -C "$tree" config vrs.topic "$topic"
	refuses "refresh of one topic" 2 "has only topic $topic" tools/refresh --to "$1/refreshed" "$tree"
	git -C "$tree" config --unset vrs.topic
	git -C "$tree" notes --ref "$NOTES" remove "$(git -C "$tree" rev-list --reverse base..series | sed -n 2p)"
	refuses "refresh without a note" 2 "has no note" tools/refresh --to "$1/refreshed" "$tree"
	git -C "$tree" checkout -q -B series base
	git -C "$tree" cherry-pick "$(awk '$2 ~ /patch$/ { print $1; exit }' "$SERIES_MAP")" >/dev/null
	git -C "$tree" notes --ref "$NOTES" add -f -m "upstream = not sent" HEAD
	refuses "refresh with a patch before the first topic" 2 "before the first cover commit" \
		tools/refresh --to "$1/refreshed" "$tree"
	git -C "$tree" reset -q --hard base
	git -C "$tree" commit -q --allow-empty -m "A topic"
	git -C "$tree" notes --ref "$NOTES" add -f -m "topic = 10-long" HEAD
	for n in $(seq 16); do
		echo "$n" >>"$tree/MAINTAINERS"
		git -C "$tree" commit -qam "Patch $n"
		git -C "$tree" notes --ref "$NOTES" add -f -m "upstream = not sent" HEAD
	done
	refuses "refresh of a topic that is too long" 2 "16 patches, more than 15" tools/refresh --to "$1/refreshed" "$tree"
	[ ! -e "$1/refreshed/patches" ] || fail "input: a refused refresh has written patches"
	rm -rf "$tree"
}

# A tarball for the full disk: what is in it does not matter
find_source_tarball() {
	tar -C "$TOP" -cf "$1/source.tar" tools
	echo "$1/source.tar"
}

# lab_run LOG MACHINES OPTION...: the lab itself, on machines of a file
lab_run() {
	local log=$1 machines=$2
	shift 2

	"$CACHE/lab/lab" --machines "$machines" --kunit "$WORK/series/tools/testing/kunit/kunit.py" "$@" >"$log" 2>&1 9>&-
}

# Guests that panic, hang, print garbage or lack a test: distinct verdicts
check_guests_that_fail() {
	local tmp=$1 series=$WORK/series/build root=$1/root kind want ret=0

	worktree_at series "$SERIES"
	try "kernel for the guests that fail" tools/build "$WORK/series"
	try "programs for the guests that fail" tools/build --guest "$CACHE/lab" "$WORK/series"
	for kind in panic hang garbage; do
		rm -rf "$root"
		mkdir -p "$root"/{dev,proc,sys,tmp} "$tmp/$kind"
		gcc -static -O2 -o "$root/init" -DKIND_"${kind^^}" ci/bad-guest.c
		(cd "$root" && find . | cpio -o -H newc --quiet) >"$tmp/$kind/initrd"
		ln -sf "$series/vmlinux" "$tmp/$kind/vmlinux"
		case $kind in panic) want=PANIC ;; hang) want=HANG ;; garbage) want=ERROR ;; esac
		printf '[one]\nabout = a guest that fails\ntimeout = 15\nqemu = -device edu\ntest = nothing\n' >"$tmp/machine.conf"
		lab_run "$LOGS/guest-$kind.log" "$tmp/machine.conf" --provenance /dev/null \
			--out "$tmp/out-$kind" --kernel "series=$tmp/$kind"
		if [ $? -eq 1 ] && grep -q "^$want  *one/boot" "$LOGS/guest-$kind.log" &&
			[ -s "$tmp/out-$kind/one/series/console.log" ]; then
			ok "input: a guest that ends in $kind is reported as $want, its log kept"
		else
			fail "input: a guest that ends in $kind is not reported as $want"
		fi
	done || true
	check_um_that_fails "$tmp"
	printf '[one]\nabout = a device that QEMU lacks\nqemu = -device no-such-device\ntest = nothing\n' >"$tmp/machine.conf"
	lab_run "$LOGS/guest-lacks.log" "$tmp/machine.conf" --provenance /dev/null \
		--out "$tmp/out-lacks" --kernel "series=$series" || ret=$?
	if [ $ret -eq 1 ] && grep -q 'nothing was run' "$LOGS/guest-lacks.log" &&
		grep -q 'this QEMU has no device no-such-device' "$LOGS/guest-lacks.log"; then
		ok "input: a machine whose device QEMU lacks is skipped, with the reason, and nothing is proved"
	else
		fail "input: a machine whose device QEMU lacks"
	fi
}

# The same of User-Mode Linux, whose part a script plays here
check_um_that_fails() {
	local tmp=$1 kind want dir

	printf '[one]\nabout = a suite that fails\narch = um\ntimeout = 3\nsuite = any\n' >"$tmp/um.conf"
	while read -r kind want; do
		dir=$tmp/um-$kind
		rm -rf "$dir"
		mkdir -p "$dir"
		printf '#!/bin/sh\n' >"$dir/linux"
		chmod +x "$dir/linux"
		case $kind in
		panic) echo 'echo "Kernel panic - not syncing: on purpose"; exit 1' ;;
		hang) echo 'exec sleep 60' ;;
		garbage) echo 'echo "no KTAP"' ;;
		halt) echo 'echo "reboot: System halted"' ;;
		suite) printf 'echo "%s"\n' "KTAP version 1" "1..1" "    KTAP version 1" "    1..1" \
			"    ok 1 case" "not ok 1 any" "reboot: System halted" ;;
		compile) echo 'x.c:1: error: on purpose' >"$dir/linux.error" ;;
		esac >>"$dir/linux"
		lab_run "$LOGS/um-$kind.log" "$tmp/um.conf" --provenance /dev/null \
			--out "$tmp/out-um-$kind" --kernel "series=$dir"
		if [ $? -eq 1 ] && grep -q "^$want  *one/any/boot" "$LOGS/um-$kind.log"; then
			ok "input: User-Mode Linux that ends in $kind is reported as $want"
		else
			fail "input: User-Mode Linux that ends in $kind is not reported as $want"
		fi
	done < <(printf '%s\n' "panic PANIC" "hang HANG" "garbage ERROR" "halt ERROR" \
		"suite FAIL" "compile ERROR") || true
}

check_export() {
	local tmp=$LOGS/export base

	rm -rf "$tmp"
	mkdir -p "$tmp"
	try "tools/tree makes a tree" tools/tree "$tmp/tree"
	try "tools/refresh writes it" tools/refresh --to "$tmp/a" "$tmp/tree"
	try "patches/ is byte for byte what the commits give" diff -r --exclude=stable patches "$tmp/a/patches"
	try "selftests/vfio is byte for byte that of the series" diff -r --no-dereference selftests/vfio "$tmp/a/selftests/vfio"
	echo >>"$tmp/tree/MAINTAINERS"
	refuses "refresh from a dirty tree" 2 "uncommitted changes" tools/refresh --to "$tmp/b" "$tmp/tree"
	git -C "$tmp/tree" checkout -q MAINTAINERS
	git -C "$tmp/tree" -c user.name=x -c user.email=x@localhost commit -q --allow-empty -m 'fixup! x'
	refuses "refresh with a fixup left" 2 "squash" tools/refresh --to "$tmp/b" "$tmp/tree"
	rm -rf "$tmp/tree"
	for base in patches/stable/*/; do
		[ -d "$base" ] || continue
		base=$(basename "$base")
		if [ ! -f "$CACHE/work/$base/repo.git/imported" ]; then
			skip "export: patches/stable/$base: its base is not here (tools/base --base $base)"
			continue
		fi
		try "tools/tree --base $base" tools/tree --base "$base" "$tmp/$base"
		try "tools/refresh of $base" tools/refresh --to "$tmp/c" "$tmp/$base"
		try "patches/stable/$base is byte for byte what the commits give" \
			diff -r "patches/stable/$base" "$tmp/c/patches/stable/$base"
		try "tools/export --base $base" tools/export --base "$base" "$tmp/mails-$base"
		rm -rf "${tmp:?}/$base"
	done
}

# A complete, ordinary work tree of the base, as a user has it
user_tree() {
	rm -rf "$1"
	git clone -q --shared -b base "$WORK/repo.git" "$1"
	git -C "$1" config user.name x
	git -C "$1" config user.email x@localhost
}

breaks_apply() {
	local file

	for file in "$TOP"/ci/mutations/*.patch; do
		if ! grep -q '^rows: ' "$file" || ! git -C "$1" apply --check "$file"; then
			echo "$file"
			return 1
		fi
	done
}

same_tree() { [ "$(git -C "$1" rev-parse 'HEAD^{tree}')" = "$(git -C "$WORK/repo.git" rev-parse "$SERIES^{tree}")" ]; }

check_apply() {
	local tree=$LOGS/apply mails=$LOGS/mails topic

	user_tree "$tree"
	try "git am patches/*/0*.patch" git -C "$tree" am -q "$TOP"/patches/*/0*.patch
	try "git am gives the tree of the series" same_tree "$tree"
	try "ci/mutations apply, and say what to boot" breaks_apply "$tree"
	git -C "$tree" reset -q --hard origin/base
	rm -rf "$mails" "$mails-signed"
	try "tools/export makes mail" tools/export "$mails"
	while read -r topic; do
		try "b4 shazam applies $topic" env -C "$tree" b4 --offline-mode shazam -m "$mails/$topic/series.mbox"
	done < <(topics)
	git -C "$tree" am --abort 2>/dev/null || :
	try "b4 shazam gives the tree of the series" same_tree "$tree"
	try "tools/export signs for who submits" tools/export --submit "A Person <person@example.org>" \
		--assisted-by "LLM" "$mails-signed"
	if [ "$(grep -l '^Signed-off-by: A Person <person@example.org>$' "$mails-signed"/*/*.patch | wc -l)" -eq \
		"$(series_patches | grep -c .)" ] && ! grep -q "$AUTHOR_EMAIL" "$mails-signed"/*/*.patch; then
		ok "every exported mail carries the submitter's name and sign-off"
	else
		fail "an exported mail lacks the submitter's name or sign-off"
	fi
	if [ "$(grep -l '^Cc: stable@vger.kernel.org$' "$mails-signed"/*/*.patch | wc -l)" -eq \
		"$(grep -c '^stable *=' patches/provenance)" ]; then
		ok "what is for stable trees has its Cc"
	else
		fail "an exported mail lacks the Cc for stable trees"
	fi
	check_backport "$tree"
	rm -rf "$tree"
}

# backport TREE: the series on a tree of somebody who carries one patch already
backport() (
	base_from_tree "$1"
	trap 'rm -rf "$WORK"' EXIT
	series_commit
	git_k -C "$WORK/repo.git" notes --ref "$NOTES" show "$SERIES"
)

check_backport() {
	local tree=$1 file last log=$LOGS/backport.log

	file=$(series_patches | sed -n 2p)
	last=$(series_patches | tail -n 1)
	git -C "$tree" reset -q --hard origin/base
	git -C "$tree" am -q "$TOP/patches/$file"
	if backport "$tree" >"$log" 2>"$log.err" && grep -q "has these already: $file\$" "$log.err" &&
		[ "$(cat "$log")" = "$(provenance_of "$last")" ]; then
		ok "a tree that has a patch already gets the others, with their notes"
	else
		fail "a tree that has a patch already"
		tail -n 5 "$log.err" | sed 's/^/        /'
	fi
}

check_base() {
	local dir=$CACHE/download/debian-patches touched ours

	# The packaging of the pinned source: which files do its patches touch?
	if ! compgen -G "$dir/debian/patches/series" >/dev/null; then
		mkdir -p "$dir"
		if ! fetch_packaging "$dir" >"$LOGS/packaging.log" 2>&1; then
			skip "Debian's patches: their package cannot be had any more"
			return
		fi
	fi
	touched=$(grep -vE '^ *(#|$)' "$dir/debian/patches/series" | sed "s|^|$dir/debian/patches/|; s/ .*//" |
		xargs cat | sed -n 's|^+++ [^/]*/\([^ \t]*\).*|\1|p' | sort -u)
	ours=$(git_k -C "$WORK/repo.git" diff --name-only base "$SERIES" | sort -u)
	if [ -z "$touched" ]; then
		fail "Debian's patches: none found"
	elif [ -n "$(comm -12 <(echo "$touched") <(echo "$ours"))" ]; then
		fail "Debian's patches touch files of ours: $(comm -12 <(echo "$touched") <(echo "$ours") | xargs)"
	else
		ok "Debian's patches ($(wc -l <<<"$touched") files) touch none of our $(wc -l <<<"$ours") files"
	fi
}

fetch_packaging() {
	local version suite

	read -r _ _ suite version _ < <(base_rows)
	apt_suite "$suite"
	sed 's/^deb /deb-src /' "$CACHE/apt/$suite/sources/vfio-reset-state.list" \
		>"$CACHE/apt/$suite/sources/source.list"
	apt-get "${APT_SUITE[@]}" update &&
		(cd "$1" && apt-get "${APT_SUITE[@]}" source --download-only --diff-only "linux=$version") &&
		tar -xf "$1"/linux_*.debian.tar.xz -C "$1"
}

# checkpatch LOG PATCH
checkpatch() {
	# Fixes: is checked below, against the commits that we know
	# A python of a version manager lacks the dictionary of codespell
	(cd "$WORK/series" && PATH=/usr/bin:$PATH scripts/checkpatch.pl --strict --no-tree --show-types --codespell \
		--ignore MISSING_SIGN_OFF,UNKNOWN_COMMIT_ID,FILE_PATH_CHANGES,GIT_COMMIT_ID \
		"$TOP/patches/$2") >"$1" 2>&1 || echo "$2" >>"$LOGS/checkpatch.failed"
}

check_patches() {
	local patch log id subject rest

	worktree_at series "$SERIES"
	: >"$LOGS/checkpatch.failed"
	while read -r patch; do
		[ "$(jobs -rp | wc -l)" -lt "$JOBS" ] || wait -n
		checkpatch "$LOGS/checkpatch-${patch//\//_}.log" "$patch" &
	done < <(series_patches)
	wait
	while read -r patch; do
		log=$LOGS/checkpatch-${patch//\//_}.log
		if ! grep -qxF "$patch" "$LOGS/checkpatch.failed" && grep -q '^total: 0 errors, 0 warnings, 0 checks' "$log"; then
			ok "checkpatch --strict $patch"
		else
			fail "checkpatch --strict $patch"
			grep -A3 -E '^(WARNING|ERROR|CHECK):' "$log" | sed -n '1,20s/^/        /p'
		fi
		if grep -nE '^(Signed-off|Reviewed|Tested|Acked|Reported|Suggested|Assisted|Co-developed)-by:' "patches/$patch" >"$LOGS/tags.log"; then
			fail "$patch carries a tag that only a person can give: $(head -n 1 "$LOGS/tags.log")"
		else
			ok "no tags that only a person can give: $patch"
		fi
		if ! grep -qx "From: $AUTHOR_NAME <$AUTHOR_EMAIL>" "patches/$patch"; then
			fail "$patch is not from $AUTHOR_NAME: git commit --amend --author"
		fi
		# Every commit that a message names is one that we know, by its subject
		while read -r id; do
			subject=$(sed -n "s/^${id:0:12}[0-9a-f]* //p" ci/known-commits)
			if [ -z "$subject" ]; then
				fail "$patch names the commit $id, which ci/known-commits does not have"
			elif tr '\n' ' ' <"patches/$patch" | tr -s ' ' | grep -qF "$id (\"$subject\")"; then
				ok "$patch names $id (\"$subject\")"
			else
				rest=$(tr '\n' ' ' <"patches/$patch" | tr -s ' ' | grep -oF "$id" | wc -l)
				fail "$patch names $id $rest times, never as (\"$subject\")"
			fi
		done < <(sed '/^---$/,$d' "patches/$patch" | sed 1d | { grep -oE '\b[0-9a-f]{12,40}\b' || true; } | sort -u)
	done < <(series_patches)
}

# Documentation/driver-api/vfio-pci-reset-state.rst and the tests that its rows
# name: each is there, and names the page
check_policy() {
	local page=driver-api/vfio-pci-reset-state.rst tree=$WORK/series suites=0 tests=0
	local name file program='' fixture='' test bad=()

	worktree_at series "$SERIES"
	# PROGRAM/FIXTURE.TEST, further .TEST of the same fixture, SUITE.CASE
	while read -r name; do
		case $name in
		pci_*.*)
			suites=$((suites + 1)) file=${name%%.*}
			file=$tree/drivers/pci/tests/${file/pci_/pci-}-test.c
			grep -qE "KUNIT_CASE[A-Z_]*\\(${name#*.}[,)]" "$file" || bad+=("no case $name")
			continue
			;;
		.*) test=${name#.} ;;
		*)
			program=${name%%/*} fixture='' test=''
			[ "$program" = "$name" ] || fixture=${name#*/}
			case $fixture in *.*) test=${fixture#*.} fixture=${fixture%.*} ;; esac
			;;
		esac
		tests=$((tests + 1)) file=$tree/tools/testing/selftests/vfio/$program.c
		if ! grep -qF "Documentation/$page" "$file"; then
			bad+=("$program does not name the page")
		elif ! grep -qE "TEST(_F[A-Z_]*)?\\(${fixture:-.*}${test:+, $test}[,)]" "$file"; then
			bad+=("no test $program/$fixture${test:+.$test}")
		fi
	done < <(grep -oE '(vfio_pci_\w+_test(/\w+(\.\w+)?)?|\bpci_(state|msi|reset|restore|err|pm)\.\w+|(^|[ ,])\.[a-z]\w+)' \
		"$tree/Documentation/$page" | sed 's/^[ ,]*//')
	if [ ${#bad[@]} -gt 0 ]; then
		fail "$page: $(printf '%s; ' "${bad[@]}")"
	elif [ $suites -eq 0 ] || [ $tests -eq 0 ]; then
		fail "$page names no tests"
	else
		ok "$page and the $((tests + suites)) tests that it names agree"
	fi
}

# time_is_up: whether a run without arguments has taken as long as it may; then the
# rest is for the next one, which starts where this one has ended
time_is_up() { [ $((SECONDS - start)) -gt "$LIMIT" ]; }

# late CHECK: the same, said of a whole check
late() { time_is_up && left "$1" 1; }

# left CHECK N: that many things are not done
left() {
	[ "$2" -gt 0 ] || return 0
	skipped=$((skipped + $2 - 1))
	skip "$1: time is up with $2 to do: for the next run, or for ci/test $1"
}

check_lab() {
	prove_counts lab
}

check_without() {
	prove_counts without --without all
}

check_controls() {
	! late controls || return 0
	prove_counts controls --control all
}

# prove_counts NAME OPTION...: tools/prove, its rows counted one by one
prove_counts() {
	local name=$1 log=$LOGS/$1.log out=$LOGS/$1 f good bad skips ret=0
	shift

	rm -rf "$out"
	# The whole table is in the log; here, what of it is not as it should be
	tools/prove --no-install --out "$out" "$@" 2>&1 | tee "$log" |
		awk '/^(PASS|FAIL|SKIP|HANG|PANIC|ERROR|MISSING|-) / { on = /NOT AS IT SHOULD BE/ }
			on || !/^((PASS|FAIL|SKIP|HANG|PANIC|ERROR|MISSING|-) |        )/ { print "        " $0; fflush() }' || ret=$?
	while read -r f; do
		failures+=("$name: $f")
	done < <(sed -n 's/ *<-- NOT AS IT SHOULD BE.*//p' "$log")
	while read -r f; do
		good=$(grep -c '"id"' "$f" || true)
		bad=$(awk '/"id"/ { if (b) n++; b = 0 } /"as_expected": false/ && !/^  "/ { b = 1 } END { if (b) n++; print n + 0 }' "$f")
		skips=$(awk '/"id"/ { if (s) n++; s = 0 } /"verdict": "SKIP"/ { s = 1 } END { if (s) n++; print n + 0 }' "$f")
		passed=$((passed + good - bad - skips))
		failed=$((failed + bad))
		skipped=$((skipped + skips))
	done < <(find "$out" -name results.json)
	if [ "$ret" -eq 0 ] && [ -n "$(find "$out" -name results.json)" ]; then
		ok "tools/prove $*"
	else
		fail "tools/prove $* (see $log)"
	fi
}

# warnings_of LOG: the warnings in a build log, without line numbers
warnings_of() {
	grep -E 'warning:|error:' "$1" | sed -E 's/:[0-9]+(:[0-9]+)?:/:/g' | sort || true
}

# adds_no_warning NAME BEFORE NOW: two files of warnings_of
adds_no_warning() {
	comm -13 "$2" "$3" >"$LOGS/added-warnings"
	if [ ! -s "$LOGS/added-warnings" ]; then
		ok "$1"
	else
		fail "$1"
		sed 's/^/        /' "$LOGS/added-warnings"
	fi
}

# each_step: the patches in order, "COMMIT PATCH"; cover commits change nothing
each_step() {
	grep '\.patch$' "$SERIES_MAP"
}

# has_passed CHECK COMMIT and set_passed CHECK COMMIT: a commit that has passed,
# patches before it included, passes again, unless what builds it has changed
has_passed() { grep -qsxF "$2 $(made_with)" "$WORK/$1-passed"; }
set_passed() { echo "$2 $(made_with)" >>"$WORK/$1-passed"; }
made_with() {
	cat kconfig-fragments/*.config tools/{build,lib.sh,kernel.sh,machines.conf} tools/lab/*.[ch] tools/guest/*.c \
		ci/checks.sh | sha256sum | cut -c1-16
}

# changes COMMIT PATHSPEC...: whether this commit changes files there
changes() { ! git_k -C "$WORK/repo.git" diff --quiet "$1^" "$1" -- "${@:2}"; }

# What is compiled into the lab's kernel, or may be
KERNEL_FILES=(. ':!tools/testing/selftests' ':!Documentation' ':!MAINTAINERS' ':!drivers/pci/tests')

# kernel_doc TREE FILE...: what kernel-doc warns of
kernel_doc() {
	(cd "$1" && shift && { python3 tools/docs/kernel-doc -none "$@" 2>&1 || true; }) | sed -E 's/:[0-9]+ /: /' | sort -u
}

# concerned_dirs [COMMIT]: where the drivers are that the series changes
concerned_dirs() {
	echo "drivers/pci/ drivers/vfio/ $(git_k -C "$WORK/repo.git" diff --name-only base "${1:-$SERIES}" -- 'drivers/*.c' \
		':!drivers/pci' ':!drivers/vfio' | xargs -r -n1 dirname | sort -u | sed 's|$|/|' | xargs)"
}

# base_warnings DIRS: builds them of the base in $WORK/mutant, and keeps what it warns
# of in build/warnings.  What was compiled by an earlier run is not compiled, and
# warned of, again; under another configuration, other files are, and warn.
base_warnings() {
	local out=$WORK/mutant/build

	worktree_at mutant base
	try "the base builds" tools/build --only "$1" "$WORK/mutant"
	cmp -s "$out/.config" "$out/.config-base" || rm -f "$out/warnings" "$out/sparse-base"
	cp "$out/.config" "$out/.config-base"
	warnings_of "$CACHE/log/build-mutant.log" >>"$out/warnings"
	sort -uo "$out/warnings" "$out/warnings"
}

# check_topics: each topic, on top of what it needs and without the others
check_topics() {
	local topic commit map list=() later=() rest=0

	! late topics || return 0
	base_warnings "$(concerned_dirs)"
	user_tree "$LOGS/topic-tree"
	while read -r topic; do
		[ -z "${ONLY_TOPIC:-}" ] || [ "$topic" = "$ONLY_TOPIC" ] || continue
		read -r commit map < <(topic_commit "$topic" >&2 && echo "$APPLIED $APPLIED_MAP") || true
		if [ -z "$commit" ]; then
			fail "topic $topic does not apply on what it needs alone"
			continue
		fi
		ok "topic $topic applies on what it needs alone"
		# Those that have changed come first
		if has_passed topics "$(git_k -C "$WORK/repo.git" rev-parse "$commit^{tree}")"; then
			later+=("$topic $commit $map")
		else
			list+=("$topic $commit $map")
		fi
	done < <(topics)
	for topic in "${list[@]}" "${later[@]}"; do
		if time_is_up; then
			rest=$((rest + 1))
			continue
		fi
		# shellcheck disable=SC2086 # three words
		check_topic $topic
	done
	left topics $rest
	rm -rf "$LOGS/topic-tree"
}

# check_topic TOPIC COMMIT MAP
check_topic() {
	local topic=$1 commit=$2 cover fails=$failed key tree=$LOGS/topic-tree mails=$LOGS/mails-$1

	key=$(git_k -C "$WORK/repo.git" rev-parse "$commit^{tree}")
	if has_passed topics "$key"; then
		ok "topic $topic: passed before"
		return
	fi
	rm -rf "$mails"
	try "tools/export --topic $topic" tools/export --topic "$topic" "$mails"
	cover=$(awk -v want="$topic" '$2 == want { print $1 }' "$3")
	git -C "$tree" reset -q --hard "$cover^"
	try "b4 shazam of topic $topic" env -C "$tree" b4 --offline-mode shazam -m "$mails/series.mbox"
	try "b4 shazam of topic $topic gives its tree" test "$(git -C "$tree" rev-parse 'HEAD^{tree}')" = "$key"
	worktree_at mutant "$commit"
	try "topic $topic builds" tools/build --only "$(concerned_dirs "$commit")" "$WORK/mutant"
	adds_no_warning "topic $topic: W=1 adds no warning" "$WORK/mutant/build/warnings" \
		<(warnings_of "$CACHE/log/build-mutant.log" | sort -u)
	if ! git_k -C "$WORK/repo.git" diff --quiet base "$commit" -- tools/testing/selftests/vfio; then
		try "topic $topic: selftests build" tools/build --guest "$LOGS/lab" "$WORK/mutant"
	fi
	if time_is_up; then
		left "topic $topic: tools/prove --topic" 1
		return
	fi
	prove_counts "topic-$topic" --topic "$topic"
	[ "$failed" -ne "$fails" ] || set_passed topics "$key"
}

check_steps() {
	local commit patch fails n=0 rest=0 tree=$WORK/mutant out=$WORK/mutant/build log=$CACHE/log/build-mutant.log
	local dirs files docs

	! late steps || return 0
	dirs=$(concerned_dirs)
	base_warnings "$dirs"
	# Debian 12's sparse does not know __typeof_unqual__, and says nothing then
	sparse_make() {
		mapfile -t options < <(kmake_options)
		# shellcheck disable=SC2086 # several directories
		make -s -C "$tree" O="$out" ARCH=x86_64 "${options[@]}" -j"$JOBS" C=2 \
			CF=-D__typeof_unqual__=__typeof__ $dirs 9>&-
	}
	[ -e "$out/sparse-base" ] || {
		sparse_make >"$LOGS/sparse-base.log" 2>&1 || fail "sparse on the base"
		warnings_of "$LOGS/sparse-base.log" >"$out/sparse-base"
	}
	docs=$LOGS/kernel-doc-base
	mapfile -t files < <(git_k -C "$tree" diff --name-only base "$SERIES" -- '*.c' '*.h' ':!*/tests/*' ':!tools')
	kernel_doc "$tree" "${files[@]}" >"$docs"

	while read -r commit patch; do
		n=$((n + 1))
		if has_passed steps "$commit"; then
			ok "step $patch: passed before"
			continue
		fi
		if time_is_up; then
			rest=$((rest + 1))
			continue
		fi
		fails=$failed
		# What they show is cured by patches after them: here, they build
		if changes "$commit" drivers/pci/tests &&
			git_k -C "$tree" cat-file -e "$commit:drivers/pci/tests/.kunitconfig" 2>/dev/null; then
			worktree_at uml "$commit"
			try "step $patch: the KUnit suites build" tools/build --um "$WORK/uml"
			if grep -E 'drivers/pci/tests/.*warning:' "$CACHE/log/build-uml-um.log" >"$LOGS/kunit-w1-$n.log"; then
				fail "step $patch: the KUnit suites warn with W=1"
				sed 's/^/        /' "$LOGS/kunit-w1-$n.log"
			fi
		fi
		if changes "$commit" "${KERNEL_FILES[@]}" || changes "$commit" tools/testing/selftests drivers/pci/tests; then
			worktree_at mutant "$commit"
		fi
		mapfile -t files < <(git_k -C "$tree" diff --name-only --diff-filter=d "$commit^" "$commit" -- '*.c' '*.h' ':!tools')
		if [ ${#files[@]} -gt 0 ]; then
			kernel_doc "$tree" "${files[@]}" >"$LOGS/kernel-doc-$n"
			adds_no_warning "step $patch: kernel-doc" "$docs" "$LOGS/kernel-doc-$n"
		fi
		if changes "$commit" "${KERNEL_FILES[@]}"; then
			try "step $patch: builds" tools/build --only "$dirs" "$tree"
			adds_no_warning "step $patch: W=1 adds no warning" "$out/warnings" <(warnings_of "$log" | sort -u)
		elif changes "$commit" tools/testing/selftests; then
			try "step $patch: selftests build" tools/build --guest "$LOGS/lab" "$tree"
		fi
		[ "$failed" -ne "$fails" ] || set_passed steps "$commit"
	done < <(each_step)
	[ $n -eq "$(series_patches | grep -c .)" ] || fail "steps: $n commits, another number of patches"
	left steps $rest

	worktree_at mutant "$SERIES"
	if ! sparse_make >"$LOGS/sparse.log" 2>&1; then
		fail "sparse on the series"
	elif [ ! -s "$out/sparse-base" ]; then
		fail "sparse: no warning at all on the base, so it has checked nothing"
	else
		adds_no_warning "the series adds no sparse warning (the base has $(wc -l <"$out/sparse-base"))" \
			"$out/sparse-base" <(warnings_of "$LOGS/sparse.log")
	fi
}

check_drivers() {
	local tree=$WORK/mutant out=$WORK/mutant/build-allmod log=$LOGS/drivers.log dirs options

	! late drivers || return 0
	worktree_at mutant "$SERIES"
	mapfile -t options < <(kmake_options)
	mkdir -p "$out"
	dirs=$(concerned_dirs)
	# Not all of drivers/pci is free of warnings, and the lab's kernel has most of it
	dirs=${dirs#drivers/pci/ }
	allmod_make() { make -s -C "$tree" O="$out" ARCH=x86_64 "${options[@]}" -j"$JOBS" "$@" 9>&-; }
	# All there are; with CONFIG_WERROR, which this configuration has, a warning is an error
	# shellcheck disable=SC2086 # several directories
	if allmod_make allmodconfig >"$log" 2>&1 && allmod_make $dirs >>"$log" 2>&1 &&
		[ -e "$out/drivers/vfio/pci/mlx5/main.o" ]; then
		ok "allmodconfig: $dirs build with W=1"
	else
		fail "allmodconfig: $dirs do not build with W=1"
		grep -m10 -E 'error|warning' "$log" | sed 's/^/        /'
	fi
}

# with_arch ARCH: compiler and emulator are there
with_arch() {
	"$TOP/tools/setup" "${setup_opts[@]}" --arch "$1" ||
		die "install what is named above, or let ci/test do it (no --no-install)"
}

check_arm64() { with_arch arm64; prove_counts arm64 --arch arm64; kunit_arch arm64 arm64; }
check_s390x() { with_arch s390x; prove_counts s390x --arch s390x; kunit_arch s390x s390; }

# kunit_arch ARCH NAME: the KUnit suites on another architecture.  A software PCI
# hierarchy has its BARs in logic_iomem, which is User-Mode Linux's: with all but that,
# is there a suite?
kunit_arch() {
	local log=$LOGS/kunit-$1.log prefix out=$WORK/uml/build-kunit-$1

	worktree_at uml "$SERIES"
	read -r _ prefix _ < <(cross_of "$1")
	mkdir -p "$out"
	printf 'CONFIG_%s=y\n' KUNIT PCI PCI_MSI PCI_KUNIT_TEST >"$out/kunitconfig"
	if (cd "$WORK/uml" && tools/testing/kunit/kunit.py config --arch="$2" --cross_compile="$prefix" \
		--kunitconfig="$out/kunitconfig" --build_dir="$out") >"$log" 2>&1 9>&-; then
		fail "kunit.py --arch=$2 has the suites of drivers/pci, and no check runs them"
	elif grep -qx 'Missing: CONFIG_PCI_KUNIT_TEST=y' "$log"; then
		skip "kunit.py --arch=$2: the software PCI hierarchy is for User-Mode Linux only (logic_iomem)"
	else
		fail "kunit.py --arch=$2"
		tail -n 5 "$log" | sed 's/^/        /'
	fi
}

check_cross() {
	local arch karch prefix dirs tree=$WORK/mutant out log options

	worktree_at mutant "$SERIES"
	dirs=$(concerned_dirs)
	for arch in i386 arm64 s390x; do
		prefix='' karch=$arch
		if [ "$arch" != i386 ]; then
			with_arch "$arch"
			read -r karch prefix _ < <(cross_of "$arch")
		fi
		out=$tree/build-allmod-$arch log=$LOGS/cross-$arch.log
		mapfile -t options < <(kmake_options "$prefix")
		mkdir -p "$out"
		cross_make() {
			make -s -C "$tree" O="$out" ARCH="$karch" ${prefix:+CROSS_COMPILE="$prefix"} "${options[@]}" -j"$JOBS" "$@" 9>&-
		}
		# shellcheck disable=SC2086 # several directories
		if ! { cross_make allmodconfig && cross_make CONFIG_WERROR= $dirs; } >"$log" 2>&1; then
			fail "allmodconfig of $arch: $dirs do not build"
			grep -m10 -E 'error|warning' "$log" | sed 's/^/        /'
			continue
		fi
		# Not all of drivers/pci is free of warnings
		warnings_of "$log" | grep -F "$(git_k -C "$tree" diff --name-only base "$SERIES" -- '*.[ch]')" >"$log.warnings" || true
		if [ -s "$log.warnings" ]; then
			fail "allmodconfig of $arch: what the series changes has warnings with W=1"
			head -n 10 "$log.warnings" | sed 's/^/        /'
		else
			ok "allmodconfig of $arch: what the series changes in $dirs has no warning with W=1"
		fi
	done
	for arch in arm64 s390x; do
		try "the selftests build for $arch" tools/build --arch "$arch" --guest "$CACHE/lab" "$tree"
		[ -x "$tree/build-$arch/selftests/vfio_pci_device_test" ] || fail "the selftests for $arch have no programs"
	done
}

# boot_verdict N PATCH COMMIT: of the boot that was started before
boot_verdict() {
	wait "$boot_pid"
	boot_pid=''
	if grep -q '"id": "virtio/boot"' "$LOGS/boot-$1/results.json" &&
		! grep -qE 'NOT AS IT' "$LOGS/boot-$1.log"; then
		ok "boots $2"
		rm -rf "$LOGS/step-$1"
		set_passed boots "$3"
	else
		fail "does not boot: $2"
		tail -n 5 "$LOGS/boot-$1.log" | sed 's/^/        /'
	fi
}

check_boots() {
	local commit patch n=0 tree=$WORK/mutant boot_pid='' boot_of=() rest=0 log

	! late boots || return 0
	worktree_at series "$SERIES"
	try "boots: programs of the guests" tools/build --guest "$CACHE/lab" "$WORK/series"
	while read -r commit patch; do
		n=$((n + 1))
		changes "$commit" "${KERNEL_FILES[@]}" || continue
		if has_passed boots "$commit"; then
			ok "boots $patch: passed before"
			continue
		fi
		if time_is_up; then
			rest=$((rest + 1))
			continue
		fi
		worktree_at mutant "$commit"
		log=$LOGS/build-$n.log
		if ! tools/build "$tree" >"$log" 2>&1; then
			fail "does not build: $patch"
			grep -m5 error "$log" | sed 's/^/        /'
			continue
		fi
		# It boots while the next one is compiled
		[ -z "$boot_pid" ] || boot_verdict "${boot_of[@]}"
		boot_of=("$n" "$patch" "$commit")
		mkdir -p "$LOGS/step-$n"
		cp -L "$tree/build/vmlinux" "$LOGS/step-$n/"
		ln -sf "$WORK/series/build/initrd" "$LOGS/step-$n/initrd"
		lab_run "$LOGS/boot-$n.log" tools/machines.conf --provenance patches/provenance --machine virtio \
			--test vfio_pci_device_test --out "$LOGS/boot-$n" --kernel "series=$LOGS/step-$n" || true &
		boot_pid=$!
	done < <(each_step)
	[ -z "$boot_pid" ] || boot_verdict "${boot_of[@]}"
	left boots $rest
}

check_kunit() {
	local log=$LOGS/kunit.log counts missing

	! late kunit || return 0
	worktree_at uml "$SERIES"
	# As the documentation has it, and nothing else
	if ! (cd "$WORK/uml" && tools/testing/kunit/kunit.py run --kunitconfig=drivers/pci/tests \
		--build_dir=build-kunit --make_options CC="ccache gcc" --jobs "$JOBS") >"$log" 2>&1 9>&-; then
		fail "kunit.py run --kunitconfig=drivers/pci/tests"
		grep -E 'FAILED|rror' "$log" | sed -n '1,20s/^/        /p'
		return
	fi
	counts=$(grep 'Testing complete' "$log")
	echo "        ${counts#* }"
	passed=$((passed + $(sed -n 's/.*passed: \([0-9]*\).*/\1/p' <<<"$counts" | grep . || echo 0)))
	skipped=$((skipped + $(sed -n 's/.*skipped: \([0-9]*\).*/\1/p' <<<"$counts" | grep . || echo 0)))
	ok "kunit.py run --kunitconfig=drivers/pci/tests"
	# What is in no stanza of the lab would run nowhere else
	missing=$(sed -n 's/.*=* \[PASSED\] \(pci_[a-z]*\) ===*$/\1/p' "$log" |
		while read -r f; do grep -qE "^suite *= *$f\$" tools/machines.conf || echo "$f"; done)
	if [ -z "$missing" ]; then
		ok "tools/machines.conf has every suite"
	else
		fail "tools/machines.conf lacks the suites: $(xargs <<<"$missing")"
	fi
}

check_selftests() {
	worktree_at series "$SERIES"
	rm -rf "$LOGS/selftests"
	try "selftests/ builds against a kernel tree" \
		make -s -C selftests KDIR="$WORK/series" O="$LOGS/selftests"
	if [ -x "$LOGS/selftests/vfio_pci_device_test" ]; then
		ok "selftests/ gave programs"
	else
		fail "selftests/ gave no program"
	fi
	# There are headers of another tree already: that must not do
	refuses "selftests without a kernel tree" 2 "no kernel source tree" \
		make -s -C selftests KDIR="$LOGS" O="$LOGS/selftests"
}
