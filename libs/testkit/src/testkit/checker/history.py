"""What is known of a run from the outside, kept as files in a directory so that it can be judged again."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

import orjson
from sluice_contracts.base import format_timestamp, parse_timestamp

RUN: Final = "run.json"
CLIENTS: Final = "clients.jsonl"
ARRIVALS: Final = "arrivals.jsonl"
RECORDS: Final = "records.jsonl"
ROWS: Final = "rows.jsonl"


@dataclass(frozen=True, slots=True)
class Span:
    """Something that lasted: a process that was frozen, Kafka that could not be reached."""

    name: str
    since: datetime
    until: datetime
    point: str | None = None
    """Where in its code a process stood still, where that is known."""
    message_id: str | None = None
    """Of a sender that stood still between its last look and the first byte: what it was about to send."""


@dataclass(frozen=True, slots=True)
class PutBack:
    """A service's database was put back to an earlier moment: to that of `taken_at`."""

    service: str
    taken_at: datetime
    since: datetime
    """From here on the processes of before did nothing more."""
    until: datetime
    """Here the last of them was gone; others may have started."""
    found_at: datetime | None = None
    """When the service says that it noticed, by the database's clock; None: it never did."""
    opened_at: datetime | None = None
    """When it says that it had caught up."""


@dataclass(frozen=True, slots=True)
class Found:
    """How many rows of a table, or records of a topic, hold a word that was to be erased."""

    word: str
    where: str
    count: int


@dataclass(frozen=True, slots=True)
class Run:
    """What the checker must know of how the history came to be."""

    name: str
    seed: int
    began: datetime
    ended: datetime
    idempotent: tuple[str, ...] = ("webhook",)
    """Channels whose sink honours idempotency keys."""
    frozen: tuple[Span, ...] = ()
    """Processes that stood still (SIGSTOP), by name."""
    deaf: tuple[Span, ...] = ()
    """When no stop could be heard: nothing may be sent soon after it began."""
    put_backs: tuple[PutBack, ...] = ()
    """Databases that were put back, in their order."""
    sink_lag_seconds: float = 0.0
    """So long may the network have held bytes back between a sender and a sink, while it was `held`."""
    held: tuple[Span, ...] = ()
    """When it did."""
    booking_lag_seconds: float = 1.0
    """So much later than it read the clock may a sender have sent, or one of its statements have been committed."""
    calm: bool = False
    """Nothing breaks between senders, sinks and Postgres: no message has a reason to be in doubt."""
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Rows of each queue table, before the run and at its end."""
    canaries: Mapping[str, str] = field(default_factory=dict)
    """The word that stands in every text of a sequence, by its id."""
    found: tuple[Found, ...] = ()
    """What was looked for of the canaries of deleted sequences."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client wrote, and what it heard; times by the client's own clock."""

    source: str
    id: str
    type: str
    topic: str
    key: str
    data: Mapping[str, Any]
    asked_at: datetime
    heard_at: datetime | None = None
    """None: it gave up before it heard anything."""
    heard: Mapping[str, Any] | None = None
    """`{"result": …}` or `{"code": …}`."""
    kind: Literal["command", "neighbour", "poison", "refused", "ignored"] = "command"
    """`neighbour`: a command that was written right behind poison, to its partition. `poison` is to be set aside,
    `refused` to be answered `invalid`, `ignored` to be passed over."""
    record: Record | None = None
    """Of the last three: what was written, byte for byte."""
    untroubled: tuple[str, ...] = ()
    """Of poison: who reads it and does not set it aside, for it does not concern them or can be handled."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """What a sink saw, by the sink's own clock."""

    at: datetime
    channel: str
    message_id: str | None
    accepted: bool
    """Taken as a message for the recipient, whether or not that could be answered."""
    outcome: str
    to: str
    about: tuple[str, str, str] | None = None
    """Sequence, contact and step as the message itself says; no key of ours is needed for it."""
    begun_at: datetime | None = None
    """When its dialogue began, of a mail."""
    written_at: datetime | None = None
    """What its sender's clock said, of a mail (`Date`); in seconds."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a topic, as it stands there."""

    topic: str
    partition: int
    offset: int
    at: datetime
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table at the end, as JSON."""

    table: str
    row: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class History:
    """A run from the outside."""

    run: Run
    clients: tuple[Asked, ...] = ()
    arrivals: tuple[Arrival, ...] = ()
    records: tuple[Record, ...] = ()
    rows: tuple[Row, ...] = ()

    def write(self, folder: Path) -> None:
        """Keep it as files; what was there is replaced."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RUN).write_bytes(orjson.dumps(_plain(asdict(self.run)), option=orjson.OPT_INDENT_2))
        for name, parts in (
            (CLIENTS, self.clients),
            (ARRIVALS, self.arrivals),
            (RECORDS, self.records),
            (ROWS, self.rows),
        ):
            _write(folder / name, parts)

    @classmethod
    def read(cls, folder: Path) -> History:
        """What `write` kept."""
        return cls(
            run=_run(orjson.loads((folder / RUN).read_bytes())),
            clients=tuple(_asked(line) for line in _lines(folder / CLIENTS)),
            arrivals=tuple(_arrival(line) for line in _lines(folder / ARRIVALS)),
            records=tuple(_record(line) for line in _lines(folder / RECORDS)),
            rows=tuple(Row(**line) for line in _lines(folder / ROWS)),
        )


