#!/bin/sh
# Remove what an interrupted build of the lab's images left: its working containers, which podman shows
# as external, and the images without a name that it had made on our base.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
podman() { "$here/podman.sh" "$@"; }

for image in $(podman images --all --quiet --no-trunc --filter label=fuego-deploy.base); do
    podman ps --all --external --no-trunc --format '{{.ID}} {{.Status}} {{.ImageID}}' |
        awk -v image="${image#sha256:}" '$2 == "Storage" && $3 == image {print $1}' |
        while read -r container; do podman rm --force "$container" >/dev/null; done
done
podman image prune --force --filter label=fuego-deploy.base >/dev/null
