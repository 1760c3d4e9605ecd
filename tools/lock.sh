#!/bin/sh
# Pins every dependency with its hashes: once for people, once for the image. The files name no download address.
set -eu

cd "$(dirname "$0")/.."
UV=${UV:-uv}
command -v "$UV" >/dev/null 2>&1 || {
    echo "sluice: make lock needs uv: install it (pip install uv, or see docs.astral.sh/uv), or name it with UV=/path/to/uv." >&2
    exit 1
}

"$UV" lock "$@"
"$UV" export -q --frozen --no-header --no-emit-workspace --all-packages --all-groups >requirements.lock.new
mkdir -p deploy/docker
"$UV" export -q --frozen --no-header --no-emit-workspace --no-default-groups \
    --package sluice-sequences --package sluice-enrollment --package sluice-delivery --package sluice-console >deploy/docker/requirements.lock.new
for lock in requirements.lock deploy/docker/requirements.lock; do
    if grep -Eq '://|--(extra-)?index-url|--find-links' "$lock.new"; then
        rm -f requirements.lock.new deploy/docker/requirements.lock.new
        echo "sluice: $lock would name a download address; look at the sources in pyproject.toml." >&2
        exit 1
    fi
done
for lock in requirements.lock deploy/docker/requirements.lock; do
    mv "$lock.new" "$lock"
    echo "$lock: $(grep -c '^[a-zA-Z0-9]' "$lock") packages"
done
