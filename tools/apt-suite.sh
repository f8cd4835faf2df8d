# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Sourced: look into another Debian suite without touching the user's apt setup.

# apt_suite SUITE [add]: fetch the package lists of SUITE into a directory of
# our own; with "add" those of the configured suites too.  Afterwards
# "${APT_SUITE[@]}" are the options that make apt use them.
apt_suite() {
	local dir=$CACHE/apt/$1 mirror keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	local signed=""

	mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial" "$dir/sources"
	# shellcheck disable=SC2016 # apt expands it
	# The mirror that this machine is set up for, else Debian's own
	mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
		grep -E '/debian/?$' | head -n 1 || true)
	mirror=${mirror:-http://deb.debian.org/debian}
	[ ! -f "$keyring" ] || signed="[signed-by=$keyring] "
	rm -f "$dir"/sources/*
	if [ "${2:-}" = add ]; then
		cp /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources \
			"$dir/sources/" 2>/dev/null || true
		[ ! -f /etc/apt/sources.list ] || cp /etc/apt/sources.list "$dir/sources/zz-main.list"
	fi
	echo "deb ${signed}$mirror $1 main" >"$dir/sources/vfio-reset-state.list"
	APT_SUITE=(-o "Dir::Etc::SourceList=/dev/null" -o "Dir::Etc::SourceParts=$dir/sources"
		-o "Dir::State::Lists=$dir/lists" -o "Dir::Cache=$dir/cache" -o "APT::Sandbox::User=")
	quietly "$CACHE/log/apt-$1.log" apt-get "${APT_SUITE[@]}" update ||
		die "cannot read the package lists of Debian's suite $1, see $CACHE/log/apt-$1.log"
}
