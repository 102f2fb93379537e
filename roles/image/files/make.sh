#!/bin/sh
# Make an image of a host: make.sh PODMAN CONTAINER APP IMAGE [LABEL...]
# The host is stripped of what only a host needs, stopped, and imported as one layer. Prints the image's id.
set -eu
podman=$1 container=$2 app=$3 image=$4
shift 4
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

"$podman" exec --interactive "$container" sh -s "$app" <"$here/strip.sh" >&2
"$podman" stop --time 10 "$container" >/dev/null
for label; do
    set -- "$@" --change "LABEL $label"
    shift
done
former=$("$podman" images --quiet --no-trunc "$image")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
"$podman" export --output "$work/root.tar" "$container"
made=$("$podman" import --quiet "$@" \
    --change 'ENTRYPOINT ["/usr/local/sbin/fuego-container"]' \
    --change 'EXPOSE 80' --change 'STOPSIGNAL SIGTERM' \
    --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
    "$work/root.tar" "$image")
# The one of that name before, unless a container still runs from it.
[ -z "$former" ] || [ "$former" = "$made" ] || "$podman" rmi "$former" >/dev/null 2>&1 || true
echo "$made"
