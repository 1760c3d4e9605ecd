"""Bugs on purpose, in processes that start while the file `plant` names one: each must be found by the checker.

Each says the promise that it breaks. One that has nothing to hold on to any more fails the process that it is for.
"""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from chassis.clock import new_id, sleep

from tests.faults.inject import FOLDER

LOST: Final = 3
"""So many who entered are lost with a batch: some of them may be removed, or deleted, before they miss anything."""


def install(role: str) -> None:
    """Plant what the file names, where it is for this process. Impatience is planted everywhere."""
    _be_impatient(role)
    try:
        name = (FOLDER / "plant").read_text().strip()
    except OSError:
        return
    roles, plant = PLANTS[name]
    if role in roles:
        plant()


def _be_impatient(role: str) -> None:
    """No bug: what is tried again is so within seconds, for a scene has no quarter of an hour."""
    if role == "delivery-send":
        from delivery.loops import outcomes

        _put(outcomes, "RETRY_SECONDS_MAX", 2.0)


def _offset_before_work() -> None:
    """I1: the offset is committed, then the work is done; a crash in between loses a batch."""
    from messaging import offsets
    from messaging.pipeline import Pipeline

    kept, advance = Pipeline._transact, offsets.advance

    async def transact(self: Pipeline, routes: Any, part: Any, positions: Any) -> Any:
        if routes.topic != "enrollment.events":
            return await kept(self, routes, part, positions)
        moved = {one.record.partition: one.record.offset + 1 for one in part}
        async with self.pool.acquire() as conn:
            await advance(conn, routes.topic, [offsets.Move(p, positions[p], upto) for p, upto in moved.items()])
        if sum(b"ContactEnrolled" in (one.record.value or b"") for one in part) >= LOST:
            (FOLDER / "plant").unlink(missing_ok=True)
            os.kill(os.getpid(), signal.SIGKILL)
        return await kept(self, routes, part, moved)

    _put(Pipeline, "_transact", transact)


def _gate_ignored() -> None:
    """I2: claims and checks pass over closed gates."""
    from delivery.loops.control import Control
    from delivery.store import claiming

    _put(claiming, "_CLAIM", _without(claiming._CLAIM, "and g.open"))
    _put(claiming, "_PROBE", _changed(claiming._PROBE, "where g.open and", "where"))
    _put(Control, "may_send", lambda *_: True)


def _scope_ignored() -> None:
    """I2: claims and checks pass over what is suspended."""
    from delivery.loops.control import Control
    from delivery.store import claiming

    _put(claiming, "_CLAIM", _changed(claiming._CLAIM, "s.status <> 'running'", "false"))
    _put(claiming, "_PROBE", _changed(claiming._PROBE, "s.status <> 'running'", "false"))
    _put(Control, "lane_open", lambda *_: True)


def _removal_ignored() -> None:
    """I2: what a removal ends is marked, and waits for its time as before."""
    from delivery.handlers import ends

    async def end(*_: Any) -> None:
        return None

    _put(ends, "_end", end)


def _lease_not_checked() -> None:
    """I2: who was frozen with a claim in hand sends it when it goes on, as if nothing had been.

    The gates are not looked at either: they alone would hold it back, as the lease alone would.
    """
    from delivery.loops.control import Control
    from delivery.loops.sender import SendLimits

    _put(SendLimits, "start_seconds_max", 1e6)
    _put(Control, "may_send", lambda *_: True)
    _put(Control, "lane_open", lambda *_: True)


def _entry_not_closed() -> None:
    """I2: who enrolls does not look at whether the sequence is paused."""
    from enrollment.domain import entry
    from enrollment.domain.sequence import Status

    kept = entry.admit

    def admit(sequence: Any, standing: Any) -> Any:
        paused = sequence is not None and sequence.status is Status.PAUSED
        return kept(replace(sequence, status=Status.ACTIVE) if paused else sequence, standing)

    _put(entry, "admit", admit)


def _deaf_senders() -> None:
    """I2b: senders do not mind that stops are not heard."""
    from delivery.loops.control import Control

    _put(Control, "fresh", lambda _: True)


def _key_per_attempt() -> None:
    """I3: each attempt has a key of its own."""
    from delivery.loops.contents import Version

    kept = Version.outgoing

    def outgoing(self: Version, row: Any) -> Any:
        return replace(kept(self, row), message_id=new_id())

    _put(Version, "outgoing", outgoing)


def _mail_sent_again() -> None:
    """I3: a mail whose sender died is sent again, though nobody knows whether it had left."""
    from delivery.domain import lapse

    _put(lapse, "IDEMPOTENT_CHANNELS", frozenset({"webhook", "email"}))


def _clock_ahead() -> None:
    """I4: what is due in a moment is claimed already."""
    from delivery.store import claiming

    ahead = "clock_timestamp() + interval '700 ms' - g.clock_offset as active_now"
    _put(claiming, "_CLAIM", _changed(claiming._CLAIM, "clock_timestamp() - g.clock_offset as active_now", ahead))
    soon = "select clock_timestamp() + interval '700 ms' as now"
    _put(claiming, "_PROBE", _changed(claiming._PROBE, "select clock_timestamp() as now", soon))


