"""Ways to break the promise on purpose: each must turn the races red."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from delivery.store import claiming, halts, pending

EARLY: Final = "early"
UNLOCKED: Final = "unlocked"
_RECEIPTS: Final = ("_OWED", "_SETTLE_SEQUENCES", "_SETTLE_CONTACTS")
KINDS: Final = {
    EARLY: "receipts of removals and pauses are given at once",
    UNLOCKED: "claims do not take the lock that stops wait for, nor do removals take the row",
}


@contextmanager
def sabotage(kind: str | None) -> Iterator[None]:
    """Break it until the context ends; nothing where `kind` is None."""
    broken = _broken(kind)
    whole = [(module, name, getattr(module, name)) for module, name, _ in broken]
    try:
        for module, name, statement in broken:
            assert statement != getattr(module, name), f"{name} has changed: nothing would be broken"
            setattr(module, name, statement)
        yield
    finally:
        for module, name, statement in whole:
            setattr(module, name, statement)


def _broken(kind: str | None) -> list[tuple[Any, str, str]]:
    match kind:
        case None:
            return []
        case "early":
            return [(halts, name, _without_wait(getattr(halts, name))) for name in _RECEIPTS]
        case "unlocked":
            begin = claiming._BEGIN.replace("pg_advisory_xact_lock_shared($1)", "$1::bigint")
            return [(claiming, "_BEGIN", begin), (pending, "_HOLD", pending._HOLD.replace("for update of p", ""))]
        case _:
            raise ValueError(kind)


def _without_wait(statement: str) -> str:
    """What it waits for is true at once; its parameters stay."""
    return statement.replace("not exists (", "true or not exists (")
