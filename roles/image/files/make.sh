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
"$podman" export "$container" | "$podman" import --quiet "$@" \
    --change 'ENTRYPOINT ["/usr/local/sbin/fuego-container"]' \
    --change 'EXPOSE 80' --change 'STOPSIGNAL SIGTERM' \
    --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
    - "$image"
