# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Sourced after lib.sh: the packages of Debian trixie and trixie-backports, whatever this machine itself runs. The package
# index is kept apart from the machine's own and is at most an hour old; what it says of kernels is in a short file of its own.

archive=$CACHE/apt
archive_apt=(-q -o "Dir::Etc=$archive/etc" -o "Dir::State=$archive/state" -o "Dir::Cache=$archive/cache"
	-o Dir::State::status=/dev/null -o Dir::Etc::sourcelist=sources.list -o Dir::Etc::sourceparts=/dev/null
	-o "Dir::Etc::trusted=/etc/apt/trusted.gpg" -o "Dir::Etc::trustedparts=/etc/apt/trusted.gpg.d"
	-o APT::Architecture=amd64 -o APT::Architectures=amd64 -o APT::Sandbox::User=root)

# A machine of another distribution has no Debian mirror configured; its root has the one that mmdebstrap chose.
archive_mirror() {
	local mirror
	mirror=$(machine_mirror)
	[ -n "$mirror" ] || mirror=$(awk '$1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /:\//) { print $i; exit } }' \
		"$("$REPO/scripts/root")/etc/apt/sources.list")
	echo "$mirror"
}

archive_refresh() {
	[ -n "$(find "$archive/stamp" -mmin -60 2>/dev/null)" ] && return
	lock archive
	[ -n "$(find "$archive/stamp" -mmin -60 2>/dev/null)" ] && return
	local mirror keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	mirror=$(archive_mirror)
	[ -e "$keyring" ] || keyring=$("$REPO/scripts/root")$keyring
	mkdir -p "$archive/etc/preferences.d" "$archive/state/lists/partial" "$archive/cache/archives/partial"
	printf "deb [signed-by=$keyring] $mirror %s main\n" "$SUITE" "$SUITE-backports" >"$archive/etc/sources.list"
	if (quietly apt-get "${archive_apt[@]}" -o APT::Update::Error-Mode=any update); then
		{
			apt-cache "${archive_apt[@]}" --no-all-versions show "linux-image-amd64/$SUITE-backports" |
				sed -n 's/^Depends:.*linux-image-\([0-9][^ ,]*\).*/default \1/p' | head -n 1
			apt-cache "${archive_apt[@]}" dumpavail |
				awk '$1 == "Package:" { p = $2 } $1 == "Version:" && p ~ /^linux-/ { print p, $2 }'
		} >"$archive/kernels.new"
		mv "$archive/kernels.new" "$archive/kernels"
		touch "$archive/stamp"
	elif [ -e "$archive/stamp" ]; then
		say "the mirror does not answer: going on with the package index of $(date -r "$archive/stamp")"
	else
		die "no package index"
	fi
}

# The release that linux-image-amd64 of backports depends on.
archive_default() { awk '$1 == "default" { print $2 }' "$archive/kernels"; }

# The newest release of each series whose source package is of the same version as its headers.
archive_releases() {
	awk '$1 ~ /^linux-source-[0-9.]+$/ { source[$2] = 1 }
		$1 ~ /^linux-headers-[0-9.]+\+deb13-amd64$/ && $2 ~ /~bpo/ { headers[substr($1, 15)] = $2 }
		END { for (release in headers) if (headers[release] in source) print release }' "$archive/kernels" | sort -V
}

# archive_version PACKAGE: its version, nothing when there is no such kernel package.
archive_version() { awk -v package="$1" '$1 == package { print $2 }' "$archive/kernels"; }

# archive_download PACKAGE...: into the current directory.
archive_download() { quietly apt-get "${archive_apt[@]}" download "$@"; }
