"""I2: after a receipt nothing leaves and nobody enters. I2b: what cannot hear stops does not send.

Sinks and the database read the same clock of one machine, and a sink looks at it after the message has come: an arrival
later than a receipt is later, whatever the difference. Only a network that holds bytes back, which a scene tells of
(`held`, `sink_lag_seconds`), makes a send look later than it was.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sluice_contracts.base import parse_timestamp

from testkit.checker.facts import Event, Facts
from testkit.checker.history import Arrival, Asked, Span
from testkit.checker.invariants import frozen
from testkit.checker.violation import Violation, text

STALENESS_SECONDS_MAX: Final = 5.0
"""`control_staleness_seconds_max`: so long after the last stop could be heard the last send may start."""


@dataclass(frozen=True, slots=True)
class Late:
    """A send after its receipt."""

    arrival: Arrival
    stop: str
    halted_at: datetime

    @property
    def seconds(self) -> float:
        """How late it was."""
        return (self.arrival.at - self.halted_at).total_seconds()

    def stopped_in(self, span: Span) -> bool:
        """Whether the receipt was given meanwhile."""
        return span.since <= self.halted_at <= span.until


def receipts_hold(facts: Facts) -> Iterator[Violation]:
    """I2, but for sends of processes that were frozen (see `residue`)."""
    excused = {id(late.arrival) for late in residue(facts)}
    for late in late_sends(facts):
        if id(late.arrival) not in excused:
            name = facts.name_of(late.arrival.message_id or "")
            yield Violation(
                late.arrival.at,
                "I2",
                f"{name} came to the {late.arrival.channel} sink at {text(late.arrival.at)}, {late.seconds:.3f} s "
                f"after {late.stop} at {text(late.halted_at)}{_looked_again(facts, late)}",
            )
    yield from _entries_after_closing(facts)
    yield from _entries_of_blocked(facts)
    yield from _receipts_owed(facts)
    yield from _receipts_name_all(facts)
    yield from _stops_are_told(facts)


def residue(facts: Facts) -> list[Late]:
    """Sends after a receipt that a freeze excuses (see `frozen`), where it lasted when the receipt was given."""
    found: dict[int, Late] = {}
    for span in facts.run.frozen:
        late = {id(one.arrival): one for one in late_sends(facts) if one.stopped_in(span)}
        late = {key: one for key, one in late.items() if key not in found}  # each freeze excuses what it caught itself
        excused = frozen.sent_by(span, [one.arrival for one in late.values()])
        found |= {id(arrival): late[id(arrival)] for arrival in excused}
    return list(found.values())


def silence_when_deaf(facts: Facts) -> Iterator[Violation]:
    """I2b."""
    allowed = timedelta(seconds=STALENESS_SECONDS_MAX + facts.run.sink_lag_seconds)
    for span in facts.run.deaf:
        for arrival in facts.history.arrivals:
            if span.since + allowed < arrival.at < span.until:
                after = (arrival.at - span.since).total_seconds()
                yield Violation(
                    arrival.at,
                    "I2b",
                    f"{facts.name_of(arrival.message_id or '')} came {after:.1f} s after {span.name} at "
                    f"{text(span.since)}: sending must stop within {STALENESS_SECONDS_MAX:.0f} s",
                )


def late_sends(facts: Facts) -> Iterator[Late]:
    """Every send after a receipt that forbids it, whatever excuses it."""
    by_sequence: dict[str, list[Arrival]] = {}
    by_enrollment: dict[str, list[Arrival]] = {}
    for message_id, arrivals in facts.came.items():
        if message_id in facts.of_message:
            entry, _ = facts.of_message[message_id]
            by_sequence.setdefault(entry.sequence_id, []).extend(arrivals)
            by_enrollment.setdefault(entry.id, []).extend(arrivals)
    yield from _of_halted_sequences(facts, by_sequence)
    yield from _of_halted_contacts(facts, by_enrollment)
    yield from _of_suspended_scopes(facts)


def _of_halted_sequences(facts: Facts, came: Mapping[str, Sequence[Arrival]]) -> Iterator[Late]:
    for event in facts.named.get("SequenceHalted", ()):
        halted_at, opened = event.time("halted_at"), _opened(facts, event)
        for arrival in came.get(event.data["sequence_id"], ()):
            if _after(facts, arrival, halted_at) and (opened is None or arrival.at < opened):
                stop = f"SequenceHalted of {event.data['sequence_id']} (epoch {event.data['epoch']})"
                yield Late(arrival, stop, halted_at)


def _of_halted_contacts(facts: Facts, came: Mapping[str, Sequence[Arrival]]) -> Iterator[Late]:
    for event in facts.named.get("ContactHalted", ()):
        halted_at = event.time("halted_at")
        for enrollment_id in event.data["enrollment_ids"]:
            for arrival in came.get(enrollment_id, ()):
                if _after(facts, arrival, halted_at):
                    yield Late(arrival, f"ContactHalted of removal {event.data['removal_id']}", halted_at)


def _of_suspended_scopes(facts: Facts) -> Iterator[Late]:
    for event in facts.named.get("DeliverySuspended", ()):
        halted_at, restored = event.time("halted_at"), _restored(facts, event)
        channels = _channels(event.data["scope"])
        for arrival in facts.history.arrivals:
            if arrival.channel in channels and _after(facts, arrival, halted_at) and arrival.at < restored:
                yield Late(arrival, f"DeliverySuspended of {event.data['scope']}", halted_at)


def _after(facts: Facts, arrival: Arrival, halted_at: datetime) -> bool:
    """Whether it left later than that, however much later than it left an arrival may look."""
    lag = timedelta(seconds=facts.run.sink_lag_seconds)
    held = any(span.since <= arrival.at <= span.until + lag for span in facts.run.held)
    return halted_at + (lag if held else timedelta()) < arrival.at


def _channels(scope: str) -> tuple[str, ...]:
    kind, _, name = scope.partition(":")
    return ("webhook", "email", "whatsapp") if kind == "all" else (name,) if kind == "channel" else ()


def _opened(facts: Facts, event: Event) -> datetime | None:
    life = facts.lives.get(event.data["sequence_id"])
    return None if life is None else life.opened_after(event.data["epoch"])


def _restored(facts: Facts, event: Event) -> datetime:
    later = [
        one.time("restored_at")
        for one in facts.named.get("DeliveryRestored", ())
        if one.data["scope"] == event.data["scope"] and one.data["epoch"] > event.data["epoch"]
    ]
    return min(later, default=facts.run.ended)


def _looked_again(facts: Facts, late: Late) -> str:
    """What speaks against a sender that had been frozen."""
    stood = any(late.stopped_in(span) and frozen.thawed(span, late.arrival) for span in facts.run.frozen)
    return ", by a sender that had stood still and was to look again" if stood else ""


def _entries_after_closing(facts: Facts) -> Iterator[Violation]:
    for event in facts.named.get("EntryClosed", ()):
        closed_at, opened = event.time("closed_at"), _opened(facts, event)
        for entry in facts.entries.values():
            inside = closed_at < entry.at and (opened is None or entry.at < opened)
            if entry.sequence_id == event.data["sequence_id"] and inside:
                yield Violation(
                    entry.at,
                    "I2",
                    f"{entry} entered at {text(entry.at)}, after EntryClosed (epoch {event.data['epoch']}) at "
                    f"{text(closed_at)}",
                )


def _entries_of_blocked(facts: Facts) -> Iterator[Violation]:
    campaigns = {
        sequence_id: {one.get("campaign") for one in life.versions.values()}
        for sequence_id, life in facts.lives.items()
    }
    for event in facts.named.get("ContactRemoved", ()):
        if event.data["allow_reentry"]:
            continue
        removed_at = event.time("occurred_at")
        ended = {facts.entries[one].sequence_id for one in event.data["enrollment_ids"] if one in facts.entries}
        for entry in facts.entries.values():
            if entry.contact_id != event.data["contact_id"] or entry.at <= removed_at:
                continue
            sequence, campaign = event.data.get("sequence_id"), event.data.get("campaign")
            everywhere = sequence is None and campaign is None and entry.sequence_id in ended
            in_campaign = campaign is not None and campaigns.get(entry.sequence_id) == {campaign}
            if sequence == entry.sequence_id or in_campaign or everywhere:
                yield Violation(
                    entry.at,
                    "I2",
                    f"{entry} entered at {text(entry.at)}, after removal {event.data['removal_id']} at "
                    f"{text(removed_at)} had blocked it",
                )


def _receipts_owed(facts: Facts) -> Iterator[Violation]:
    """A receipt is always written."""
    halted = {event.data["removal_id"] for event in facts.named.get("ContactHalted", ())}
    for event in facts.named.get("ContactRemoved", ()):
        if event.data["removal_id"] not in halted:
            at = event.time("occurred_at")
            sentence = f"removal {event.data['removal_id']} of {event.data['contact_id']} got no ContactHalted"
            yield Violation(at, "I2", sentence)
    given = {
        name: {(one.data["sequence_id"], one.data["epoch"]) for one in facts.named.get(name, ())}
        for name in ("SequenceHalted", "EntryClosed")
    }
    for sequence_id, life in facts.lives.items():
        stops = {one.data["epoch"]: one for one in reversed(life.states) if one.data["status"] in ("paused", "deleted")}
        for epoch, state in stops.items():
            for name, receipts in given.items():
                if (sequence_id, epoch) not in receipts:
                    at = parse_timestamp(state.data["updated_at"])
                    yield Violation(at, "I2", f"the stop of {sequence_id} (epoch {epoch}) got no {name}")
    for asked in facts.commands:
        for answer in facts.answers.get((asked.source, asked.id), ()):
            owed = _owed(facts, asked, answer) if answer.name == "CommandAccepted" else None
            if owed is not None:
                yield Violation(answer.at, "I2", f"{asked.type} {asked.id} was accepted, and got no {owed}")


def _owed(facts: Facts, asked: Asked, answer: Event) -> str | None:
    """What an accepted stop has not got; None where it has, and for other commands.

    The answer stands also where the stop was lost with a database: it is done again, by then perhaps in a later epoch.
    """
    result = answer.data["result"]
    match asked.type:
        case "PauseSequence.v1" | "DeleteSequence.v1":
            status = "paused" if asked.type == "PauseSequence.v1" else "deleted"
            life = facts.lives.get(asked.data["sequence_id"])
            epochs = {one.data["epoch"] for one in (life.states if life else ()) if one.data["status"] == status}
            later = any(one.service == "sequences" and answer.at < one.until for one in facts.run.put_backs)
            done = result["epoch"] in epochs or (later and max(epochs, default=-1) > result["epoch"])
            return None if done else f"state in which {asked.data['sequence_id']} is {status} (epoch {result['epoch']})"
        case "RemoveContact.v1":
            removals = {one.data["removal_id"] for one in facts.named.get("ContactRemoved", ())}
            return None if result["removal_id"] in removals else f"ContactRemoved of removal {result['removal_id']}"
        case "SuspendDelivery.v1":
            suspended = {(one.data["scope"], one.data["epoch"]) for one in facts.named.get("DeliverySuspended", ())}
            scope, epoch = asked.data["scope"], result["epoch"]
            return None if (scope, epoch) in suspended else f"DeliverySuspended of {scope} (epoch {epoch})"
        case _:
            return None


def _receipts_name_all(facts: Facts) -> Iterator[Violation]:
    """The receipt of a removal is for all whom that has ended, and for who had ended before and was being sent to."""
    removals = facts.named.get("ContactRemoved", ())
    ended = {event.data["removal_id"]: set(event.data["enrollment_ids"]) for event in removals}
    of_contact: dict[str, set[str]] = {}
    for event, enrollment_id in facts.ends:
        of_contact.setdefault(event.data["contact_id"], set()).add(enrollment_id)
    for event in facts.named.get("ContactHalted", ()):
        removal_id, named = event.data["removal_id"], set(event.data["enrollment_ids"])
        missing = ended.get(removal_id, set()) - named
        more = named - of_contact.get(event.data["contact_id"], set())
        for which, what in ((missing, "does not name"), (more, "names, who have not ended,")):
            if which:
                yield Violation(event.at, "I2", f"the receipt of removal {removal_id} {what} {sorted(which)}")


def _stops_are_told(facts: Facts) -> Iterator[Violation]:
    """A pause is told to have stopped before it is over, and what is told is what both receipts say."""
    receipts: dict[tuple[str, str, int], Event] = {}
    for name in ("EntryClosed", "SequenceHalted"):
        for event in facts.named.get(name, ()):
            receipts.setdefault((name, event.data["sequence_id"], event.data["epoch"]), event)
    for sequence_id, life in facts.lives.items():
        stopped = {one.data["epoch"]: one for one in reversed(life.states) if one.name == "SequenceStopped"}
        for state in life.states:
            epoch, opened = state.data["epoch"], life.state_after(state.data["epoch"])
            if state.name != "SequencePaused" or opened is None:
                continue
            at, what = parse_timestamp(state.data["updated_at"]), f"the pause of {sequence_id} (epoch {epoch})"
            if epoch not in stopped:
                yield Violation(at, "I2", f"{what} got no SequenceStopped")
            elif stopped[epoch].data["state_version"] > opened.data["state_version"]:
                yield Violation(at, "I2", f"{what} was told to have stopped when it was over")
        for epoch, state in stopped.items():
            closed = receipts.get(("EntryClosed", sequence_id, epoch))
            halted = receipts.get(("SequenceHalted", sequence_id, epoch))
            if closed is None or halted is None:
                continue  # they are owed: see `_receipts_owed`
            said = {name: halted.data[name] for name in ("halted_at", "dropped", "in_flight")}
            said["entry_closed_at"] = closed.data["closed_at"]
            if state.data["receipts"] != said:
                sentence = f"SequenceStopped of {sequence_id} (epoch {epoch}) says {state.data['receipts']}"
                yield Violation(state.at, "I2", f"{sentence}, and its receipts {said}")