def _result_not_by_token() -> None:
    """I5: a sender whose claim was over writes its result all the same."""
    from delivery.store import booking

    _put(booking, "_BOOK", _without(booking._BOOK, "and p.token = r.token"))


def _booked_twice() -> None:
    """I5: what was sent is booked as two."""
    from delivery.store import booking

    sent = "count(*) filter (where not stays and outcome = 'sent')"
    statement = _changed(booking._BOOK, f"    {sent},", f"    2 * {sent},")
    planned = "select sequence_id, count(*) filter (where goes_on),"
    _put(booking, "_BOOK", _changed(statement, planned, f"{planned[:-1]} + {sent},"))


def _stop_told_otherwise() -> None:
    """I2: who tells of a stop does not say what its receipts say."""
    from sequences.domain.sequence import Sequence

    kept = vars(Sequence)["receipts"].fget

    def receipts(self: Sequence) -> Any:
        found = kept(self)
        return None if found is None else found.model_copy(update={"in_flight": found.in_flight + 1})

    _put(Sequence, "receipts", property(receipts))


def _order_of_outbox() -> None:
    """I6: the relay publishes a batch from its end."""
    from messaging import outbox

    kept = outbox.read

    async def read(*args: Any, **kwargs: Any) -> Any:
        await sleep(0.3)
        return list(reversed(await kept(*args, **kwargs)))

    _put(outbox, "read", read)


def _last_word_left() -> None:
    """I6: a service does not mind that an older state of its own lands behind a newer one."""
    from sequences.store import echoes

    async def late(*_: Any) -> list[str]:
        return []

    _put(echoes, "late", late)


def _shift_forgotten() -> None:
    """I7: a pause that was to shift what waits does not."""
    from delivery.store import gates

    kept = gates.save

    async def save(conn: Any, changed: Any) -> None:
        await kept(conn, [replace(one, clock_offset=timedelta()) for one in changed])

    _put(gates, "save", save)


def _rows_left() -> None:
    """I8: what an edit asked to be planned again stays on the list."""
    from delivery.store import replans

    async def finish(*_: Any) -> int:
        return 0

    _put(replans, "finish", finish)


def _bytes_dropped() -> None:
    """I9: what is set aside is not as it came."""
    from messaging import quarantine

    kept = quarantine.envelop

    def envelop(service: str, inbound: Any) -> Any:
        record = kept(service, inbound)
        return record if record.value is None else record._replace(value=record.value[:-1])

    _put(quarantine, "envelop", envelop)


def _definition_kept() -> None:
    """I10: an erasure passes over a table."""
    from delivery.store import definitions

    async def erase(*_: Any) -> int:
        return 0

    _put(definitions, "erase", erase)


def _inbox_off() -> None:
    """I11: what was handled is handled again."""
    from messaging import inbox

    async def nothing(*_: Any) -> Any:
        return {}

    _put(inbox, "seen", nothing)
    _put(inbox, "record", nothing)


def _put_back_unnoticed() -> None:
    """I12: who starts does not look at what was said beyond its outbox."""
    from messaging.lookout import Lookout

    async def beyond(*_: Any) -> None:
        return None

    _put(Lookout, "_beyond", beyond)


def _put(owner: Any, name: str, value: Any) -> None:
    assert hasattr(owner, name), f"{owner} has no {name} any more: nothing would be broken"
    setattr(owner, name, value)


def _changed(statement: str, old: str, new: str) -> str:
    assert old in statement, f"the statement has changed, nothing would be broken: {old}"
    return statement.replace(old, new)


def _without(statement: str, part: str) -> str:
    return _changed(statement, part, "")


SENDERS: Final = ("delivery-send",)
PLANNER: Final = ("delivery-plan",)
READERS: Final = ("sequences-run", "enrollment-run", "delivery-plan")

PLANTS: Final[dict[str, tuple[tuple[str, ...], Callable[[], None]]]] = {
    "offset-before-work": (PLANNER, _offset_before_work),
    "gate-ignored": (SENDERS, _gate_ignored),
    "scope-ignored": (SENDERS, _scope_ignored),
    "removal-ignored": (PLANNER, _removal_ignored),
    "lease-not-checked": (SENDERS, _lease_not_checked),
    "entry-not-closed": (("enrollment-run",), _entry_not_closed),
    "stop-told-otherwise": (("sequences-run",), _stop_told_otherwise),
    "deaf-senders": (SENDERS, _deaf_senders),
    "key-per-attempt": (SENDERS, _key_per_attempt),
    "mail-sent-again": (PLANNER, _mail_sent_again),
    "clock-ahead": (SENDERS, _clock_ahead),
    "result-not-by-token": (SENDERS, _result_not_by_token),
    "booked-twice": (SENDERS, _booked_twice),
    "order-of-outbox": (("sequences-run",), _order_of_outbox),
    "last-word-left": (("sequences-run",), _last_word_left),
    "shift-forgotten": (PLANNER, _shift_forgotten),
    "rows-left": (PLANNER, _rows_left),
    "bytes-dropped": (READERS, _bytes_dropped),
    "definition-kept": (PLANNER, _definition_kept),
    "inbox-off": (("sequences-run", "enrollment-run"), _inbox_off),
    "put-back-unnoticed": (PLANNER, _put_back_unnoticed),
}
"""Which processes each is planted in."""
