#!/bin/sh
# Make a network, unless it is there: network.sh NAME ARGUMENTS_OF_PODMAN_NETWORK_CREATE...
# Prints what it did, or nothing.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

name=$1
shift
if ! "$here/podman.sh" network exists "$name"; then
    "$here/podman.sh" network create "$@" "$name" >/dev/null
    echo "made network $name"
fi
