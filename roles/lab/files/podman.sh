#!/bin/sh
# podman for the lab. On a machine with cgroup v2 this just runs podman, as root.
#
# Where the machine mounts cgroup v1 beside v2 (some cloud machines, containers, older WSL2), crun
# refuses to start and systemd 256 and later refuse v1. There, podman runs in a mount namespace of
# its own in which /sys/fs/cgroup is a cgroup2 mount. The namespace is kept as a file under /run and
# shared by all labs of this machine: the overlay mounts of running hosts live in it. So do the network
# namespaces, which is why the store is apart from that of a podman outside.
set -eu
run=/run/fuego-deploy store=/var/lib/fuego-deploy-lab
[ "$(id -u)" -eq 0 ] || exec sudo -n -- "$0" "$@"

# podman 5 asks for higher limits than the caller may have, where nobody names any; 4.3 itself may have
# 32768 processes only.
case "$*" in
*--ulimit*) ;;
run* | build*)
    limits=$(awk '
        function least(value, most) { return value == "unlimited" || value > most ? most : value }
        /^Max open files/ { n = least($(NF-1), 524288); printf " --ulimit=nofile=%d:%d", n, n }
        /^Max processes/  { n = least($(NF-1), 32768);  printf " --ulimit=nproc=%d:%d", n, n }
    ' /proc/self/limits)
    command=$1
    shift
    # shellcheck disable=SC2086 # several words
    set -- "$command" $limits "$@"
    ;;
esac

if [ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ]; then
    exec podman "$@"
fi

# A container's own cgroup wants controllers and a filter of devices that are not to be had there.
case "$*" in
*--privileged*) ;;
run*)
    shift
    set -- run --cgroups=disabled "$@"
    ;;
esac

if [ "$(stat -f -c %T "$run/mnt" 2>/dev/null)" != nsfs ]; then
    mkdir -p "$run"
    exec 9>"$run.lock"
    flock 9
    if [ "$(stat -f -c %T "$run/mnt" 2>/dev/null)" != nsfs ]; then
        # A namespace can only be kept on a mount that does not propagate into it.
        mountpoint -q "$run" || mount --bind "$run" "$run"
        mount --make-private "$run"
        : >"$run/mnt"
        unshare --mount="$run/mnt" --propagation private \
            sh -c 'umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup'
    fi
    exec 9>&-
fi
exec nsenter --mount="$run/mnt" --wdns="$PWD" podman --root "$store" --runroot "$run/podman" "$@"
