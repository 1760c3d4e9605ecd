"""The sink's memory: an append-only file of arrivals, and what is counted of it."""

import asyncio
import base64
import os
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal

import orjson
from chassis.clock import utc_now

Channel = Literal["webhook", "smtp", "whatsapp"]
CHANNELS: Final[tuple[Channel, ...]] = ("webhook", "smtp", "whatsapp")
Outcome = Literal["accepted", "repeated", "answer_dropped", "failed", "refused", "hung", "reset", "invalid"]

_ACCEPTED: Final[frozenset[str]] = frozenset({"accepted", "answer_dropped"})
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LINES_PER_MARK: Final = 512


@dataclass(frozen=True, slots=True)
class Arrival:
    """What came. `key` is the idempotency key: `webhook-id`, the local part of Message-ID, or the callback data."""

    at: datetime
    channel: Channel
    key: str | None
    to: str | None
    subject: str | None
    body: bytes
    begun: datetime | None = None
    """When its dialogue began, of a mail."""


@dataclass(slots=True)
class _Tally:
    arrivals: int = 0
    accepted: int = 0
    duplicates: int = 0


class Book:
    """Writes arrivals in order, one line each, and remembers every key that it has accepted, also over restarts.

    `note` puts a line aside; `written` returns once the operating system has it. The lines of one turn of the event
    loop are written at once, so that a busy sink makes one system call for many arrivals.
    """

    def __init__(self, path: Path, *, idempotent: Collection[str] = ("webhook",), keep_bodies: bool = False) -> None:
        self._path = path
        self._idempotent = frozenset(idempotent)
        self._keep_bodies = keep_bodies
        self._accepted: dict[str, set[str]] = {channel: set() for channel in CHANNELS}
        self._tallies: dict[str, _Tally] = {channel: _Tally() for channel in CHANNELS}
        self._outcomes: Counter[str] = Counter()
        self._marks: list[tuple[int, int]] = []
        self._lines: list[bytes] = []
        self._line_count = 0
        self._size = 0
        self._latest_ns = 0
        self._flushed: asyncio.Future[None] | None = None
        self._descriptor = -1

    @property
    def path(self) -> Path:
        return self._path

    def open(self) -> None:
        """Read what is there (a last line that was cut off is removed) and go on behind it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with self._path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    os.ftruncate(self._descriptor, self._size)
                    break
                self._count(orjson.loads(line), len(line))

    def close(self) -> None:
        """Write what is left."""
        self._flush()
        os.close(self._descriptor)
        self._descriptor = -1

    def seen(self, channel: Channel, key: str | None) -> bool:
        """Whether a message with this key was accepted before."""
        return key in self._accepted[channel]

    def repeats(self, channel: Channel, key: str | None) -> bool:
        """Whether the channel honours keys and has this one: the same answer again, and nothing delivered."""
        return channel in self._idempotent and self.seen(channel, key)

    def note(
        self, arrival: Arrival, outcome: Outcome, *, status: int | None = None, code: int | None = None
    ) -> asyncio.Future[None]:
        """Record an arrival; await what comes back before it is answered."""
        # The wall clock may be put back; the file stays in order all the same, so that it can be searched.
        at_ns = max(_nanoseconds(arrival.at), self._latest_ns)
        line: dict[str, Any] = {
            "at": _text(at_ns),
            "at_ns": at_ns,
            "channel": arrival.channel,
            "message_id": arrival.key,
            "to": arrival.to,
            "subject": arrival.subject,
            "begun_at": None if arrival.begun is None else _text(_nanoseconds(arrival.begun)),
            "sha256": sha256(arrival.body).hexdigest(),
            "size": len(arrival.body),
            "duplicate": self.seen(arrival.channel, arrival.key),
            "outcome": outcome,
            "accepted": outcome in _ACCEPTED,
            "status": status,
            "code": code,
        }
        if self._keep_bodies:
            line["body"] = _readable(arrival.body)
        written = orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
        self._lines.append(written)
        self._count(line, len(written))
        if self._flushed is None:
            loop = asyncio.get_running_loop()
            self._flushed = loop.create_future()
            loop.call_soon(self._flush)
        return self._flushed

    def counts(self) -> dict[str, Any]:
        """What arrived since the file began; `unique` are the different messages that were accepted."""
        return {
            "arrivals": sum(tally.arrivals for tally in self._tallies.values()),
            "accepted": sum(tally.accepted for tally in self._tallies.values()),
            "unique": sum(len(keys) for keys in self._accepted.values()),
            "duplicates": sum(tally.duplicates for tally in self._tallies.values()),
            "last_at_ns": self._latest_ns,
            "outcomes": dict(self._outcomes),
            "channels": {
                channel: {**asdict(tally), "unique": len(self._accepted[channel])}
                for channel, tally in self._tallies.items()
            },
        }

    def since(self, at_ns: int, *, limit: int) -> list[dict[str, Any]]:
        """The first `limit` arrivals that are later than `at_ns`, oldest first."""
        return [line for line, _ in zip(self._later(at_ns), range(limit), strict=False)]

    def _later(self, at_ns: int) -> Iterator[dict[str, Any]]:
        self._flush()
        mark = bisect_right(self._marks, (at_ns, -1)) - 1
        with self._path.open("rb") as file:
            file.seek(self._marks[mark][1] if mark >= 0 else 0)
            for text in file:
                line: dict[str, Any] = orjson.loads(text)
                if line["at_ns"] > at_ns:
                    yield line

    def _count(self, line: dict[str, Any], size: int) -> None:
        self._latest_ns = line["at_ns"]
        if self._line_count % _LINES_PER_MARK == 0:
            self._marks.append((self._latest_ns, self._size))
        self._line_count += 1
        self._size += size
        tally = self._tallies[line["channel"]]
        tally.arrivals += 1
        tally.duplicates += line["duplicate"]
        self._outcomes[line["outcome"]] += 1
        if line["accepted"]:
            tally.accepted += 1
            if line["message_id"] is not None:
                self._accepted[line["channel"]].add(line["message_id"])

    def _flush(self) -> None:
        lines, self._lines = b"".join(self._lines), []
        flushed, self._flushed = self._flushed, None
        try:
            while lines:
                lines = lines[os.write(self._descriptor, lines) :]
        except OSError as error:
            # Nothing may be answered that is not in the file; a part of a line is removed at the next start.
            raise SystemExit(f"The sink cannot write {self._path}: {error.strerror}.") from error
        if flushed is not None and not flushed.done():
            flushed.set_result(None)


def arrived(
    channel: Channel,
    *,
    key: str | None,
    to: str | None,
    subject: str | None,
    body: bytes,
    begun: datetime | None = None,
) -> Arrival:
    """An arrival of this moment."""
    return Arrival(at=utc_now(), channel=channel, key=key, to=to, subject=subject, body=body, begun=begun)


def _nanoseconds(moment: datetime) -> int:
    since = moment - _EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000


def _text(at_ns: int) -> str:
    return (_EPOCH + _microseconds(at_ns)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _microseconds(nanoseconds: int) -> timedelta:
    return timedelta(microseconds=nanoseconds // 1_000)


def _readable(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(body).decode()