def _write(file: Path, parts: Iterable[Any]) -> None:
    with file.open("wb") as out:
        for part in parts:
            out.write(orjson.dumps(_plain(asdict(part)), option=orjson.OPT_APPEND_NEWLINE))


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    with file.open("rb") as lines:
        for line in lines:
            yield orjson.loads(line)


def _plain(value: Any) -> Any:
    """As JSON takes it: times as texts; bytes as the text that they are, or in base64 where they are none."""
    match value:
        case datetime():
            return format_timestamp(value)
        case bytes():
            try:
                return value.decode()
            except UnicodeDecodeError:
                return {"base64": base64.b64encode(value).decode()}
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return value


def _bytes(value: Any) -> bytes | None:
    if value is None:
        return None
    return base64.b64decode(value["base64"]) if isinstance(value, dict) else value.encode()


def _time(value: str | None) -> Any:
    return None if value is None else parse_timestamp(value)


def _run(line: dict[str, Any]) -> Run:
    spans = {
        name: tuple(Span(**{**one, "since": _time(one["since"]), "until": _time(one["until"])}) for one in line[name])
        for name in ("frozen", "deaf", "held")
    }
    return Run(
        **{
            **line,
            **spans,
            "put_backs": tuple(_put_back(one) for one in line.get("put_backs", ())),
            "began": _time(line["began"]),
            "ended": _time(line["ended"]),
            "idempotent": tuple(line["idempotent"]),
            "sizes": {table: (sizes[0], sizes[1]) for table, sizes in line["sizes"].items()},
            "found": tuple(Found(**one) for one in line["found"]),
        }
    )


def _put_back(line: dict[str, Any]) -> PutBack:
    return PutBack(**{name: value if name == "service" else _time(value) for name, value in line.items()})


def _asked(line: dict[str, Any]) -> Asked:
    record = None if line["record"] is None else _record(line["record"])
    times = {"asked_at": _time(line["asked_at"]), "heard_at": _time(line["heard_at"])}
    return Asked(**{**line, **times, "record": record, "untroubled": tuple(line.get("untroubled", ()))})


def _arrival(line: dict[str, Any]) -> Arrival:
    about = line["about"]
    times = {name: _time(line.get(name)) for name in ("at", "begun_at", "written_at")}
    return Arrival(**{**line, **times, "about": None if about is None else tuple(about)})


def _record(line: dict[str, Any]) -> Record:
    return Record(
        topic=line["topic"],
        partition=line["partition"],
        offset=line["offset"],
        at=_time(line["at"]),
        key=_bytes(line["key"]),
        value=_bytes(line["value"]),
        headers=tuple((name, _bytes(value)) for name, value in line["headers"]),
    )
