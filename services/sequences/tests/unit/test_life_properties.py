"""Whatever is asked in whatever order, the promises of a sequence's state hold."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from campaign.active_clock import ActiveClock
from hypothesis import given, settings
from hypothesis import strategies as st
from messaging import Cause, Decision, Refused
from sequences.domain import draft, lifecycle
from sequences.domain.definition import Findings, Limits
from sequences.domain.sequence import Sequence, announced_again
from sluice_contracts.delivery import SequenceHalted
from sluice_contracts.enrollment import EntryClosed
from sluice_contracts.sequences import (
    PauseSequence,
    PublishSequence,
    ResumeSequence,
    SaveSequence,
    SequenceResumed,
    SequenceState,
    SequenceStopped,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CAUSE = Cause(source="tests", id="1")
LIMITS = Limits(definition_bytes_max=1_000, steps_max=10)
MODES: tuple[dict[str, Any], ...] = (
    {},
    {"overdue": "send_now"},
    {"overdue": "skip"},
    {"overdue": "send_now", "max_lateness": "1h"},
)
"""How to resume, by number."""
ACTIONS = ("save", "publish", "pin", "pause", "pause until", "resume", "wait", "delete", "close", "halt", "stop")
ANY_STEPS = st.lists(
    st.tuples(st.sampled_from(ACTIONS), st.integers(0, 3), st.integers(0, 3_600_000_000)), min_size=1, max_size=40
)
OPENING = [("save", 0, 0), ("publish", 0, 0)]
STEPS = st.one_of(ANY_STEPS, ANY_STEPS.map(lambda steps: [*OPENING, *steps]))
"""Half of the lives begin with something published: else pauses, and what ends them, would be rare."""


@dataclass
class Life:
    """A sequence, the clock of its database, and all that was said of it."""

    sequence: Sequence | None = None
    now: datetime = NOON
    events: list[SequenceState] = field(default_factory=list)
    by_itself: list[tuple[datetime, SequenceState]] = field(default_factory=list)
    """What resumed by itself, and when it was to."""

    def do(self, action: str, number: int) -> None:
        if action == "stop":  # both receipts of the present epoch
            self.do("close", 0)
            self.do("halt", 0)
            return
        try:
            decision = self._decide(action, number)
        except Refused:
            return
        self._keep(decision)
        if self.sequence is not None:
            self._keep(lifecycle.complete_resume(self.sequence, now=self.now))
        if self.sequence is not None and action == "wait":
            timer, decision = self.sequence.resume_timer, lifecycle.resume_by_itself(self.sequence, now=self.now)
            events = [message for message in decision.messages if isinstance(message, SequenceState)]
            self.by_itself += [(timer.at, event) for event in events if timer is not None]
            self._keep(decision)

    def _keep(self, decision: Decision[Sequence]) -> None:
        self.sequence = decision.state or self.sequence
        self.events += [message for message in decision.messages if isinstance(message, SequenceState)]

    def _decide(self, action: str, number: int) -> Decision[Sequence]:
        one: dict[str, Any] = {"sequence_id": "a"}
        epoch = max(0, (self.sequence.epoch if self.sequence else 0) - number)
        match action:
            case "save":
                command = SaveSequence(**one, definition={"name": str(number)})
                return draft.save(self.sequence, command, limits=LIMITS, now=self.now)
            case "publish" | "pin":
                asked = PublishSequence(**one, in_flight=("pin" if action == "pin" else (None, "follow")[number % 2]))
                return draft.publish(self.sequence, asked, findings=Findings(), now=self.now)
            case "pause" | "pause until":
                until = self.now + timedelta(minutes=20 * number) if action == "pause until" else None
                pausing = PauseSequence(**one, reason=str(number), resume_at=until)
                return lifecycle.pause(self.sequence, pausing, cause=CAUSE, now=self.now)
            case "resume":
                resuming = ResumeSequence(**one, **MODES[number])
                return lifecycle.resume(self.sequence, resuming, cause=CAUSE, now=self.now)
            case "wait":
                return Decision()
            case "delete":
                return lifecycle.delete(self.sequence, cause=CAUSE, now=self.now)
            case "close":
                receipt = EntryClosed(**one, epoch=epoch, closed_at=self.now)
                return lifecycle.entry_closed(self.sequence, receipt, now=self.now)
            case _:
                halted = SequenceHalted(**one, epoch=epoch, dropped=0, in_flight=0, halted_at=self.now)
                return lifecycle.sequence_halted(self.sequence, halted, now=self.now)


def lived(steps: list[tuple[str, int, int]]) -> Life:
    life = Life()
    for action, number, microseconds in steps:
        life.now += timedelta(microseconds=microseconds)
        life.do(action, number)
    return life


@given(STEPS)
@settings(max_examples=300, deadline=None)
def test_the_state_version_rises_by_one_with_each_event(steps: list[tuple[str, int, int]]) -> None:
    life = lived(steps)

    assert [event.state_version for event in life.events] == list(range(1, len(life.events) + 1))


@given(STEPS)
@settings(max_examples=300, deadline=None)
def test_the_last_event_holds_the_whole_state(steps: list[tuple[str, int, int]]) -> None:
    life = lived(steps)

    if life.sequence is not None:
        repeated = announced_again(life.sequence).model_dump(exclude={"receipts"})
        assert repeated == life.events[-1].model_dump(exclude={"receipts"})


@given(STEPS)
@settings(max_examples=300, deadline=None)
def test_nothing_follows_a_deletion_and_no_epoch_falls(steps: list[tuple[str, int, int]]) -> None:
    events = lived(steps).events

    statuses = [event.status for event in events]
    assert "deleted" not in statuses[:-1]
    assert [event.epoch for event in events] == sorted(event.epoch for event in events)


@given(STEPS)
@settings(max_examples=300, deadline=None)
def test_nothing_resumes_before_it_has_stopped(steps: list[tuple[str, int, int]]) -> None:
    events = lived(steps).events

    stopped = {event.epoch for event in events if isinstance(event, SequenceStopped)}
    assert {event.epoch - 1 for event in events if isinstance(event, SequenceResumed)} <= stopped


@given(STEPS)
@settings(max_examples=300, deadline=None)
def test_the_active_clock_is_behind_by_the_shifted_pauses_exactly(steps: list[tuple[str, int, int]]) -> None:
    life = lived(steps)

    total = timedelta()
    for event in life.events:
        if isinstance(event, SequenceResumed) and event.overdue == "shift":
            assert event.resumed_at is not None
            assert event.paused_at is not None
            total += event.resumed_at - event.paused_at
        assert timedelta(seconds=event.clock_offset_seconds) == total
    assert life.sequence is None or life.sequence.clock_offset == total


@given(STEPS)
@settings(max_examples=300, deadline=None)
def test_the_active_clock_never_runs_backwards_and_stands_while_paused(steps: list[tuple[str, int, int]]) -> None:
    shown = datetime.min.replace(tzinfo=UTC)
    for event in lived(steps).events:
        offset = timedelta(seconds=event.clock_offset_seconds)
        clock = ActiveClock(offset, event.paused_at if event.status == "paused" else None)
        assert clock.at(event.updated_at) >= shown
        shown = clock.at(event.updated_at)
        if isinstance(event, SequenceResumed) and event.overdue == "shift":
            assert event.paused_at is not None
            assert event.resumed_at is not None
            pause = event.resumed_at - event.paused_at
            assert shown == ActiveClock(offset - pause, event.paused_at).at(event.updated_at)


@given(STEPS)
@settings(max_examples=300, deadline=None)
def test_those_inside_follow_a_version_that_is_there_and_never_an_older_one(steps: list[tuple[str, int, int]]) -> None:
    followed = 0
    for event in lived(steps).events:
        assert (event.follow_version is None) == (event.version is None)
        if event.version is not None and event.follow_version is not None:
            assert followed <= event.follow_version <= event.version
            all_follow = event.in_flight == "follow" or event.version == 1
            assert (event.follow_version == event.version) == all_follow
            followed = event.follow_version


@given(STEPS)
@settings(max_examples=300, deadline=None)
def test_only_a_paused_sequence_resumes_by_itself_and_not_before_its_time(steps: list[tuple[str, int, int]]) -> None:
    life = lived(steps)

    assert all(event.resume_at is None or event.status == "paused" for event in life.events)
    for resume_at, event in life.by_itself:
        assert event.resumed_at is not None
        assert event.resumed_at >= resume_at
        assert event.overdue == "shift"


@given(STEPS)
@settings(max_examples=300, deadline=None)
def test_a_draft_is_there_exactly_where_it_differs_from_what_is_published(steps: list[tuple[str, int, int]]) -> None:
    for event in lived(steps).events:
        if event.status != "deleted":
            assert event.draft != event.published
            assert (event.published is None) == (event.version is None)
