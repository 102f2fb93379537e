#!/bin/sh
# Take away what this checkout made: the labs with their images, the environment, the caches.
# Needs nothing but a shell, so that it works after an interrupted setup too.
set -eu
cd "$(dirname "$0")/.."
checkout=$(printf '%s' "$(pwd -P)" | sha256sum | cut -c 1-10)
roles/lab/files/remove.sh "$checkout"
rm -rf .venv .lab .cache .ansible .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage
find . -name __pycache__ -type d -prune -exec rm -rf {} +
