"""Simulating: a contact's journey is what a plain run through time gives, and counting loses nobody."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from campaign.conditions import Condition, StopReason, StopWhen
from campaign.definition import Definition, Step
from campaign.plan import Finished, Position, plan
from campaign.window import Window, read_window
from hypothesis import given, settings
from hypothesis import strategies as st
from sluice.simulation.forecast import forecast
from sluice.simulation.heat import Day, Quiet, floor_of, grid, shade_of
from sluice.simulation.journey import Journey, Situation, travel
from sluice.simulation.people import read_people
from sluice.simulation.picture import draw
from sluice.simulation.scenario import Edit, Pause, Scenario, UnusableScenario

BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2027, 3, 25, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
QUARTER = timedelta(minutes=15)
DAY = timedelta(days=1)
OFFICE = read_window({"days": ["mon", "tue", "wed", "thu", "fri"], "from": "09:00", "to": "18:00"})


def definition(steps: str = "abc", *, hours: float = 24, window: Window | None = None, **fields: object) -> Definition:
    """Steps named by letters, all with the same delay but for the first, which comes at once."""
    delays = [timedelta(), *[hours * HOUR] * (len(steps) - 1)]
    return Definition(
        1,
        tuple(Step(one, after, "email") for one, after in zip(steps, delays, strict=True)),
        window=window,
        **fields,  # type: ignore[arg-type]
    )


def scenario(begins: Definition | None = None, *, days: float = 10, **fields: object) -> Scenario:
    return Scenario(START, START + days * DAY, begins or definition(), **fields)  # type: ignore[arg-type]


def situation(
    of: Scenario,
    *,
    enters_at: datetime = START,
    timezone: str | None = None,
    stops: StopReason | None = None,
    qualifies: bool = True,
    opted_out: bool = False,
    reachable: bool = True,
) -> Situation:
    versions = len(of.versions)
    unreachable = frozenset[str]() if reachable else frozenset({"email"})
    return Situation(enters_at, timezone, opted_out, (qualifies,) * versions, (stops,) * versions, unreachable)


def told(journey: Journey) -> list[tuple[str, str, float]]:
    """Each step, what became of it, and how many hours after the start."""
    return [(one.step_id, one.kind, (one.at - START) / HOUR) for one in journey.happenings]


def test_without_anything_special_each_delay_counts_from_the_step_before() -> None:
    found = scenario()

    journey = travel(situation(found), found)

    assert told(journey) == [("a", "sent", 0), ("b", "sent", 24), ("c", "sent", 48)]
    assert (journey.end, journey.ended_at) == ("completed", START + 2 * DAY)


@pytest.mark.parametrize(
    ("resume", "expected"),
    [
        (Pause(START + 20 * HOUR, START + 30 * HOUR), [("b", "sent", 34), ("c", "sent", 58)]),
        (Pause(START + 20 * HOUR, START + 30 * HOUR, "send_now"), [("b", "sent", 30), ("c", "sent", 54)]),
        (Pause(START + 20 * HOUR, START + 30 * HOUR, "skip"), [("b", "expired", 30), ("c", "sent", 54)]),
        (Pause(START + 20 * HOUR, START + 30 * HOUR, "send_now", 5 * HOUR), [("b", "expired", 30), ("c", "sent", 54)]),
        (Pause(START + 20 * HOUR, START + 30 * HOUR, "send_now", 7 * HOUR), [("b", "sent", 30), ("c", "sent", 54)]),
        (Pause(START + 20 * HOUR, START + 23 * HOUR, "skip"), [("b", "sent", 24), ("c", "sent", 48)]),
        (Pause(START + 20 * HOUR, None), []),
    ],
)
def test_a_resume_does_what_it_says_with_what_became_due(resume: Pause, expected: list[tuple[str, str, float]]) -> None:
    found = scenario(pauses=[resume])

    journey = travel(situation(found), found)

    assert [(step, kind, round(at, 3)) for step, kind, at in told(journey)[1:]] == expected


def test_an_edit_is_followed_or_not_as_it_was_published() -> None:
    at_two = START + 2 * HOUR
    followed = scenario(edits=[Edit(at_two, definition("axbc", hours=1))])
    pinned = scenario(edits=[Edit(at_two, definition("axbc", hours=1), "pin")])

    assert told(travel(situation(followed), followed)) == [("a", "sent", 0), ("b", "sent", 2), ("c", "sent", 3)]
    assert told(travel(situation(pinned), pinned)) == [("a", "sent", 0), ("b", "sent", 24), ("c", "sent", 48)]
    newcomer = situation(pinned, enters_at=START + 3 * HOUR)
    assert [step for step, _, _ in told(travel(newcomer, pinned))] == ["a", "x", "b", "c"]


def test_a_window_is_the_contacts_own_also_over_a_clock_change() -> None:
    found = scenario(definition("abc", hours=72, window=OFFICE))

    berlin = travel(situation(found, timezone="Europe/Berlin"), found)
    new_york = travel(situation(found, timezone="America/New_York"), found)

    assert [f"{one.at.astimezone(BERLIN):%a %H:%M}" for one in berlin.happenings] == [
        "Thu 09:00",
        "Mon 09:00",
        "Thu 09:00",
    ]
    assert told(new_york)[0] == ("a", "sent", 5)


def test_who_does_not_enter_says_why() -> None:
    paused = scenario(pauses=[Pause(START, START + DAY)])
    admitting = scenario(pauses=[Pause(START, START + DAY, admit=True)])
    by_trigger = scenario(via="trigger")

    assert travel(situation(paused), paused).refused == "sequence_paused"
    assert travel(situation(admitting), admitting).entered_at == START + DAY
    assert travel(situation(admitting, qualifies=False), admitting).refused == "start_when"
    assert travel(situation(by_trigger, qualifies=False), by_trigger).refused == "start_when"
    assert travel(situation(by_trigger, stops="success"), by_trigger).refused == "stop_when"
    assert travel(situation(by_trigger, opted_out=True), by_trigger).refused == "opted_out"


def test_an_import_enrolls_whoever_is_in_it_and_a_stop_condition_ends_it_at_once() -> None:
    found = scenario()

    enrolled, stopped = situation(found, qualifies=False), situation(found, stops="failure")
    unreachable = travel(situation(found, reachable=False), found)

    assert travel(enrolled, found).end == "completed"
    assert (travel(stopped, found).end, travel(stopped, found).happenings) == ("failure", ())
    assert (unreachable.end, told(unreachable)) == ("failed", [("a", "failed", 0)])


def test_a_new_stop_condition_ends_it_before_the_next_send() -> None:
    found = scenario(edits=[Edit(START + HOUR, definition())])
    stopped = replace(situation(found), stops=(None, "success"))

    journey = travel(stopped, found)

    assert (journey.end, journey.ended_at) == ("success", START + DAY)


# A plain run: through time by quarters of an hour, looking at each.

quarters = st.integers(0, 8 * 96).map(lambda count: START + count * QUARTER)
delays = st.sampled_from([0, 1, 2, 5, 40, 96, 200]).map(lambda count: count * QUARTER)
times = st.integers(6, 22)
windows = st.none() | st.builds(
    lambda days, opens, closes: Window(frozenset(days), time(opens), _other(opens, closes)),
    st.sets(st.integers(0, 6), min_size=1),
    times,
    times,
)


def _other(opens: int, closes: int) -> time:
    return time(closes if closes != opens else closes + 1)


@st.composite
def definitions(draw: st.DrawFn) -> Definition:
    ids = draw(st.lists(st.sampled_from("abcde"), min_size=1, max_size=5, unique=True))
    return Definition(1, tuple(Step(one, draw(delays), "email") for one in ids), window=draw(windows))


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    bounds = sorted(draw(st.sets(quarters, max_size=4)))
    pauses = [
        Pause(
            begins,
            ends,
            draw(st.sampled_from(["shift", "send_now", "skip"])),
            draw(st.none() | delays),
            draw(st.booleans()),
        )
        for begins, ends in zip(bounds[::2], bounds[1::2], strict=False)
    ]
    edits = [
        Edit(draw(quarters), draw(definitions()), draw(st.sampled_from(["follow", "pin"])))
        for _ in range(draw(st.integers(0, 3)))
    ]
    return scenario(draw(definitions()), pauses=pauses, edits=edits)


class PlainRun:
    """Lives through the same scenario without knowing what comes, one quarter of an hour after the other."""

    def __init__(self, who: Situation, of: Scenario) -> None:
        self.who, self.of = who, of
        self.shifted = timedelta()
        self.paused_at: datetime | None = None
        self.newest = self.follow = 1
        self.version = 0
        self.position: Position | None = None
        self.due: datetime | None = None
        self.step = ""
        self.refused_at: datetime | None = None
        self.told: list[tuple[str, str, datetime]] = []
        self.moment = of.start

    def run(self) -> "PlainRun":
        while self.moment < self.of.until:
            self._change()
            if self.moment == self.who.enters_at:
                self._enter()
            while self.paused_at is None and self.due is not None and self._send():
                pass
            self.moment += QUARTER
        return self

    @property
    def active(self) -> datetime:
        return self.moment - self.shifted

    def _change(self) -> None:
        for number, edit in enumerate(self.of.edits, start=2):
            if edit.at == self.moment:
                self._publish(number, follow=edit.in_flight == "follow")
        for pause in self.of.pauses:
            if pause.resumed_at == self.moment:
                self._resume(pause)
        for pause in self.of.pauses:
            if pause.paused_at == self.moment:
                self.paused_at = self.moment

    def _publish(self, number: int, *, follow: bool) -> None:
        self.newest = number
        self.follow = number if follow else self.follow
        if self.due is not None and follow and self.position is not None:
            before, self.version = self.version, number
            self._plan(Position(self.position.base_active, self.step, self.position.ended), before)

    def _resume(self, pause: Pause) -> None:
        self.paused_at = None
        if pause.overdue == "shift":
            self.shifted += self.moment - pause.paused_at
        lateness = timedelta() if pause.overdue == "skip" else pause.max_lateness
        late = lateness is not None and self.due is not None and self.due + lateness <= self.active
        if pause.overdue != "shift" and late:
            self._end_step("expired", self.active + timedelta(microseconds=1))
        if pause.admit and self.refused_at is not None and self.refused_at >= pause.paused_at:
            self._enter()

    def _enter(self) -> None:
        if self.paused_at is not None:
            self.refused_at = self.moment
            return
        self.refused_at = None
        self.version = self.newest
        self._plan(Position(self.active), None)

    def _send(self) -> bool:
        assert self.due is not None
        if self.due > self.active + timedelta(seconds=1):
            return False
        looked_at = max(self.moment, self.due + self.shifted)
        window = self.of.version(self.version).window
        if window is not None and not self._open(window, self.moment):
            opens = self.moment
            while not self._open(window, opens):
                opens += QUARTER
            self.due = opens - self.shifted
            return False
        self._end_step("sent", looked_at - self.shifted)
        return True

    def _open(self, window: Window, moment: datetime) -> bool:
        local = moment.astimezone(ZoneInfo(self.who.timezone or "UTC"))
        today, yesterday = local.weekday() in window.days, (local.weekday() - 1) % 7 in window.days
        if window.opens < window.closes:
            return today and window.opens <= local.time() < window.closes
        return (today and local.time() >= window.opens) or (yesterday and local.time() < window.closes)

    def _end_step(self, kind: str, base: datetime) -> None:
        assert self.position is not None
        self.told.append((self.step, kind, self.moment))
        self._plan(Position(base, ended=(*self.position.ended, self.step)), None)

    def _plan(self, position: Position, before: int | None) -> None:
        previous = None if before is None else self.of.version(before)
        planned = plan(position, self.of.version(self.version), previous=previous)
        self.position = position
        if isinstance(planned, Finished):
            self.due = None
        else:
            self.step, self.due = planned.step_id, planned.due_active


@settings(max_examples=150, deadline=None)
@given(
    scenarios(), quarters, st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Auckland"])
)
def test_a_journey_is_what_a_plain_run_through_time_gives(of: Scenario, enters_at: datetime, zone: str) -> None:
    who = situation(of, enters_at=enters_at, timezone=zone)

    plain, journey = PlainRun(who, of).run(), travel(who, of)

    seen = [(one.step_id, one.kind, one.at.replace(microsecond=0)) for one in journey.happenings]
    assert seen == plain.told
    assert (journey.refused == "sequence_paused") == (plain.refused_at is not None)


@given(scenarios(), quarters)
@settings(max_examples=100, deadline=None)
def test_no_step_comes_twice_none_while_paused_and_none_outside_the_window(of: Scenario, enters_at: datetime) -> None:
    journey = travel(situation(of, enters_at=enters_at, timezone="Europe/Berlin"), of)

    steps = [one.step_id for one in journey.happenings]
    sent = [one for one in journey.happenings if one.kind == "sent"]
    assert len(steps) == len(set(steps))
    for one in sent:
        assert not any(pause.paused_at <= one.at < (pause.resumed_at or of.until) for pause in of.pauses)
        window = of.version(one.version).window
        assert window is None or window.next_open(one.at, "Europe/Berlin") == one.at


# People, counts and the picture


def write_contacts(folder: Path, *rows: str) -> Path:
    file = folder / "contacts.csv"
    file.write_text("\n".join(["contact_id,email,timezone,stage,opted_out,came", *rows, ""]))
    return file


def test_contacts_in_the_same_situation_are_one_and_broken_lines_are_told(tmp_path: Path) -> None:
    stop = StopWhen(success=(Condition("stage", "equals", "Won"),))
    of = scenario(definition(window=OFFICE, stop_when=stop))
    file = write_contacts(
        tmp_path,
        "c-1,a@example.com,Europe/Berlin,New,,",
        "c-2,b@example.com,Europe/Berlin,Open,,",
        "c-3,c@example.com,Europe/Berlin,Won,,",
        "c-4,,Europe/Berlin,New,,",
        "c-5,not one,Europe/Berlin,New,,",
        "c-6,d@example.com,Mars/Phobos,New,,",
        "c-1,e@example.com,,,,",
    )

    people = read_people(file, of)

    assert list(people.situations.values()) == [["c-1", "c-2"], ["c-3"], ["c-4"]]
    assert (people.count, people.invalid) == (4, 3)
    assert [(line.number, line.rule.split(":")[0]) for line in people.invalid_lines] == [
        (6, "email"),
        (7, "timezone"),
        (8, "contact_id"),
    ]


def test_a_column_says_when_each_enters(tmp_path: Path) -> None:
    of = scenario()
    file = write_contacts(tmp_path, "c-1,a@example.com,,,,2027-03-26T08:00", "c-2,b@example.com,,,,2027-03-01T00:00")

    people = read_people(
        file, of, enters_column="came", read_time=lambda text: datetime.fromisoformat(text).replace(tzinfo=UTC)
    )

    assert [one.enters_at for one in people.situations] == [START + DAY]
    assert [line.rule for line in people.invalid_lines] == ["came: must not lie before --start"]


def test_every_contact_and_every_message_is_counted_once(tmp_path: Path) -> None:
    of = scenario(definition(window=OFFICE), pauses=[Pause(START + 30 * HOUR, START + 50 * HOUR, "skip")])
    zones = ["Europe/Berlin", "America/New_York", "Asia/Tokyo"]
    file = write_contacts(
        tmp_path, *(f"c-{one},{'' if one % 7 == 0 else 'a@example.com'},{zones[one % 3]},,," for one in range(60))
    )

    found = forecast(of, read_people(file, of), zone=BERLIN)

    one_by_one = dict(found.journeys())
    assert len(one_by_one) == 60
    kinds = Counter((each.step_id, each.kind) for journey in one_by_one.values() for each in journey.happenings)
    assert {(step.step_id, "sent"): step.sent for step in found.steps.values() if step.sent} == {
        key: count for key, count in kinds.items() if key[1] == "sent"
    }
    assert found.sent == sum(step.sent for step in found.steps.values()) == sum(found.days().values())
    assert found.entered == 60 == found.ends.total()


def test_the_grid_shows_the_hour_that_is_left_out_and_folds_quiet_days(tmp_path: Path) -> None:
    of = scenario(definition("ab", hours=24 * 9), pauses=[Pause(START + HOUR, START + 2 * HOUR)])
    people = read_people(write_contacts(tmp_path, "c-1,a@example.com,,,,"), of)

    rows = grid(forecast(of, people, zone=BERLIN))

    assert [row.days for row in rows if isinstance(row, Quiet)] == [5]
    days = {row.day.isoformat(): row for row in rows if isinstance(row, Day)}
    assert [hour for hour, cell in enumerate(days["2027-03-28"].cells) if not cell.exists] == [2]
    assert days["2027-03-28"].note == "clocks forward 1 h"
    assert [hour for hour, cell in enumerate(days["2027-03-25"].cells) if cell.paused] == [10]
    assert [hour for hour, cell in enumerate(days["2027-03-25"].cells) if cell.sent] == [9]


@given(st.integers(1, 100_000), st.integers(1, 100_000))
def test_a_shade_holds_from_its_floor_on(sent: int, peak: int) -> None:
    shade = shade_of(min(sent, peak), peak)

    assert 1 <= shade <= 6
    assert floor_of(shade, peak) <= min(sent, peak)
    assert shade == 6 or min(sent, peak) < floor_of(shade + 1, peak)


def test_the_picture_is_one_file_of_plain_svg(tmp_path: Path) -> None:
    of = scenario(pauses=[Pause(START + HOUR, START + 2 * HOUR)])
    people = read_people(write_contacts(tmp_path, "c-1,a@example.com,,,,"), of)

    drawn = draw(forecast(of, people, zone=BERLIN), title="<welcome> & more", zone_name="Europe/Berlin")

    assert drawn.startswith("<svg ")
    assert "&lt;welcome&gt; &amp; more" in drawn
    assert "Thu 25 Mar, 09:00: 1 messages" in drawn
    assert "href" not in drawn
    assert "<script" not in drawn


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"days": -1}, "--until: must be later than --start"),
        ({"days": 9_999}, "--until: must be at most"),
        ({"edits": [Edit(START - HOUR, definition())]}, "--edit: must lie between"),
        ({"pauses": [Pause(START + HOUR, START)]}, "--pause: must end after it begins"),
        ({"pauses": [Pause(START, None), Pause(START + HOUR, None)]}, "--pause: one pause must end"),
    ],
)
def test_what_cannot_be_simulated_is_refused_with_its_place(fields: dict[str, object], rule: str) -> None:
    with pytest.raises(UnusableScenario, match=rule):
        scenario(**fields)  # type: ignore[arg-type]
