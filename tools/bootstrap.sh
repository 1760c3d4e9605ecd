#!/bin/sh
# Makes .venv with the pinned dependencies and this workspace in it; does nothing where that is done already.
# Needs Python 3.11 to 3.14 (what the pinned dependencies are built for), and no compiler. PYTHON=… chooses which one.
set -eu

cd "$(dirname "$0")/.."
VENV=.venv
STAMP=$VENV/.ready

say() {
    printf '%s\n' "$*" >&2
}

give_up() {
    say "sluice: $*"
    exit 1
}

is_usable() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' >/dev/null 2>&1
}

has_venv() {
    "$1" -c 'import venv, ensurepip' >/dev/null 2>&1
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        command -v "$PYTHON" >/dev/null 2>&1 ||
            give_up "PYTHON=$PYTHON is not a program that can be run; name a Python from 3.11 to 3.14, or leave PYTHON out."
        is_usable "$PYTHON" || {
            found=$("$PYTHON" -V 2>/dev/null || true)
            give_up "PYTHON=$PYTHON ${found:+is $found and }cannot be used: a Python from 3.11 to 3.14 is needed."
        }
        printf '%s\n' "$PYTHON"
        return
    fi
    # The environment that is there keeps its interpreter, whatever it was made with.
    if is_usable "$VENV/bin/python" && "$VENV/bin/python" -c 'import pip' >/dev/null 2>&1; then
        printf '%s\n' "$VENV/bin/python"
        return
    fi
    bare=
    for candidate in python3.13 python3.12 python3.11 python3.14 python3 python; do
        is_usable "$candidate" || continue
        if has_venv "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
        bare=${bare:-$candidate}
    done
    if [ -n "$bare" ]; then
        printf '%s\n' "$bare"
        return
    fi
    found=$(python3 -V 2>/dev/null || python -V 2>&1 || true)
    case $found in
    Python\ *) found="only $found is here" ;;
    *) found="no Python is here" ;;
    esac
    give_up "a Python from 3.11 to 3.14 is needed and $found: install it (Debian, Ubuntu: apt-get install python3 python3-venv;" \
        "Fedora: dnf install python3; macOS: brew install python@3.13; else python.org), or name one with PYTHON=/path/to/python3."
}

# What the environment is made of: the locked dependencies, the list of packages, where they are, and the interpreter.
key_of() {
    "$1" - <<'KEY'
import hashlib, pathlib, sys

key = hashlib.sha256(repr((sys.version_info[:3], sys.implementation.name, str(pathlib.Path.cwd()))).encode())
for name in ("requirements.lock", "pyproject.toml", "tools/bootstrap.sh"):
    key.update(pathlib.Path(name).read_bytes())
print(key.hexdigest(), end="")
KEY
}

is_ready() {
    [ -f "$STAMP" ] && [ "$(cat "$STAMP")" = "$key" ] && "$VENV/bin/python" -c 'import pip' >/dev/null 2>&1
}

PYTHON_FOUND=$(find_python) || exit 1
key=$(key_of "$PYTHON_FOUND") || give_up "requirements.lock or pyproject.toml cannot be read here; is this a whole checkout?"
is_ready && exit 0

version=$("$PYTHON_FOUND" -c 'import platform; print(platform.python_version(), end="")')
minor=$("$PYTHON_FOUND" -c 'import sys; print("%d.%d" % sys.version_info[:2], end="")')
if ! has_venv "$PYTHON_FOUND"; then
    give_up "Python $version ($(command -v "$PYTHON_FOUND")) comes without venv and ensurepip: install them" \
        "(Debian, Ubuntu: apt-get install python$minor-venv), or name another Python with PYTHON=/path/to/python3."
fi

rm -f "$STAMP"
has=$("$VENV/bin/python" -c 'import platform; print(platform.python_version(), end="")' 2>/dev/null || true)
if [ "$has" != "$version" ] || ! "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
    say "Making $VENV with Python $version …"
    "$PYTHON_FOUND" -m venv --clear "$VENV" ||
        give_up "$VENV could not be made (see above); is $(pwd) writable, with 600 MB free?"
fi

say "Installing the pinned dependencies (once; about a minute) …"
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0
unset PIP_TARGET PIP_PREFIX PYTHONPATH PYTHONHOME || true
"$VENV/bin/python" -m pip install -q --only-binary :all: --require-hashes -r requirements.lock ||
    give_up "the dependencies could not be installed (see above); a package index must be reachable, or set pip's own" \
        "PIP_INDEX_URL, PIP_PROXY or PIP_CERT."
"$VENV/bin/python" -m pip install -q --no-deps --no-build-isolation -e . ||
    give_up "this workspace could not be installed into $VENV (see above)."
printf '%s' "$key" >"$STAMP"
