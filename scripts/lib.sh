# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
#
# Sourced by the other scripts: messages, the cache and its locks, packages of this machine.
#
# TCPCRYPT_CACHE (default ~/.cache/tcpcrypt) holds everything that is downloaded or built outside the clone. An entry's name
# ends in a hash of all that it was made from, and it appears under that name only when it is complete.

set -euo pipefail

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
CACHE=${TCPCRYPT_CACHE:-${HOME:-/root}/.cache/tcpcrypt}
SUITE=trixie
ME=${0##*/}
mkdir -p "$CACHE/lock"
CACHE=$(cd "$CACHE" && pwd -P)

say() { printf '%s: %s\n' "$ME" "$*" >&2; }
die() { say "$@"; exit 1; }

# Print the text of the comment at the head of the running script.
usage() { sed -n '3,/^[^#]/{/^#/!d;s/^# \{0,1\}//;p}' "$0"; }

# Short hash of the arguments and of the files named after "--".
key() {
	local -a words=()
	while [ $# -gt 0 ] && [ "$1" != -- ]; do words+=("$1"); shift; done
	[ $# -eq 0 ] || shift
	{ printf '%s\n' "${words[@]}"; [ $# -eq 0 ] || cat "$@"; } | sha256sum | cut -c1-12
}

# Entries of the cache: print the path of one that is there; print the path of a new one after giving it its name, and remove
# its predecessors that nobody used for a week.
entry() { [ -e "$1" ] && { touch -c "$1" 2>/dev/null || true; } && echo "$1"; }
entry_made() {
	local name=${2##*/}
	mv -T "$1" "$2"
	find "$CACHE" -maxdepth 1 -name "${name%-*}-*" ! -name "$name" -mtime +7 -exec rm -rf {} +
	echo "$2"
}

# Hold the named lock until this process (not its children) ends.
lock() {
	local fd
	exec {fd}>"$CACHE/lock/$1"
	flock -n "$fd" || { say "waiting for another run to finish with $1"; flock "$fd"; }
}

# Run a command quietly; show what it printed only when it fails.
quietly() {
	local log
	log=$(mktemp)
	if "$@" >"$log" 2>&1 </dev/null; then rm -f "$log"; else
		tail -n 60 "$log" >&2
		rm -f "$log"
		die "failed: $*"
	fi
}

# need COMMAND PACKAGE: install the package when the command is missing.
need() {
	command -v "$1" >/dev/null && return
	[ "$(id -u)" = 0 ] || die "$1 is missing: install the package $2, or run as root"
	say "installing $2"
	apt_update_once
	DEBIAN_FRONTEND=noninteractive quietly apt-get -q -y --no-install-recommends install "$2"
}

apt_update_once() {
	[ -n "${APT_UPDATED:-}" ] || quietly apt-get -q update
	APT_UPDATED=1
}

# The Debian mirror of this machine, from its own apt configuration; nothing on a machine of another distribution.
machine_mirror() {
	command -v apt-get >/dev/null && grep -qx 'ID=debian' /etc/os-release || return 0
	apt-get --print-uris update |
		sed -nE "/security|backports/d; s#^'((https?|file|copy|ftp):[^']*)/dists/[^/]*/main/binary-[^/]*/Packages.*#\1#p" | sed -n 1p
}
