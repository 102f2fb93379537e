#!/bin/sh
# Make the controller's environment, .venv, from the pinned and hashed requirements.lock.
# Safe to run again, to interrupt, and to run twice at a time. Makefile calls it before every target.
set -eu
cd "$(dirname "$0")/.."

# A python3 found in PATH may be a shim without the version it stands for, so each one is tried.
# The first that works and can make environments wins; python_without_venv remembers one that cannot.
find_python() {
    python="" python_without_venv=""
    for candidate in python3 python3.13 python3.14 python3.12 python3.11 /usr/bin/python3; do
        "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
        if "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
            python=$candidate
            return
        fi
        python_without_venv=${python_without_venv:-$candidate}
    done
}

install_venv_package() {
    package=python3-venv
    if command -v apt-get >/dev/null && [ "$(id -u)" -eq 0 ]; then
        sudo=""
    elif command -v apt-get >/dev/null && sudo -n true 2>/dev/null; then
        sudo="sudo -n"
    else
        echo "setup: Python's venv module is missing; install it: sudo apt-get install $package" >&2
        exit 1
    fi
    echo "setup: installing $package" >&2
    $sudo apt-get update -qq
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $package >/dev/null
}

mkdir -p .lab
exec 9>.lab/setup.lock
if ! flock -n 9; then
    echo "setup: waiting for another setup of this checkout" >&2
    flock 9
fi

# An environment holds absolute paths: a checkout that moved needs a new one.
wanted="$(sha256sum requirements.lock | cut -d' ' -f1) $PWD"
if [ -f .venv/.complete ] && [ "$(cat .venv/.complete)" = "$wanted" ] && .venv/bin/python -c '' 2>/dev/null; then
    exit 0
fi

find_python
if [ -z "$python" ] && [ -n "$python_without_venv" ]; then
    install_venv_package
    find_python
fi
if [ -z "$python" ]; then
    echo "setup: no Python 3.11 or later that can make environments (modules venv and ensurepip) found" >&2
    echo "setup: ${python_without_venv:+($python_without_venv lacks them) }install one: sudo apt-get install python3 python3-venv" >&2
    exit 1
fi

echo "setup: making .venv with $("$python" --version) and the pinned tools" >&2
rm -rf .venv
"$python" -m venv .venv
# uv installs the rest in seconds where pip takes a minute; its own pin and hashes are the lock's.
awk '/^uv==/ {on = 1} on {print} on && !/\\$/ {exit}' requirements.lock >.venv/uv.lock
.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.lock
# The machine's own certificates, so that a package index behind a company's proxy works.
UV_SYSTEM_CERTS=${UV_SYSTEM_CERTS:-1} .venv/bin/uv pip sync --quiet --require-hashes \
    --python .venv/bin/python requirements.lock
# Where Python may write no bytecode, as in many images, each run of Ansible would compile itself anew,
# and what is in plugins/ in each of its processes.
if [ -n "${PYTHONDONTWRITEBYTECODE:-}" ]; then
    .venv/bin/python -m compileall -q -j 0 -x 'ansible_collections|/tests?/' .venv/lib plugins >/dev/null || true
fi
echo "$wanted" >.venv/.complete
