# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034,SC2154 # read, and set, by tools/check-series
# the message: prefix and length of the subject, length of lines, tags, Fixes:, not too long

PARALLEL=yes

covers() { :; }
inputs() { cat "$MAIL" "$RAW" "$TOP/ci/known-commits"; prefixes_there; }
versions() { :; }

# How the commits of a directory begin: where it is, what they may begin with.  The
# longest directory counts; of what is not here nothing is known.
PREFIXES='
drivers/pci			PCI(/[A-Za-z0-9/-]+)?
drivers/pci/controller		PCI: [a-z0-9-]+
drivers/vfio			vfio
drivers/vfio/pci		vfio/pci|vfio-pci
drivers/vfio/pci/hisilicon	hisi_acc_vfio_pci|vfio/hisilicon
drivers/vfio/pci/mlx5		vfio/mlx5
drivers/vfio/pci/nvgrace-gpu	vfio/nvgrace-gpu|vfio/nvgrace
drivers/vfio/pci/pds		vfio/pds|pds-vfio-pci|vfio-pci/pds
drivers/vfio/pci/qat		vfio/qat
drivers/vfio/pci/virtio		vfio/virtio
drivers/vfio/pci/xe		vfio/xe
drivers/xen/xen-pciback		xen/pciback|xen-pciback|xen
drivers/bus/mhi/host		bus: mhi: host(: [a-z_]+)?
tools/testing/selftests/vfio	vfio: selftests|selftests/vfio|vfio/selftests
Documentation/PCI		Documentation: PCI|PCI(/[A-Z]+)?|docs: PCI
Documentation/driver-api	Documentation: [a-zA-Z]+|docs: driver-api|docs: vfio|vfio
'

# prefix_of FILE: what its directory, or the nearest one above it that is known, has
prefix_of() {
	local dir=$1 hit

	while [[ $dir == */* ]]; do
		dir=${dir%/*}
		hit=$(awk -v dir="$dir" '$1 == dir { $1 = ""; sub(/^ /, ""); print; exit }' <<<"$PREFIXES")
		[ -z "$hit" ] || { echo "$hit"; return; }
	done
}

# prefixes_there: what the newest commits that touch one of the files begin with, where
# the base has a history
prefixes_there() {
	[ "$(git_k -C "$REPO" rev-list -n 2 --count base)" -eq 2 ] || return 0
	cut -f2 "$RAW" | git_k -C "$REPO" --literal-pathspecs log -n 30 --no-merges --format=%s base --pathspec-from-file=- 2>/dev/null |
		sed -n 's/^\([^:]*\): .*/\1/p' | sort -u
}

# form MAIL: prints what is wrong with it, a line each, WARN: before what is only a warning
form() {
	local mail=$1 msg=$SCRATCH/msg subject file prefix known wanted=() id rest want tag words

	subject=$(subject_of "$mail")
	message "$mail" "$msg"
	known=$(prefixes_there)
	while read -r file; do
		prefix=$(prefix_of "$file")
		[ -z "$prefix" ] || wanted+=("$prefix")
	done < <(cut -f2 "$RAW")
	# A patch that changes several things has the prefix of one of them
	if [ ${#wanted[@]} -gt 0 ] && ! [[ $subject =~ ^($(IFS='|'; echo "${wanted[*]}")):\  ]] &&
		! grep -qxF -- "${subject%%: *}" <<<"$known"; then
		echo "the subject does not begin as others there do ($(printf '%s\n' "${wanted[@]}" | sort -u | xargs | tr ' ' '|')): $subject"
	fi
	[ ${#subject} -le 75 ] || echo "the subject has ${#subject} characters: $subject"
	[[ $subject != *. ]] || echo "the subject ends in a full stop: $subject"
	sed -n 1p "$msg" | grep -q '[^[:space:]]' || echo "the message has no text"
	# b4 0.12 takes it for the beginning of another mail, and drops the patch
	grep '^From ' "$msg" | sed 's/^/a line that begins with From: /' || :
	# Output of a program, code and addresses are not wrapped
	awk 'length($0) > 75 && !/^( |\t|[A-Z][A-Za-z-]+: |\[[0-9]+\] )/ && / / { print "a line of " length($0) " characters: " $0 }' "$msg"
	words=$(sed '/^[A-Z][A-Za-z-]*: [0-9a-f]\{12\}/d' "$msg" | wc -w)
	[ "$words" -le 320 ] || echo "WARN: the message has $words words, more than 320"
	while read -r tag; do
		echo "a tag that only a person can give: $tag"
	done < <(grep -iE '^(Signed-off|Reviewed|Tested|Acked|Reported|Suggested|Assisted|Co-developed|Debugged|Requested)-by:' "$msg")
	! grep -qiE '^Cc:.*stable' "$msg" || echo "Cc: stable is added by tools/export"
	grep -iE '^Fixes:' "$msg" | while read -r tag id rest; do
		if ! [[ $id =~ ^[0-9a-f]{12,40}$ ]]; then
			echo "Fixes: wants 12 digits or more, has: $id"
			continue
		fi
		want=$(sed -n "s/^${id:0:12}[0-9a-f]* //p" "$TOP/ci/known-commits")
		if [ -z "$want" ]; then
			echo "Fixes: $id is not in ci/known-commits"
		elif [ "$tag $rest" != "Fixes: (\"$want\")" ]; then
			echo "Fixes: $id has another subject than ci/known-commits: $rest"
		fi
	done
}

prove() {
	local mail=$SCRATCH/mail n

	RAW=$SCRATCH/raw
	printf ':100644 100644 1 1 M\tdrivers/pci/pci.c\n' >"$RAW"
	{
		printf '%s\n' "From: A <a@localhost>" "Date: Thu, 1 Jan 2026 00:00:00 +0000" \
			"Subject: [PATCH] pci: This subject is too long, it has more than the seventy-five characters allowed." "" \
			"A line of the message that is too long, because nobody has wrapped it where it should have been." "" \
			"From here on, b4 sees another mail." "" \
			"$(printf 'word %.0s' {1..14})"
		printf 'word word word word word word word word word word\n%.0s' {1..32}
		printf '%s\n' "" "Fixes: 12345 (\"short\")" "Fixes: 123456789abc (\"unknown\")" \
			"$(awk '/^[0-9a-f]/ { print "Fixes: " $1 " (\"another\")"; exit }' "$TOP/ci/known-commits")" \
			"Cc: stable@vger.kernel.org" "Reviewed-by: A <a@localhost>" --- "diff --git a/x b/x"
	} >"$mail"
	form "$mail" >"$SCRATCH/log"
	sed -n '1,4p' "$mail" | sed 's/too long.*/empty/' >"$mail-2"
	printf '%s\n' --- "diff --git a/x b/x" >>"$mail-2"
	form "$mail-2" >>"$SCRATCH/log"
	cat "$SCRATCH/log"
	for n in "begin as others" "the subject has" "full stop" "a line of" "words, more" "only a person" \
		"Cc: stable" "wants 12 digits" "not in ci/known" "another subject" "no text" "begins with From"; do
		grep -q "$n" "$SCRATCH/log" || { echo "not found: $n"; return 1; }
	done
}

check() {
	form "$MAIL" | sort >"$SCRATCH/log"
	cat "$SCRATCH/log"
	! grep -qv '^WARN: ' "$SCRATCH/log" || return 1
	[ ! -s "$SCRATCH/log" ] || return 3
}
