#!/bin/sh
# Make the SSH host keys that are missing. Others may be making them too, so each appears at once and whole, or not.

set -eu

directory=${SSH_KEYS_DIRECTORY:-/etc/ssh}
work=$(mktemp -d "$directory/.keys.XXXXXX")
trap 'rm -rf "$work"' EXIT

for kind in ecdsa ed25519 rsa; do
    key="ssh_host_${kind}_key"
    [ ! -f "$directory/$key" ] || continue
    ssh-keygen -q -t "$kind" -N '' -C "root@$(uname -n)" -f "$work/$key"
    if ln "$work/$key" "$directory/$key" 2> /dev/null; then
        mv "$work/$key.pub" "$directory/$key.pub"
    fi
done
