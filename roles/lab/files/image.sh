#!/bin/sh
# Make the image of the lab's hosts: image.sh NAME RECIPE SUITE [BASE]
# NAME is the image's name; RECIPE identifies what it is made of; SUITE is the Debian release that
# mmdebstrap bootstraps, unless BASE names an image to build on. Prints what it did, or nothing.
set -eu
name=$1 recipe=$2 suite=$3 base=${4:-}
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
[ "$(id -u)" -eq 0 ] || exec sudo -n -- "$here/image.sh" "$@"
podman() { "$here/podman.sh" "$@"; }

# Two checkouts that make the same image at a time make it once.
exec 9>/run/fuego-deploy.image.lock
flock 9
if podman image exists "$name"; then
    exit 0
fi
twin=$(podman images --quiet --filter "label=fuego-deploy.recipe=$recipe" | head -n 1)
if [ -n "$twin" ]; then
    podman tag "$twin" "$name"
    echo "shared image $twin"
    exit 0
fi

work=$(mktemp -d)
made=""
# Whatever happens, no half-made image stays. A base that an image was built on lives on in that one.
tidy() {
    rm -rf "$work"
    [ -z "$made" ] || podman untag "$made"
    "$here/prune.sh"
}
trap tidy EXIT
trap 'exit 130' INT TERM
if [ -z "$base" ]; then
    mmdebstrap --quiet --variant=minbase "$suite" "$work/root.tar" >&2
    base=localhost/fuego-lab-base:$recipe made=$base
    podman import --quiet --change 'LABEL fuego-deploy.base=mmdebstrap' "$work/root.tar" "$base" >&2
fi
podman build --quiet --isolation=chroot --network=host \
    --build-arg "base=$base" \
    --label "fuego-deploy.recipe=$recipe" --tag "$name" --file "$here/Containerfile" "$here" >&2
echo "built image $name"
