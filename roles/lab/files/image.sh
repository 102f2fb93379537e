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
# podman 5 asks for higher limits than the caller may have; 4.3 itself may have 32768 processes only.
limits=$(awk '
    function least(value, most) { return value == "unlimited" || value > most ? most : value }
    /^Max open files/ { n = least($(NF-1), 524288); printf " --ulimit nofile=%d:%d", n, n }
    /^Max processes/  { n = least($(NF-1), 32768);  printf " --ulimit nproc=%d:%d", n, n }
' /proc/self/limits)
# shellcheck disable=SC2086 # several words
podman build --quiet --isolation=chroot --network=host $limits \
    --build-arg "base=$base" \
    --label "fuego-deploy.recipe=$recipe" --tag "$name" --file "$here/Containerfile" "$here" >&2
echo "built image $name"
