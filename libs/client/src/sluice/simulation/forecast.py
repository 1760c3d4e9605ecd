"""What a simulation found, counted: per step, per hour, per end; and the journeys of some contacts."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, tzinfo
from itertools import chain

from sluice.simulation.journey import Journey, travel
from sluice.simulation.people import People
from sluice.simulation.scenario import Scenario


@dataclass(slots=True)
class StepCount:
    """What became of one step, over all contacts."""

    step_id: str
    channel: str
    sent: int = 0
    expired: int = 0
    failed: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None

    def take(self, at: datetime, contacts: int) -> None:
        self.sent += contacts
        self.first_at = at if self.first_at is None else min(self.first_at, at)
        self.last_at = at if self.last_at is None else max(self.last_at, at)


@dataclass(slots=True)
class Forecast:
    """All counts are of contacts or of messages to them."""

    scenario: Scenario
    people: People
    zone: tzinfo
    steps: dict[str, StepCount] = field(default_factory=dict)
    entered: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    """By end, and `in_progress`."""
    hours: Counter[tuple[date, int]] = field(default_factory=Counter)
    """Messages sent, by day and hour of the zone's wall clock."""
    nothing_sent: int = 0
    """Contacts who get no message at all."""
    _journeys: list[tuple[list[str], Journey]] = field(default_factory=list)

    @property
    def sent(self) -> int:
        return self.hours.total()

    @property
    def expired(self) -> int:
        return sum(step.expired for step in self.steps.values())

    @property
    def busiest(self) -> tuple[tuple[date, int], int] | None:
        """The hour in which most is sent, the earliest of several; None where nothing is."""
        return max(self.hours.items(), key=lambda hour: (hour[1], -hour[0][0].toordinal(), -hour[0][1]), default=None)

    def days(self) -> dict[date, int]:
        """Messages by day, in order."""
        found: Counter[date] = Counter()
        for (day, _), sent in self.hours.items():
            found[day] += sent
        return dict(sorted(found.items()))

    def journeys(self) -> Iterator[tuple[str, Journey]]:
        """Each contact with its journey: one of each kind before anyone else, the commonest kind first."""
        ordered = sorted(self._journeys, key=lambda kind: -len(kind[0]))
        one_each = ((contact_ids[0], journey) for contact_ids, journey in ordered)
        others = ((contact_id, journey) for contact_ids, journey in ordered for contact_id in contact_ids[1:])
        return chain(one_each, others)

    def take(self, contact_ids: list[str], journey: Journey) -> None:
        """Count what became of contacts in the same situation."""
        contacts = len(contact_ids)
        self._journeys.append((contact_ids, journey))
        if journey.entered_at is None:
            self.refused[journey.refused or "not_yet"] += contacts
        else:
            self.entered += contacts
            self.ends[journey.end or "in_progress"] += contacts
        any_sent = False
        for happening in journey.happenings:
            step = self.steps[happening.step_id]
            if happening.kind == "sent":
                any_sent = True
                local = happening.at.astimezone(self.zone)
                self.hours[local.date(), local.hour] += contacts
                step.take(happening.at, contacts)
            elif happening.kind == "expired":
                step.expired += contacts
            else:
                step.failed += contacts
        if not any_sent:
            self.nothing_sent += contacts


def forecast(scenario: Scenario, people: People, *, zone: tzinfo) -> Forecast:
    """Simulate: one journey for each situation, counted as often as there are contacts in it."""
    found = Forecast(scenario, people, zone)
    for version in reversed(scenario.versions):  # the newest order first, then what only older versions had
        for step in version.steps:
            found.steps.setdefault(step.step_id, StepCount(step.step_id, step.channel))
    for situation, contact_ids in people.situations.items():
        found.take(contact_ids, travel(situation, scenario))
    return found
