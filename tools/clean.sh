#!/bin/sh
# Stops the local stack, forgets its data, and removes everything that was made in this checkout.
set -eu

cd "$(dirname "$0")/.."
if [ -d .devstack ] && [ -x .venv/bin/python ]; then
    .venv/bin/python -m sluice dev reset --yes || {
        echo "sluice: the local stack could not be stopped (see above), so nothing was removed." >&2
        exit 1
    }
fi
rm -rf .venv .devstack .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
find . -name __pycache__ -type d -prune -exec rm -rf {} +
