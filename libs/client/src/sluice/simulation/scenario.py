"""What is simulated: a definition, its edits and pauses, from a moment on until another."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from itertools import pairwise
from typing import Final, Literal

from campaign.active_clock import NO_OFFSET
from campaign.definition import Definition
from campaign.overdue import Mark, Overdue, mark_of, offset_after

from sluice.errors import SluiceError

DAYS_MAX: Final = 1_100
CHANGES_MAX: Final = 1_000

InFlight = Literal["follow", "pin"]
Via = Literal["import", "trigger"]


class UnusableScenario(SluiceError):
    """What was asked for cannot be simulated; the sentence begins with the place."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause, and what its resume does with what became due meanwhile."""

    paused_at: datetime
    resumed_at: datetime | None
    """None: it is still paused at the end."""
    overdue: Overdue = "shift"
    max_lateness: timedelta | None = None
    admit: bool = False
    """Whoever was refused during this pause and qualifies enters when it is over."""


@dataclass(frozen=True, slots=True)
class Edit:
    """A definition that is published while the sequence runs."""

    at: datetime
    definition: Definition
    in_flight: InFlight = "follow"


@dataclass(frozen=True, slots=True)
class Stage:
    """A stretch of time in which nothing about the sequence changes: `[begins, ends)`."""

    begins: datetime
    ends: datetime
    newest: int
    follow_version: int
    offset: timedelta = NO_OFFSET
    paused: bool = False
    mark: Mark | None = None
    """The mark of the resume with which this stage begins."""
    admits: datetime | None = None
    """Those refused since that moment, when the pause that is over began, are asked again."""


@dataclass(frozen=True)
class Scenario:
    """Versions are numbered from 1, in the order in which they are published. Raises UnusableScenario."""

    start: datetime
    until: datetime
    definition: Definition
    edits: Sequence[Edit] = ()
    pauses: Sequence[Pause] = ()
    via: Via = "import"
    versions: tuple[Definition, ...] = field(init=False)
    stages: tuple[Stage, ...] = field(init=False)

    def __post_init__(self) -> None:
        self._check()
        edits = sorted(self.edits, key=lambda edit: edit.at)
        definitions = (self.definition, *(edit.definition for edit in edits))
        numbered = tuple(replace(one, version=number) for number, one in enumerate(definitions, start=1))
        object.__setattr__(self, "versions", numbered)
        object.__setattr__(self, "edits", tuple(edits))
        object.__setattr__(self, "pauses", tuple(sorted(self.pauses, key=lambda pause: pause.paused_at)))
        object.__setattr__(self, "stages", tuple(self._stages()))

    def version(self, number: int) -> Definition:
        return self.versions[number - 1]

    def _check(self) -> None:
        if not self.start < self.until:
            raise UnusableScenario("--until: must be later than --start")
        if self.until - self.start > timedelta(days=DAYS_MAX):
            raise UnusableScenario(f"--until: must be at most {DAYS_MAX:,} days after --start")
        if len(self.edits) + len(self.pauses) > CHANGES_MAX:
            raise UnusableScenario(f"--edit, --pause: there must be at most {CHANGES_MAX:,} of them")
        for edit in self.edits:
            self._check_within("--edit", edit.at)
        for pause in self.pauses:
            self._check_within("--pause", pause.paused_at)
            if pause.resumed_at is not None and pause.resumed_at <= pause.paused_at:
                raise UnusableScenario("--pause: must end after it begins")
        ordered = sorted(self.pauses, key=lambda pause: pause.paused_at)
        if any(one.resumed_at is None or other.paused_at < one.resumed_at for one, other in pairwise(ordered)):
            raise UnusableScenario("--pause: one pause must end before the next begins")

    def _check_within(self, place: str, moment: datetime) -> None:
        if not self.start <= moment < self.until:
            raise UnusableScenario(f"{place}: must lie between --start and --until")

    def _stages(self) -> Iterator[Stage]:
        """An edit at the moment of a resume comes before it, and a pause at that moment after it."""
        changes = [
            *((edit.at, _Kind.EDIT, number) for number, edit in enumerate(self.edits)),
            *((pause.paused_at, _Kind.PAUSE, number) for number, pause in enumerate(self.pauses)),
            *(
                (pause.resumed_at, _Kind.RESUME, number)
                for number, pause in enumerate(self.pauses)
                if pause.resumed_at is not None and pause.resumed_at < self.until
            ),
        ]
        current = Stage(self.start, self.until, newest=1, follow_version=1)
        for at, kind, number in sorted(changes, key=lambda change: (change[0], change[1].value, change[2])):
            yield replace(current, ends=at)
            current = replace(current, begins=at, mark=None, admits=None)
            match kind:
                case _Kind.EDIT:
                    current = self._edited(current, number)
                case _Kind.RESUME:
                    current = self._resumed(current, self.pauses[number])
                case _Kind.PAUSE:
                    current = replace(current, paused=True)
        yield current

    def _edited(self, stage: Stage, number: int) -> Stage:
        version = number + 2  # the first is the definition that it began with
        follows = self.edits[number].in_flight == "follow"
        return replace(stage, newest=version, follow_version=version if follows else stage.follow_version)

    def _resumed(self, stage: Stage, pause: Pause) -> Stage:
        offset = offset_after(pause.overdue, offset=stage.offset, pause=stage.begins - pause.paused_at)
        mark = mark_of(pause.overdue, resumed_active=stage.begins - offset, max_lateness=pause.max_lateness)
        admits = pause.paused_at if pause.admit else None
        return replace(stage, paused=False, offset=offset, mark=mark, admits=admits)


class _Kind(Enum):
    EDIT = 0
    RESUME = 1
    PAUSE = 2
