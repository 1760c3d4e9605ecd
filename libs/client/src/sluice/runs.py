"""A run of an import: an id that lasts until the import is done, so that an interrupted one goes on."""

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sluice._clock import new_id
from sluice.errors import SluiceError

NAMESPACE: Final = uuid.UUID("6f0d6f4e-2c58-5d0b-9f5e-0c4a6b1f7c11")


class RunNotKept(SluiceError):
    """The run cannot be remembered, so an interrupted import could not go on."""


@dataclass(frozen=True, slots=True)
class Run:
    """One attempt to enroll a file. The ids of its commands come from the content, the chunk and the run."""

    run_id: str
    content_hash: str
    continued: bool
    file: Path

    def command_id(self, sequence_id: str, chunk: int) -> str:
        return str(uuid.uuid5(NAMESPACE, f"{self.content_hash}:{sequence_id}:{chunk}:{self.run_id}"))

    def finish(self) -> None:
        """Every chunk has its answer: the same file again is a new run."""
        with contextlib.suppress(FileNotFoundError):
            self.file.unlink()


def state_folder(environment: Mapping[str, str] | None = None) -> Path:
    """Where runs are kept: `$XDG_STATE_HOME/sluice/imports`, else `~/.local/state/sluice/imports`."""
    known = os.environ if environment is None else environment
    home = known.get("XDG_STATE_HOME", "")
    base = Path(home) if home.startswith("/") else Path.home() / ".local" / "state"
    return base / "sluice" / "imports"


def begin(folder: Path, *, deployment: str, sequence_id: str, content_hash: str, chunk_size: int) -> Run:
    """Go on with the unfinished run of this content into this sequence, or begin one and remember it."""
    parts = json.dumps([deployment, sequence_id, content_hash, chunk_size])
    file = folder / f"{hashlib.sha256(parts.encode()).hexdigest()[:32]}.json"
    kept = _kept(file)
    if kept is not None:
        return Run(kept, content_hash, continued=True, file=file)
    run = Run(new_id(), content_hash, continued=False, file=file)
    _keep(run, sequence_id)
    return run


def _kept(file: Path) -> str | None:
    try:
        found = json.loads(file.read_text())["run_id"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) and found else None


def _keep(run: Run, sequence_id: str) -> None:
    partial = run.file.with_suffix(f".{os.getpid()}")
    try:
        run.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial.write_text(json.dumps({"run_id": run.run_id, "sequence_id": sequence_id}) + "\n")
        partial.replace(run.file)
    except OSError as error:
        raise RunNotKept(
            f"{run.file.parent} cannot be written ({error.strerror}), so an interrupted import could not go on: "
            "set XDG_STATE_HOME to a folder that can."
        ) from error
