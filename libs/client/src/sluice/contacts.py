"""Merge a CSV into contacts.events: read what is there, and write only what changes."""

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson
from campaign.zones import zone_named
from pydantic import ValidationError
from sluice_contracts import envelope, topics
from sluice_contracts.base import ID_PATTERN
from sluice_contracts.contacts import ContactCreated, ContactState, ContactUpdated
from sluice_contracts.definition import faults_of

from sluice._clock import new_id, utc_now
from sluice.asking import acknowledged
from sluice.errors import Unreachable
from sluice.state import events_to_end
from sluice.table import ID_COLUMN, InvalidLine, Line, lines
from sluice.transport import Place, Record, Transport

ADDRESSES: Final = ("email", "whatsapp")
PLAIN: Final = ("timezone", "language")
TAG_SEPARATOR: Final = ";"
IN_FLIGHT_MAX: Final = 4_000
LANDING_SECONDS_MAX: Final = 30.0
CONTACT_BYTES_MAX: Final = 64 * 1024
INVALID_KEPT_MAX: Final = 1_000
TRUE: Final = frozenset({"true", "yes", "1"})
FALSE: Final = frozenset({"false", "no", "0"})

LOCAL_PART_MAX: Final = 64
MAILBOX_MAX: Final = 254
"""RFC 5321, 4.5.3.1."""

_ID = re.compile(ID_PATTERN)
_LOCAL_PART = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_DOMAIN = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
)


class BrokenRule(Exception):
    """Why a line cannot become a contact; names the rule, never a value."""


@dataclass(slots=True)
class ImportReport:
    """How far an import of contacts has come."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    invalid: int = 0
    invalid_lines: list[InvalidLine] = field(default_factory=list)
    """The first 1,000 of them."""
    handed_over: int = 0
    confirmed: int = 0
    """Of the records handed over to Kafka, those that it has."""

    def refuse(self, line: InvalidLine) -> None:
        self.invalid += 1
        if len(self.invalid_lines) < INVALID_KEPT_MAX:
            self.invalid_lines.append(line)

    @property
    def read(self) -> int:
        return self.created + self.updated + self.unchanged + self.invalid


def merge(known: Mapping[str, Any] | None, line: Line) -> dict[str, Any] | None:
    """The whole state of the contact after this line, or None where nothing changes.

    A cell replaces what stands there, an empty cell leaves it; columns that are no part of a contact are attributes.
    An opt-out is never taken back. Fields that this version does not know are kept. Raises BrokenRule.
    """
    blank: dict[str, Any] = {"contact_id": line.contact_id, "state_version": 0, "tags": [], "opted_out": False}
    state: dict[str, Any] = blank if known is None else {**blank, **known}
    attributes, at = dict(state.get("attributes") or {}), dict(state.get("addresses") or {})
    for column, cell in line.cells.items():
        if column in ADDRESSES:
            at[column] = cell
        elif column in PLAIN:
            state[column] = cell
        elif column == "tags":
            state["tags"] = list(dict.fromkeys(tag for part in cell.split(TAG_SEPARATOR) if (tag := part.strip())))
        elif column == "opted_out":
            state["opted_out"] = _flag(cell) or state["opted_out"]
        elif column != ID_COLUMN:
            attributes[column] = cell
    state["attributes"], state["addresses"] = attributes, at
    if known is not None and state == known:
        return None
    state["state_version"] += 1
    return state


def check_line(line: Line, first: dict[str, int]) -> None:
    """What a line must hold by itself; `first` keeps on which line each id stands. Raises BrokenRule."""
    if not _ID.fullmatch(line.contact_id):
        raise BrokenRule(
            f"{ID_COLUMN}: must be an id: at most 64 of letters, digits, '.', '_', ':', '-', starting with a "
            "letter or a digit"
        )
    if first.setdefault(line.contact_id, line.number) != line.number:
        raise BrokenRule(f"{ID_COLUMN}: stands already on line {first[line.contact_id]}")
    email, timezone = line.cells.get("email"), line.cells.get("timezone")
    if email is not None and not _is_mailbox(email):
        raise BrokenRule("email: must be one e-mail address")
    if timezone is not None and zone_named(timezone) is None:
        raise BrokenRule("timezone: must be the name of a time zone, such as Europe/Paris")


def _is_mailbox(text: str) -> bool:
    """Whether an e-mail could go there: one address, neither a list nor a name beside it."""
    local, _, domain = text.strip().rpartition("@")
    if not domain.isascii():
        try:
            domain = domain.encode("idna").decode("ascii")
        except UnicodeError:
            return False
    if len(local) > LOCAL_PART_MAX or len(local) + 1 + len(domain) > MAILBOX_MAX:
        return False
    return _LOCAL_PART.fullmatch(local) is not None and _DOMAIN.fullmatch(domain) is not None


def _flag(cell: str) -> bool:
    lowered = cell.strip().lower()
    if lowered not in TRUE | FALSE:
        raise BrokenRule("opted_out: must be true or false")
    return lowered in TRUE


def contact_data(state: dict[str, Any]) -> bytes:
    """The record's data of a contact. Raises BrokenRule; TypeError or ValueError where it is not UTF-8."""
    try:
        ContactState.model_validate(state)
    except ValidationError as error:
        raise BrokenRule("; ".join(f"{fault.place}: {fault.rule}" for fault in faults_of(error))) from error
    data = orjson.dumps(state)
    if len(data) > CONTACT_BYTES_MAX:
        raise BrokenRule(f"must be at most {CONTACT_BYTES_MAX // 1024} KiB as JSON")
    return data


