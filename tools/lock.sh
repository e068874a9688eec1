#!/usr/bin/env bash
# Renew the lock files of Python from pyproject.toml. They carry versions and digests, and no address, so that any mirror serves them.
# What is locked stays where it still fits; with UPGRADE=1 everything is the newest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
command -v uv >/dev/null || { echo "lock: uv is missing; install it (pipx install uv) and try again" >&2; exit 1; }

lock() { # lock NAME EXTRA...
    local name=$1 extras=()
    shift
    for extra in "$@"; do extras+=(--extra "$extra"); done
    if [ -z "${UPGRADE:-}" ] && [ -f "requirements/$name.txt" ]; then cp "requirements/$name.txt" "requirements/$name.txt.new"; fi
    uv pip compile pyproject.toml "${extras[@]}" --quiet --universal --python-version 3.11 --generate-hashes \
        --no-header --no-annotate --no-emit-index-url --no-emit-find-links --output-file "requirements/$name.txt.new" >/dev/null
    {
        printf '# Made by "make lock" from pyproject.toml (digest %s). Do not edit.\n' "$(digest)"
        cat "requirements/$name.txt.new"
    } >"requirements/$name.txt"
    rm "requirements/$name.txt.new"
}

digest() { # of what decides about the lock files: the dependencies and extras, not the rest of pyproject.toml
    python3 tools/lock_digest.py
}

mkdir -p requirements
lock demo softphone quality page build
lock dev softphone quality page build dev
