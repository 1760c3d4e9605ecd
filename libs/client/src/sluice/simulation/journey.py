"""One contact's way through a sequence, on a virtual clock."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal

from campaign.conditions import StopReason
from campaign.overdue import Mark
from campaign.plan import Planned, Position, plan
from campaign.versions import effective_version

from sluice.simulation.scenario import Scenario, Stage

LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)

Refusal = Literal["sequence_paused", "opted_out", "start_when", "stop_when"]
End = Literal["completed", "failed", "success", "failure", "opted_out"]


@dataclass(frozen=True, slots=True)
class Situation:
    """All that decides what a contact gets: contacts in the same situation get the same."""

    enters_at: datetime
    timezone: str | None
    """None where no window asks for it."""
    opted_out: bool
    qualifies: tuple[bool, ...]
    """Whether `start_when` holds, by version."""
    stops: tuple[StopReason | None, ...]
    """What `stop_when` says, by version."""
    unreachable: frozenset[str]
    """Channels for which it has no address."""


@dataclass(frozen=True, slots=True)
class Happening:
    """What became of one step."""

    at: datetime
    step_id: str
    kind: Literal["sent", "expired", "failed"]
    version: int
    due_at: datetime
    """When it was due; later than that it was sent where a window was shut."""


@dataclass(frozen=True, slots=True)
class Journey:
    """What became of one contact until the end of the simulation."""

    entered_at: datetime | None
    refused: Refusal | None
    happenings: tuple[Happening, ...] = ()
    end: End | None = None
    ended_at: datetime | None = None
    waits_for: str | None = None
    due_at: datetime | None = None
    """When the step that it waits for leaves, if nothing changes any more; None while paused."""


def travel(situation: Situation, scenario: Scenario) -> Journey:
    """Follow one contact from its entry to its last step, or to the end of the simulation."""
    traveller = _Traveller(situation, scenario)
    for stage in scenario.stages:
        if stage.ends > situation.enters_at:
            traveller.live_through(stage)
        if traveller.end is not None:
            break
    return traveller.journey()


@dataclass(slots=True)
class _Traveller:
    """Where a contact stands."""

    situation: Situation
    scenario: Scenario
    entered_at: datetime | None = None
    entered_version: int = 0
    refused: Refusal | None = None
    refused_at: datetime | None = None
    version: int = 0
    """Under which it stands planned."""
    position: Position | None = None
    planned: Planned | None = None
    due_active: datetime = LONG_AGO
    """When it is next looked at: when it is due, or when its window opens."""
    happenings: list[Happening] = field(default_factory=list)
    end: End | None = None
    ended_at: datetime | None = None

    def live_through(self, stage: Stage) -> None:
        now = max(stage.begins, self.situation.enters_at)
        if self.entered_at is None:
            self._try_to_enter(stage, now)
        else:
            self._adopt(stage)
        if self.entered_at is None or stage.paused:
            return
        if stage.mark is not None:
            self._expire(stage.mark, stage)
        while self.end is None:
            at = max(now, self.due_active + stage.offset)
            if at >= stage.ends:
                return
            self._leave(stage, at)

    def _try_to_enter(self, stage: Stage, now: datetime) -> None:
        admitted = self.refused_at is not None and stage.admits is not None and self.refused_at >= stage.admits
        if self.refused is not None and not (admitted and self.refused == "sequence_paused"):
            return
        stopped = self.situation.stops[stage.newest - 1]
        self.refused = self._refusal(stage, asks_first=admitted or self.scenario.via == "trigger", stopped=stopped)
        if self.refused is not None:
            self.refused_at = now
            return
        self.entered_at, self.entered_version, self.version = now, stage.newest, stage.newest
        if stopped is not None:
            self._finish(stopped, now)
            return
        self._plan(Position(now - stage.offset), now)

    def _refusal(self, stage: Stage, *, asks_first: bool, stopped: StopReason | None) -> Refusal | None:
        if self.situation.opted_out:
            return "opted_out"
        if asks_first and not self.situation.qualifies[stage.newest - 1]:
            return "start_when"
        if asks_first and stopped is not None:
            return "stop_when"
        return "sequence_paused" if stage.paused else None

    def _adopt(self, stage: Stage) -> None:
        """Go on in a newer version, where one was published that is to be followed."""
        newest = effective_version(self.entered_version, stage.follow_version)
        if newest == self.version or self.position is None or self.planned is None:
            return
        previous = self.version
        self.version = newest
        self._plan(
            Position(self.position.base_active, self.planned.step_id, self.position.ended), stage.begins, previous
        )

    def _plan(self, position: Position, now: datetime, previous: int | None = None) -> None:
        before = None if previous is None else self.scenario.version(previous)
        found = plan(position, self.scenario.version(self.version), previous=before)
        self.position = position
        if isinstance(found, Planned):
            self.planned, self.due_active = found, found.due_active
        else:
            self.planned = None
            self._finish("completed", now)

    def _expire(self, mark: Mark, stage: Stage) -> None:
        """What was planned before the resume and is under its mark is not sent; what follows counts from the resume."""
        if self.end is None and self.entered_at != stage.begins and mark.covers(self.due_active):
            self._happen("expired", stage.begins, stage)
            self._plan_next(mark.next_base, stage.begins)

    def _leave(self, stage: Stage, at: datetime) -> None:
        """The message is looked at: as it would be by a sender that has just claimed it."""
        definition = self.scenario.version(self.version)
        opens = definition.window.next_open(at, self.situation.timezone) if definition.window is not None else at
        if opens > at:
            self.due_active = opens - stage.offset
            return
        stopped = self.situation.stops[self.version - 1]
        if stopped is not None:
            self._finish(stopped, at)
            return
        step = definition.steps[definition.places[self._waits_for().step_id]]
        if step.channel in self.situation.unreachable:
            self._happen("failed", at, stage)
            self._finish("failed", at)
            return
        self._happen("sent", at, stage)
        self._plan_next(at - stage.offset, at)

    def _plan_next(self, base_active: datetime, now: datetime) -> None:
        ended = (*(self.position.ended if self.position else ()), self._waits_for().step_id)
        self._plan(Position(base_active, ended=ended), now)

    def _happen(self, kind: Literal["sent", "expired", "failed"], at: datetime, stage: Stage) -> None:
        planned = self._waits_for()
        due_at = min(planned.due_active + stage.offset, at)
        self.happenings.append(Happening(at, planned.step_id, kind, self.version, due_at))

    def _finish(self, end: End, now: datetime) -> None:
        self.end, self.ended_at = end, now

    def _waits_for(self) -> Planned:
        assert self.planned is not None, "somebody who waits has something planned"
        return self.planned

    def journey(self) -> Journey:
        waits_for, due_at = None, None
        if self.end is None and self.planned is not None:
            waits_for, due_at = self.planned.step_id, self._expected()
        return Journey(
            self.entered_at, self.refused, tuple(self.happenings), self.end, self.ended_at, waits_for, due_at
        )

    def _expected(self) -> datetime | None:
        last = self.scenario.stages[-1]
        if last.paused:
            return None
        at = max(self.due_active + last.offset, last.begins)
        window = self.scenario.version(self.version).window
        return window.next_open(at, self.situation.timezone) if window is not None else at
