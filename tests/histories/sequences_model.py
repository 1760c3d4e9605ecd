"""What the service `sequences` must say, from what it hears: its states are exact, whatever the order of topics."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sluice_contracts.base import parse_timestamp

from tests.histories.reference import ActiveClock, Version, version_of
from tests.pump.topics import Record

SLACK = timedelta(milliseconds=2)
SECOND = timedelta(seconds=1)
Answer = tuple[str, Any]
"""`accepted` with the result, or `rejected` with the code."""
Resume = tuple[str, str | None, str]
"""What is overdue, within which bound, and who is admitted."""


@dataclass
class SequenceModel:
    """One sequence."""

    sequence_id: str
    status: str = "draft"
    epoch: int = 0
    revision: int = 0
    draft: dict[str, Any] | None = None
    published: dict[str, Any] | None = None
    version: int | None = None
    versions: dict[int, Version] = field(default_factory=dict)
    followed: list[int] = field(default_factory=list)
    """The versions that those inside follow."""
    resumes: Resume | None = None
    """A resume waits for receipts."""
    resumed_with: Resume = ("shift", None, "none")
    resume_at: datetime | None = None
    """It resumes by itself then, once it has stopped."""
    by_itself: int = 0
    """How often it did."""
    closed: bool = False
    halted: bool = False
    clock: ActiveClock = field(default_factory=ActiveClock)
    state: dict[str, Any] = field(default_factory=dict)
    """The newest that was said."""
    gone: bool = False

    @property
    def stopped(self) -> bool:
        """All receipts of the pause are in."""
        return self.closed and self.halted

    def next_epoch(self) -> None:
        """A new one: nothing of it is in yet."""
        self.epoch += 1
        self.resumes = self.resume_at = None
        self.closed = self.halted = False


@dataclass
class SequencesModel:
    """All of them."""

    known: dict[str, SequenceModel] = field(default_factory=dict)
    expected: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Events by sequence, as type and status."""
    answers: dict[str, Answer] = field(default_factory=dict)
    """By command: what it must be, every time."""
    published: list[tuple[str, Version]] = field(default_factory=list)
    """Versions that are new since somebody looked."""

    def hear(self, record: Record) -> None:
        """Take a record in."""
        kind, data, name = record.type, record.data, record.name
        if kind.endswith("Sequence"):
            command = record.envelope["id"]
            if command not in self.answers:
                self.answers[command] = getattr(self, f"_{kind}")(self.known.get(name), data)
        elif kind in ("EntryClosed", "SequenceHalted"):
            self._receipt(self.known[name], kind, data["epoch"])

    def _SaveSequence(self, one: SequenceModel | None, data: dict[str, Any]) -> Answer:  # noqa: N802
        if one is None:
            one = self.known[data["sequence_id"]] = SequenceModel(data["sequence_id"])
        if one.status == "deleted":
            return "rejected", "deleted"
        one.revision += 1
        one.draft = None if data["definition"] == one.published else data["definition"]
        self._say(one, "SequenceSaved")
        return "accepted", {"revision": one.revision, "status": one.status}

    def _PublishSequence(self, one: SequenceModel | None, data: dict[str, Any]) -> Answer:  # noqa: N802
        if one is None:
            return "rejected", "not_found"
        if one.status == "deleted":
            return "rejected", "deleted"
        if one.draft is None:
            return "accepted", {"version": one.version}
        one.version = (one.version or 0) + 1
        one.published, one.draft = one.draft, None
        one.status = "paused" if one.status == "paused" else "active"
        one.versions[one.version] = version_of(one.version, one.published)
        if data.get("in_flight") != "pin" or one.version == 1:
            one.followed.append(one.version)
            self.published.append((one.sequence_id, one.versions[one.version]))
        self._say(one, "SequencePublished")
        return "accepted", {"version": one.version}

    def _PauseSequence(self, one: SequenceModel | None, data: dict[str, Any]) -> Answer:  # noqa: N802
        if one is None:
            return "rejected", "not_found"
        if one.status in ("draft", "deleted"):
            return "rejected", "wrong_state" if one.status == "draft" else "deleted"
        if one.status == "active":
            one.next_epoch()
            one.status, one.resume_at = "paused", _asked_time(data, "resume_at")
            self._say(one, "SequencePaused")
        else:
            one.resumes = None
            before, one.resume_at = one.resume_at, _asked_time(data, "resume_at")
            if one.stopped:
                self._say(one, "SequenceStopped")
            elif before != one.resume_at:
                self._say(one, "SequencePaused")
        return "accepted", {"epoch": one.epoch}

    def _ResumeSequence(self, one: SequenceModel | None, data: dict[str, Any]) -> Answer:  # noqa: N802
        if one is None:
            return "rejected", "not_found"
        if one.status in ("draft", "deleted"):
            return "rejected", "wrong_state" if one.status == "draft" else "deleted"
        if one.status == "active":
            return "accepted", {"epoch": one.epoch}
        one.resumes = (data.get("overdue", "shift"), data.get("max_lateness"), data.get("admit", "none"))
        coming = one.epoch + 1
        self._resume(one)
        return "accepted", {"epoch": coming}

    def _DeleteSequence(self, one: SequenceModel | None, _: dict[str, Any]) -> Answer:  # noqa: N802
        if one is None:
            return "rejected", "not_found"
        if one.status != "deleted":
            one.next_epoch()
            one.status = "deleted"
            self._say(one, "SequenceDeleted")
        return "accepted", {"epoch": one.epoch}

    def _receipt(self, one: SequenceModel, kind: str, epoch: int) -> None:
        """The first of an epoch counts; the last of a pause says that it holds."""
        if epoch != one.epoch:
            return
        was = one.stopped
        if kind == "EntryClosed":
            one.closed = True
        else:
            one.halted = True
        if one.status == "paused" and one.stopped and not was:
            self._say(one, "SequenceStopped")
            self._resume(one)

    def _resume(self, one: SequenceModel) -> None:
        if one.resumes is not None and one.stopped:
            self._runs(one, one.resumes)

    def _runs(self, one: SequenceModel, how: Resume) -> None:
        one.resumed_with = how
        one.next_epoch()
        one.status = "active"
        self._say(one, "SequenceResumed")

    def _by_itself(self, one: SequenceModel, now: datetime) -> bool:
        """Whether it may resume without being asked."""
        return one.status == "paused" and one.stopped and one.resume_at is not None and one.resume_at <= now

    def _say(self, one: SequenceModel, kind: str) -> None:
        followed = one.followed[-1] if one.followed else None
        said = f"{kind} {one.status} e{one.epoch} v{one.version} r{one.revision} f{followed} until {one.resume_at}"
        self.expected[one.sequence_id].append(f"{said} {one.resumed_with}" if kind == "SequenceResumed" else said)

    def said(self, record: Record, now: datetime) -> None:
        """A state was said: it is the one expected, or the present one again."""
        one = self.known[record.name]
        if record.value is None:
            assert one.status == "deleted", f"a tombstone of {record.name}, which is {one.status}"
            one.gone = True
            return
        state = record.data
        if one.state and state["state_version"] <= one.state["state_version"]:
            assert state == one.state, f"an old state was said again: {state} after {one.state}"
            return
        said = f"{record.type} {state['status']} e{state['epoch']} v{state.get('version')} r{state['revision']}"
        said += f" f{state.get('follow_version')} until {_asked_time(state, 'resume_at')}"
        if record.type == "SequenceResumed":
            said += f" {(state['overdue'], state.get('max_lateness'), state['admit'])}"
        if record.type == "SequenceResumed" and not self.expected[one.sequence_id] and self._by_itself(one, now):
            one.by_itself += 1
            self._runs(one, ("shift", None, "none"))
        wanted = self.expected[one.sequence_id].pop(0) if self.expected[one.sequence_id] else None
        assert said == wanted, f"{one.sequence_id}: said {said}, should say {wanted}"
        one.state = state
        self._time(one, record.type, state)

    def _time(self, one: SequenceModel, kind: str, state: dict[str, Any]) -> None:
        if kind == "SequencePaused":
            one.clock.paused_at = _at(state, "paused_at")
        elif kind == "SequenceResumed":
            paused = one.clock.paused_at
            assert paused is not None
            assert paused == _at(state, "paused_at")
            one.clock.pauses.append((paused, _at(state, "resumed_at"), state["overdue"] == "shift"))
            one.clock.paused_at = None
        shifted = sum((resumed - paused for paused, resumed, shifts in one.clock.pauses if shifts), timedelta())
        assert abs(shifted - timedelta(seconds=state["clock_offset_seconds"])) < SLACK

    def check_quiet(self, now: datetime) -> None:
        """Nothing is owed any more."""
        for one in self.known.values():
            assert not self.expected[one.sequence_id], f"{one.sequence_id} has not said {self.expected}"
            if one.status == "paused":
                assert one.stopped, f"{one.sequence_id} never stopped"
                assert one.resumes is None
                assert not self._by_itself(one, now - SECOND), f"{one.sequence_id} has not resumed by itself"
            if one.status == "deleted":
                assert one.gone, f"the erasure of {one.sequence_id} never ends"


def _at(state: dict[str, Any], name: str) -> datetime:
    return parse_timestamp(state[name])


def _asked_time(data: dict[str, Any], name: str) -> datetime | None:
    return None if data.get(name) is None else _at(data, name)
