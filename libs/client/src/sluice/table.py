"""Read a CSV of contacts: its lines with their numbers, and what is wrong with a line in words that tell no value."""

import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sluice.errors import SluiceError

ID_COLUMN: Final = "contact_id"
CELL_CHARACTERS_MAX: Final = 65_536


class UnusableFile(SluiceError):
    """The file as a whole cannot be read."""


@dataclass(frozen=True, slots=True)
class InvalidLine:
    """A line that is left out, and why."""

    number: int
    rule: str


@dataclass(frozen=True, slots=True)
class Line:
    """One line: the cells by column, without the empty ones."""

    number: int
    cells: dict[str, str]

    @property
    def contact_id(self) -> str:
        return self.cells.get(ID_COLUMN, "")


def lines(path: Path) -> Iterator[Line | InvalidLine]:
    """The lines below the header; blank ones are passed over. Raises UnusableFile."""
    csv.field_size_limit(CELL_CHARACTERS_MAX)
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            reader = csv.reader(file)
            columns = _columns(path, next(reader, []))
            yield from _body(reader, columns)
    except OSError as error:
        raise UnusableFile(f"{path} cannot be read: {error.strerror}.") from error
    except csv.Error as error:
        raise UnusableFile(f"{path} is not a CSV file with a header line.") from error


def content_hash(path: Path) -> str:
    """The SHA-256 of the file's bytes. Raises UnusableFile."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UnusableFile(f"{path} cannot be read: {error.strerror}.") from error


def _columns(path: Path, header: list[str]) -> list[str]:
    columns = [name.strip() for name in header]
    if ID_COLUMN not in columns:
        raise UnusableFile(f"{path} needs a header line with a column {ID_COLUMN}.")
    if len(set(columns)) < len(columns):
        raise UnusableFile(f"{path} names a column twice in its header line.")
    if "" in columns:
        raise UnusableFile(f"{path} has a column without a name in its header line.")
    return columns


def _body(reader: Any, columns: list[str]) -> Iterator[Line | InvalidLine]:
    width = len(columns)
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield InvalidLine(number, f"must be CSV, with cells of at most {CELL_CHARACTERS_MAX} characters")
            continue
        if len(cells) > width:
            yield InvalidLine(number, "has more cells than the header line")
        elif any(cells):
            yield Line(number, {name: cell for name, cell in zip(columns, cells, strict=False) if cell})
