#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Install the packages that are missing: deps.sh PURPOSE PACKAGE...
#
# An argument `command=package` asks for the package only where the command is missing. Says in one line what it is about
# to install and why. No service is left started or enabled. Without Debian or without root it prints the list.
set -euo pipefail

purpose=$1
shift

wanted=()
for item in "$@"; do
    if [[ $item == *=* ]]; then
        command -v "${item%%=*}" >/dev/null || wanted+=("${item#*=}")
    else
        wanted+=("$item")
    fi
done
[[ ${#wanted[@]} -gt 0 ]] || exit 0

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "deps: not a Debian system; to $purpose, this is needed (Debian's names): ${wanted[*]}" >&2
    exit 0
fi

# make asks for two purposes at once; apt-get runs alone. (Essential packages bring flock.)
exec 9<"${BASH_SOURCE[0]}"
flock 9

# dpkg-query fails when it knows nothing of one of them, which is what we ask.
installed=" $({ dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${wanted[@]}" 2>/dev/null || true; } |
    awk '$2 == "installed" { print $1 }' | tr '\n' ' ') "
missing=()
for package in "${wanted[@]}"; do
    [[ $installed == *" $package "* ]] || missing+=("$package")
done
[[ ${#missing[@]} -gt 0 ]] || exit 0

as_root=()
if [[ $(id -u) -ne 0 ]]; then
    if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [[ -t 0 ]]; }; then
        as_root=(sudo)
    else
        echo "deps: to $purpose, install these as root: apt-get install --no-install-recommends ${missing[*]}" >&2
        exit 1
    fi
fi

echo "deps: installing ${missing[*]} to $purpose"

# Packages of servers start them; a policy that refuses keeps them still while we install.
policy=/usr/sbin/policy-rc.d
made_policy=
if [[ ! -e $policy ]]; then
    made_policy=yes
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod 755 "$policy"
fi
trap '[[ -z $made_policy ]] || "${as_root[@]}" rm -f "$policy"' EXIT

log=$(mktemp)
install() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        -o DPkg::Lock::Timeout=600 "${missing[@]}" </dev/null 9<&- >"$log" 2>&1
}
update() {
    "${as_root[@]}" apt-get update </dev/null 9<&- >"$log" 2>&1 || true
}

have_lists=$(find /var/lib/apt/lists -maxdepth 1 \( -name '*_Packages' -o -name '*_Packages.lz4' \) 2>/dev/null | head -n 1)
[[ -n $have_lists ]] || update
if ! install; then
    update
    if ! install; then
        tail -n 20 "$log" >&2
        echo "deps: could not install; the whole output is in $log" >&2
        exit 1
    fi
fi
rm -f "$log"

# The policy keeps a service from starting now, not at the next boot.
if [[ -d /run/systemd/system ]]; then
    for package in "${missing[@]}"; do
        case $package in
            redis-server) "${as_root[@]}" systemctl disable --quiet redis-server || true ;;
            etcd-server) "${as_root[@]}" systemctl disable --quiet etcd || true ;;
        esac
    done
fi
