"""The one family of errors that the local stack shows: a sentence that says what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class StackError(Exception):
    """What went wrong and what to do about it, in one sentence for the person at the terminal."""


@contextmanager
def naming(folder: Path, *, doing: str) -> Iterator[None]:
    """Turn the operating system's refusals about `folder` into a sentence that names it."""
    try:
        yield
    except OSError as error:
        match error.errno:
            case errno.ENOSPC | errno.EDQUOT:
                raise StackError(
                    f"The disk that holds {folder} is full, so {doing} failed: free some space and try again."
                ) from error
            case errno.EACCES | errno.EPERM | errno.EROFS:
                raise StackError(
                    f"{doing[0].upper()}{doing[1:]} failed because {folder} cannot be written: "
                    "give your user write access to it, or work in a checkout of your own."
                ) from error
            case _:
                raise
