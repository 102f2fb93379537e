#!/bin/sh
# Remove what a lab left on this machine: remove.sh CHECKOUT [LAB]
# With LAB, the hosts and the network of that lab alone; without, every lab of the checkout and its
# images. Nothing of another checkout is touched; what all share goes with the last one's.
set -eu
checkout=$1 lab=${2:-}
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
run=/run/fuego-deploy store=/var/lib/fuego-deploy-lab
[ "$(id -u)" -eq 0 ] || exec sudo -n -- "$here/remove.sh" "$@"
command -v podman >/dev/null || exit 0
# Where podman has a store for labs alone (see podman.sh) and it is not there, no lab is.
[ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ] || [ -e "$store" ] || exit 0
podman() { "$here/podman.sh" "$@"; }

filter="label=fuego-deploy.checkout=$checkout"
for container in $(podman ps -aq --filter "$filter" ${lab:+--filter "label=fuego-deploy.lab=$lab"}); do
    podman rm --force --time 0 --volumes "$container" >/dev/null
    echo "removed host $container"
done
for network in $(podman network ls -q --filter "$filter" ${lab:+--filter "label=fuego-deploy.lab=$lab"}); do
    podman network rm "$network" >/dev/null
    echo "removed network $network"
done
[ -z "$lab" ] || exit 0

# What `make image` made.
for image in $(podman images --quiet --filter "$filter"); do
    if podman rmi "$image" >/dev/null; then
        echo "removed image $image"
    else
        echo "kept image $image: a container was made from it" >&2
    fi
done

# Labs of several checkouts share an image under a name each; the last name takes the image along.
# Not with podman's filter `reference`: that lists every name of an image that has one which matches.
for image in $(podman images --format '{{.Repository}}:{{.Tag}}' | grep "^localhost/fuego-lab-$checkout:"); do
    podman rmi "$image" >/dev/null
    echo "removed image $image"
done

# Not while another checkout builds: it waits for that build's end.
flock /run/fuego-deploy.image.lock "$here/prune.sh"

# The namespace and the store of the labs of a machine with cgroup v1, see podman.sh.
if [ -e "$run/mnt" ] && [ -z "$(podman ps --all --quiet)$(podman images --quiet)" ]; then
    exec 9>"$run.lock"
    flock 9
    nsenter --mount="$run/mnt" umount "$store/overlay" 2>/dev/null || true
    umount "$run/mnt"
    umount "$run"
    rm -rf "$run" "$run.lock" "$store"
    echo "removed the mount namespace $run"
fi
