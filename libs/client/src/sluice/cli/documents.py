"""Definitions in files, and what is wrong with them before anyone else sees them."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from campaign.definition import Definition, read_definition
from campaign.faults import form_faults
from sluice_contracts.answers import Fault

from sluice.errors import SluiceError
from sluice.table import UnusableFile


class FaultyDefinition(SluiceError):
    """A definition that could not be published, with every fault."""

    def __init__(self, file: str, faults: list[Fault]) -> None:
        self.faults = faults
        lines = [f"{file} cannot be published:", *(f"  {fault.place}: {fault.rule}" for fault in faults)]
        super().__init__("\n".join(lines))


def read_document(file: str) -> dict[str, Any]:
    """The JSON object in a file, `-` for stdin. Raises UnusableFile."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UnusableFile(f"{file} is not UTF-8.") from error
    except OSError as error:
        raise UnusableFile(f"{file} cannot be read: {error.strerror}.") from error
    try:
        found = json.loads(text)
    except ValueError as error:
        where = f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        raise UnusableFile(f"{file} is not JSON{where}.") from error
    if not isinstance(found, dict):
        raise UnusableFile(f"{file} must hold one JSON object.")
    return found


def read_published(file: str) -> Definition:
    """The definition in a file, as the rules look at it. Raises UnusableFile, FaultyDefinition."""
    document = read_document(file)
    faults = faults_in(document)
    if faults:
        raise FaultyDefinition(file, faults)
    return read_definition(1, document)


def faults_in(document: Mapping[str, Any]) -> list[Fault]:
    """Why a definition could not be published, as far as that can be told here: templates are compiled elsewhere."""
    return form_faults(document)