async def known_contacts(transport: Transport, path: Path) -> dict[str, bytes]:
    """The present states, as JSON, of those contacts of the file that contacts.events knows."""
    names = [Place(topics.CONTACTS_EVENTS, one) for one in range(await transport.partitions(topics.CONTACTS_EVENTS))]
    if await transport.begins(names) == await transport.ends(names):
        return {}
    wanted = {line.contact_id.encode() for line in lines(path) if isinstance(line, Line) and line.contact_id.isascii()}
    states: dict[str, bytes] = {}

    def is_wanted(record: Record) -> bool:
        return record.key in wanted

    async for event in events_to_end(transport, topics.CONTACTS_EVENTS, keep=is_wanted):
        if event.gone:
            states.pop(event.key, None)
            continue
        version, before = _version(event.data), states.get(event.key)
        if version is not None and (before is None or version >= (_version(orjson.loads(before)) or 0)):
            states[event.key] = orjson.dumps(event.data)
    return states


def _version(state: Mapping[str, Any]) -> int | None:
    found = state.get("state_version")
    return found if isinstance(found, int) and not isinstance(found, bool) else None


class ContactsImport:
    """One import of a file. `report` tells at any time how far it has come."""

    def __init__(self, transport: Transport, path: Path, *, source: str, actor: str | None) -> None:
        self.report = ImportReport()
        self._transport = transport
        self._path = path
        self._source = source
        self._actor = actor
        self._import_id = new_id()
        self._now = utc_now()

    async def run(self, *, on_progress: Callable[[ImportReport], None] = lambda _: None) -> ImportReport:
        """Import the whole file; done when Kafka has every record. Raises UnusableFile, Unreachable."""
        known = await known_contacts(self._transport, self._path)
        flying: list[asyncio.Future[object]] = []
        for contact in self._changes(known):
            flying.append(await self._hand_over(contact))
            if len(flying) >= IN_FLIGHT_MAX:
                self._now = utc_now()
                await self._land(flying[: IN_FLIGHT_MAX // 2])
                del flying[: IN_FLIGHT_MAX // 2]
                on_progress(self.report)
        await self._land(flying)
        on_progress(self.report)
        return self.report

    def _changes(self, known: dict[str, bytes]) -> "Iterable[tuple[str, str, bytes]]":
        """Of each contact that changes its id, the type and the data; all lines are counted."""
        first: dict[str, int] = {}
        for line in lines(self._path):
            if isinstance(line, InvalidLine):
                self.report.refuse(line)
                continue
            change = self._change(line, known, first)
            if change is not None:
                yield change

    def _change(self, line: Line, known: dict[str, bytes], first: dict[str, int]) -> tuple[str, str, bytes] | None:
        identity = line.contact_id
        try:
            check_line(line, first)
            before = known.get(identity)
            state = merge(orjson.loads(before) if before is not None else None, line)
            data = contact_data(state) if state is not None else b""
        except BrokenRule as error:
            self.report.refuse(InvalidLine(line.number, str(error)))
            return None
        except (
            TypeError,
            ValueError,
        ):  # bytes that are not UTF-8 were carried as lone surrogates, which JSON cannot hold
            self.report.refuse(InvalidLine(line.number, "must be UTF-8"))
            return None
        if state is None:
            self.report.unchanged += 1
            return None
        self.report.created += before is None
        self.report.updated += before is not None
        return identity, (ContactCreated if before is None else ContactUpdated).TYPE, data

    async def _hand_over(self, change: tuple[str, str, bytes]) -> "asyncio.Future[object]":
        identity, kind, data = change
        self.report.handed_over += 1
        document = envelope.Envelope(
            id=f"{self._import_id}:{self.report.handed_over}",
            source=self._source,
            type=kind,
            subject=identity,
            time=self._now,
            actor=self._actor,
        )
        return await self._transport.send(topics.CONTACTS_EVENTS, key=identity, value=envelope.encode(document, data))

    async def _land(self, flying: "list[asyncio.Future[object]]") -> None:
        try:
            async with asyncio.timeout(LANDING_SECONDS_MAX):
                for written in flying:
                    await acknowledged(written)
                    self.report.confirmed += 1
        except TimeoutError as error:
            raise Unreachable(
                f"Kafka stopped taking records: of {self.report.handed_over:,} contacts handed over it confirmed "
                f"{self.report.confirmed:,}, and it may have the others. Import the file again: what has arrived "
                "counts as unchanged."
            ) from error
