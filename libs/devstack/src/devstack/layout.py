"""Where a stack keeps its files, and that those places can be used."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from devstack.errors import StackError, naming

HOME: Final = ".devstack"
ROOT_DATA: Final = Path("/var/tmp")  # noqa: S108 - survives a reboot, and every user may pass through it
FREE_BYTES_MIN: Final = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of the stack that belongs to the checkout `root`."""

    root: Path

    @property
    def home(self) -> Path:
        return self.root / HOME

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def ports(self) -> Path:
        return self.home / "ports.json"

    @property
    def passwords(self) -> Path:
        return self.home / "passwords.json"

    @property
    def wanted(self) -> Path:
        return self.home / "wanted.json"

    @property
    def state(self) -> Path:
        return self.home / "state.json"

    @property
    def supervisor_lock(self) -> Path:
        return self.home / "supervisor.lock"

    @property
    def command_lock(self) -> Path:
        return self.home / "command.lock"

    @property
    def identity(self) -> Path:
        return self.home / "identity"

    @property
    def kafka(self) -> Path:
        return self.home / "kafka"

    @property
    def sink_file(self) -> Path:
        return self.home / "sink" / "arrivals.jsonl"

    @property
    def postgres(self) -> Path:
        """The database's folder. Postgres refuses to run as root, and the user that it runs as then cannot pass
        through a private home, so root's data lie elsewhere; no parent's mode is changed.
        """
        if os.geteuid() != 0:
            return self.home / "postgres"
        digest = hashlib.sha256(str(self.root).encode()).hexdigest()[:12]
        return ROOT_DATA / f"sluice-devstack-{digest}"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def prepare(self) -> None:
        """Make the folders, or say in one sentence why they cannot be made."""
        with naming(self.root, doing="making the stack's folder"):
            self.home.mkdir(exist_ok=True, parents=True)
            ignore = self.home / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n")
        with naming(self.home, doing="making the stack's folder"):
            for folder in (self.logs, self.kafka, self.sink_file.parent):
                folder.mkdir(exist_ok=True)
            if not self.identity.exists():
                write_private(self.identity, secrets.token_hex(16))
        self._require_space(self.home)
        self._prepare_postgres()

    def _prepare_postgres(self) -> None:
        with naming(self.postgres, doing="making the database's folder"):
            self.postgres.mkdir(exist_ok=True, mode=0o711)
        found = self.postgres.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise StackError(f"{self.postgres} belongs to somebody else: remove it, then try again.")
        if os.geteuid() == 0:
            self.postgres.chmod(0o711)
            self._require_space(self.postgres)

    @staticmethod
    def _require_space(folder: Path) -> None:
        free = shutil.disk_usage(folder).free
        if free < FREE_BYTES_MIN:
            raise StackError(
                f"The disk that holds {folder} has {free // 2**20} MB left and the stack needs "
                f"{FREE_BYTES_MIN // 2**20} MB: free some space and try again."
            )


def write_private(path: Path, text: str) -> None:
    """Replace a file at once, readable by its owner alone: a reader sees the old text or the new one."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with naming(path.parent, doing=f"writing {path.name}"):
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(text)
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file of ours; empty where the file is missing or was cut short."""
    try:
        found = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def repository(root: Path) -> Path:
    """The folder that holds `deploy/`: the checkout itself, or the one that this package was installed from."""
    for candidate in (root, *Path(__file__).resolve().parents):
        if (candidate / "deploy" / "postgres" / "roles.sql").is_file():
            return candidate
    raise StackError("deploy/postgres/roles.sql is missing: run this inside a checkout of Sluice.")
