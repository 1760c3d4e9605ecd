"""How a sequence runs, as far as the topics tell: its versions, whom they are for, and its clock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from campaign.active_clock import ActiveClock, Stretch
from campaign.definition import Definition, Step
from campaign.plan import next_step
from campaign.versions import effective_version, followed_version


@dataclass(frozen=True, slots=True)
class Published:
    """One version, and when it was published where that was heard."""

    definition: Definition
    published_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause that is over; why it was asked for and how it was resumed, where that was heard."""

    stretch: Stretch
    reason: str | None = None
    overdue: str | None = None


@dataclass(frozen=True, slots=True)
class Course:
    """One sequence."""

    sequence_id: str
    status: str
    version: int | None = None
    follow_version: int | None = None
    clock: ActiveClock = field(default_factory=ActiveClock)
    versions: Mapping[int, Published] = field(default_factory=dict)
    reason: str | None = None
    pauses: Sequence[Pause] = ()

    @property
    def newest(self) -> Definition | None:
        """The version that who enters now gets."""
        return self._definition(self.version)

    def effective(self, entered: int | None) -> int | None:
        """The version that an enrollment runs under: the one that it entered, or a later one that all follow."""
        followed = followed_version(self.version, self.follow_version)
        return followed if entered is None else effective_version(entered, followed)

    def next_step(self, position: "Position", *, upto: int | None = None) -> Step | None:
        """What an enrollment waits for: planned when the last step ended, and again by each version since."""
        step: Step | None = None
        previous: Definition | None = None
        for definition in self._walk(position, self.effective(position.entered) if upto is None else upto):
            step = next_step(
                definition,
                after_step=position.ended[-1] if position.ended else None,
                step_id=None if step is None else step.step_id,
                ended=position.ended,
                previous=previous,
            )
            previous = definition
        return step

    def has(self, step_id: str) -> bool:
        """Whether any version has this step."""
        return any(step_id in one.definition.places for one in self.versions.values())

    def _walk(self, position: "Position", effective: int | None) -> list[Definition]:
        """The versions under which it was planned since its last step ended, in order."""
        if effective is None or effective not in self.versions:
            return []
        started = position.version if position.version is not None else position.entered
        known = sorted(number for number in self.versions if number <= effective)
        at_once = [
            number
            for number in known
            if (published := self.versions[number].published_at) is not None and published <= position.since
        ]
        first = max((one for one in (started, *at_once[-1:]) if one is not None), default=effective)
        walk = [number for number in known if first <= number] or [effective]
        return [self.versions[number].definition for number in walk]

    def _definition(self, version: int | None) -> Definition | None:
        published = None if version is None else self.versions.get(version)
        return None if published is None else published.definition


@dataclass(frozen=True, slots=True)
class Position:
    """Where an enrollment stands: the version that it entered, the steps that ended, in order, and since when."""

    entered: int | None
    since: datetime
    """When it entered, or when the last step ended."""
    ended: tuple[str, ...] = ()
    version: int | None = None
    """The version under which the last step ended."""
