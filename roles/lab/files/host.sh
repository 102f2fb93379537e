#!/bin/sh
# Make a host and start it: host.sh NAME ARGUMENTS_OF_PODMAN_RUN...
# A host that was made from the same arguments is kept, and started if it is down; one made from
# others is made anew. Prints what it did, or nothing.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
[ "$(id -u)" -eq 0 ] || exec sudo -n -- "$here/host.sh" "$@"
podman() { "$here/podman.sh" "$@"; }

name=$1
shift
made_from=$(printf '%s\n' "$@" | sha256sum | cut -c 1-12)
# Not `podman ps`, whose State is "Up 3 minutes ago" before podman 5.
is=$(podman container inspect --format '{{.State.Status}} {{.Config.Labels}}' "$name" 2>/dev/null || true)
case $is in
"running "*"fuego-deploy.made-from:$made_from"*) ;;
*"fuego-deploy.made-from:$made_from"*)
    podman start "$name" >/dev/null
    echo "started $name"
    ;;
*)
    [ -z "$is" ] || podman rm --force --time 0 "$name" >/dev/null
    podman run --detach --name "$name" --label "fuego-deploy.made-from=$made_from" "$@" >/dev/null
    echo "made $name"
    ;;
esac
