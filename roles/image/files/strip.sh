#!/bin/sh
# Run on the host that becomes an image, with the app's name: take away what only a host needs.
set -eu
app=$1

# Mounted files belong into the server block. On hosts that is sites/<app>.d, and conf.d is outside of it.
cd /etc/nginx
sed -i '/^ *include conf\.d\/\*\.conf;/d' nginx.conf
sed -i "s|include sites/$app\.d/|include conf.d/|" "sites/$app.conf"
mkdir -p conf.d
# Whatever name a request is for, there is this app alone.
rm -f sites/_unknown.conf
grep -q 'include conf\.d/\*\.conf;' "sites/$app.conf"

systemctl stop nginx.service "$app.socket" "$app.service" ssh.service ssh.socket 2>/dev/null || true
export DEBIAN_FRONTEND=noninteractive SUDO_FORCE_REMOVE=yes
# Whatever the app's own packages need of them stays.
apt-mark -qq auto openssh-server sudo nftables libpam-systemd dbus >/dev/null
apt-get -o APT::AutoRemove::RecommendsImportant=false autoremove -qq -y --purge >/dev/null
apt-get clean
# A connection of Ansible's may still be open.
userdel --force --remove ops 2>/dev/null || ! grep '^ops:' /etc/passwd

# Of the app's folder, what is in force; of the deploy's, nothing.
keep=$(readlink -f "/srv/$app/current/release")
find "/srv/$app/releases" -mindepth 1 -maxdepth 1 ! -path "$keep" -exec rm -rf {} +
rm -rf "/srv/$app/activations/"*/secrets "/srv/$app/artifacts" /usr/local/lib/fuego-deploy /var/lib/fuego-deploy /var/cache/fuego-deploy \
    /etc/systemd/system/fuego-deploy-watch.service /usr/local/sbin/fuego-deploy-watch \
    "${HOME:?}/.cache" "$HOME/.ansible" /home/ops /tmp/* /var/tmp/* /var/cache/apt/* /var/lib/apt/lists/* \
    /var/cache/fuego-lab /usr/lib/python3/dist-packages/keep_bytecode.* \
    /usr/lib/python3/dist-packages/__pycache__/keep_bytecode.* \
    /etc/systemd/system/shared-mounts.service /etc/systemd/system/ssh-host-key.service \
    /etc/sudoers.d /etc/ssh /usr/share/doc /usr/share/man
: >/etc/machine-id
find /var/log -type f -delete
rm -f "/etc/systemd/system/$app".* /etc/systemd/system/*.wants/"$app".*
mkdir -p /var/log/nginx
ln -sf /dev/stdout /var/log/nginx/access.log
ln -sf /dev/stderr /var/log/nginx/error.log
