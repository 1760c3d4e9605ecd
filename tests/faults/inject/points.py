"""Named points of a process, where a scene has it killed or frozen: the file `point` says which, once."""

import os
import signal
from collections.abc import Awaitable, Callable, Collection
from functools import wraps
from inspect import signature
from typing import Any, Final

import orjson
from sluice_contracts import topics

from tests.faults.inject import FOLDER

POINTS: Final = {
    "before-claim-commit": "the claim is written and not committed",
    "after-claim": "the claim is committed, nothing has left",
    "before-first-byte": "the last look is done, the first byte has not left",
    "after-send": "the sink has it, nothing is booked",
    "after-mail": "the mail server has it, nothing is booked",
    "before-result": "results are about to be written",
    "after-result": "results are written and not committed",
    "after-outbox": "the outbox is written and not committed",
    "before-relay": "states are read from the outbox, Kafka has none of them",
    "mid-relay": "Kafka has it, the outbox still has it",
    "mid-batch": "the offsets are written, the handlers have not run",
    "mid-erasure": "a batch is erased and not committed",
    "in-halter": "a receipt is written and not committed",
    "in-reaper": "a lease is ended and not committed",
    "after-closing": "a gate is closed and not committed",
}

_hits: dict[tuple[int, str], int] = {}


def hit(role: str, point: str, *, message_id: str | None = None, keys: Collection[str] = ()) -> None:
    """Do what is asked for at this point: the first process that takes the file away does it."""
    file = FOLDER / "point"
    try:
        written = file.stat().st_mtime_ns
        asked = orjson.loads(file.read_bytes())
    except (OSError, ValueError):
        return
    if asked["point"] != point or not role.startswith(asked["role"]) or asked["key"] not in ("", *keys):
        return
    _hits[written, point] = _hits.get((written, point), 0) + 1
    if _hits[written, point] <= asked.get("skip", 0):
        return
    try:
        file.unlink()
    except OSError:
        return
    partial = FOLDER / f".struck-{os.getpid()}"
    partial.write_bytes(orjson.dumps({"point": point, "role": role, "pid": os.getpid(), "message_id": message_id}))
    partial.replace(FOLDER / "struck")
    os.kill(os.getpid(), signal.SIGSTOP if asked["do"] == "stop" else signal.SIGKILL)


def install(role: str) -> None:
    """Put the points where they belong. A name that is gone from the product fails here, loudly."""
    from messaging import offsets, outbox, relay

    _after(outbox, "write", role, "after-outbox")
    _states_in_hand(relay, role, "before-relay")
    _after(relay, "_send", role, "mid-relay")
    _after(offsets, "advance", role, "mid-batch")
    if role == "delivery-send":
        _sender(role)
    elif role == "delivery-plan":
        from delivery.loops import eraser, reaper
        from delivery.store import gates, halts

        _after(eraser, "_erase_batch", role, "mid-erasure", when=_some)
        _after(halts, "settle_sequences", role, "in-halter", when=_some)
        _after(halts, "settle_contacts", role, "in-halter", when=_some)
        _after(reaper, "reap", role, "in-reaper")
        _after(gates, "save", role, "after-closing", when=lambda _, _conn, saved: not all(gate.open for gate in saved))
    elif role == "enrollment-run":
        from enrollment.handlers import erasure

        _after(erasure, "erase_some", role, "mid-erasure", when=_some)
    elif role == "sequences-run":
        from sequences.handlers import erasures

        _after(erasures, "erase_some", role, "mid-erasure", when=_some)
    elif role == "console-run":
        from console.handlers import erasure as heard

        _after(heard, "erase_some", role, "mid-erasure", when=_some)


def _sender(role: str) -> None:
    from delivery.channels.email import EmailChannel
    from delivery.channels.webhook import WebhookChannel
    from delivery.loops import booker
    from delivery.loops.sender import Sender
    from delivery.store import claiming

    _after(claiming, "claim", role, "before-claim-commit", when=_some)
    _before(Sender, "_take", role, "after-claim", when=lambda _self, rows, _from: bool(rows))
    for point, channels in (("after-mail", {"email"}), ("after-send", {"email", "webhook"})):
        _before(Sender, "_end", role, point, when=_sent_by(channels))
    _before(booker, "book", role, "before-result", when=lambda _conn, bookings: bool(bookings))
    _after(booker, "book", role, "after-result")
    for channel in (EmailChannel, WebhookChannel):
        _behind_the_look(channel, role, "before-first-byte")


def _sent_by(channels: set[str]) -> Callable[..., bool]:
    """The receiver has taken it."""

    def sent(_self: object, _lane: object, row: Any, result: Any, _content: object, _following: object) -> bool:
        return result.outcome.name == "SENT" and row.channel in channels

    return sent


def _some(result: object, *_: object) -> bool:
    """There was something to do."""
    return bool(result)


def _states_in_hand(relay: Any, role: str, point: str) -> None:
    """Where the relay has states of these keys in hand."""
    kept: Callable[..., Awaitable[Any]] = relay._send

    @wraps(kept)
    async def send(producer: Any, rows: Any) -> Any:
        if keys := {row.key.decode() for row in rows if row.topic in topics.COMPACTED}:
            hit(role, point, keys=keys)
        return await kept(producer, rows)

    relay._send = send


def _behind_the_look(channel: Any, role: str, point: str) -> None:
    """Where the channel has looked with the connection at hand, and has not written yet."""
    kept: Callable[..., Awaitable[Any]] = channel.send

    @wraps(kept)
    async def send(self: Any, message: Any, *, before_first_byte: Callable[[], None]) -> Any:
        def looked() -> None:
            before_first_byte()
            hit(role, point, message_id=message.message_id)

        return await kept(self, message, before_first_byte=looked)

    channel.send = send


def _after(owner: Any, name: str, role: str, point: str, *, when: Callable[..., object] = lambda *_: True) -> None:
    kept: Callable[..., Awaitable[Any]] = getattr(owner, name)

    @wraps(kept)
    async def struck(*args: Any, **kwargs: Any) -> Any:
        result = await kept(*args, **kwargs)
        if when(result, *args):
            hit(role, point)
        return result

    setattr(owner, name, struck)


def _before(owner: Any, name: str, role: str, point: str, *, when: Callable[..., object] = lambda *_: True) -> None:
    kept: Callable[..., Any] = getattr(owner, name)
    taken = (one for one in signature(kept).parameters.values() if one.kind is one.POSITIONAL_OR_KEYWORD)
    signature(when).bind(*taken)  # or it would fail the process that it is for, in the middle

    @wraps(kept)
    def struck(*args: Any, **kwargs: Any) -> Any:
        if when(*args):
            hit(role, point)
        return kept(*args, **kwargs)

    setattr(owner, name, struck)
