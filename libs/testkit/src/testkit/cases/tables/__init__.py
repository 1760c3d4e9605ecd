"""The tables of cases, in the order in which they are told."""

from typing import Final

from testkit.cases.case import Script
from testkit.cases.tables import clock, edit, entry, removal, suspension, unknown, window

SCRIPTS: Final[tuple[Script, ...]] = (
    *clock.SCRIPTS,
    *edit.SCRIPTS,
    *entry.SCRIPTS,
    *removal.SCRIPTS,
    *window.SCRIPTS,
    *suspension.SCRIPTS,
    *unknown.SCRIPTS,
)
TABLES: Final = tuple(dict.fromkeys(script.table for script in SCRIPTS))
