"""When messages may leave, over every zone of the database and both edges of a clock change."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from campaign.window import Window, read_window
from campaign.zones import instant, zone_named, zone_names
from hypothesis import given
from hypothesis import strategies as st

ZONES = sorted(zone_names())
ALL_DAYS = frozenset(range(7))
MINUTES = st.times().map(lambda moment: moment.replace(second=0, microsecond=0, fold=0))
MOMENTS = st.datetimes(
    min_value=datetime(1975, 1, 1),  # noqa: DTZ001 # hypothesis wants the bounds without a zone
    max_value=datetime(2037, 12, 31),  # noqa: DTZ001
    timezones=st.just(UTC),
)


@st.composite
def windows(draw: st.DrawFn) -> Window:
    opens, closes = draw(st.tuples(MINUTES, MINUTES).filter(lambda pair: pair[0] != pair[1]))
    days = draw(st.frozensets(st.integers(0, 6), min_size=1))
    return Window(days, opens, closes)


@given(window=windows(), zone=st.sampled_from(ZONES), moment=MOMENTS)
def test_the_next_opening_is_open_and_no_earlier_than_asked(window: Window, zone: str, moment: datetime) -> None:
    opening = window.next_open(moment, zone)

    assert opening >= moment
    assert window.next_open(opening, zone) == opening


@given(window=windows(), zone=st.sampled_from(ZONES), moment=MOMENTS, ahead=st.timedeltas(timedelta(), timedelta(9)))
def test_who_asks_later_never_hears_of_an_earlier_opening(
    window: Window, zone: str, moment: datetime, ahead: timedelta
) -> None:
    assert window.next_open(moment + ahead, zone) >= window.next_open(moment, zone)


@given(window=windows(), zone=st.sampled_from(ZONES), moment=MOMENTS, ahead=st.timedeltas(timedelta(), timedelta(9)))
def test_nothing_between_a_moment_and_its_opening_is_open(
    window: Window, zone: str, moment: datetime, ahead: timedelta
) -> None:
    opening = window.next_open(moment, zone)
    between = moment + min(ahead, opening - moment)

    assert window.next_open(between, zone) == opening


@given(zone=st.sampled_from(ZONES), moment=MOMENTS, times=st.tuples(MINUTES, MINUTES))
def test_what_leaves_on_an_ordinary_day_leaves_between_the_two_times(
    zone: str, moment: datetime, times: tuple[time, time]
) -> None:
    opens, closes = sorted(times)
    here = ZoneInfo(zone)
    opening = Window(ALL_DAYS, opens, closes).next_open(moment, zone) if opens != closes else moment
    around = {
        (opening + timedelta(hours=hours)).astimezone(here).utcoffset() for hours in range(-30, 31)
    }  # no clock change is near
    if opens == closes or len(around) > 1:
        return

    assert opens <= opening.astimezone(here).time() < closes


@given(zone=st.sampled_from(ZONES), day=st.dates(date(1975, 1, 1), date(2037, 12, 31)), at=MINUTES)
def test_a_wall_clock_time_is_shown_then_or_was_left_out(zone: str, day: date, at: time) -> None:
    here = ZoneInfo(zone)
    shown = instant(day, at, here).astimezone(here)
    before = (instant(day, at, here) - timedelta(seconds=1)).astimezone(here)
    wanted = datetime.combine(day, at)

    assert shown.replace(tzinfo=None) == wanted or before.replace(tzinfo=None) < wanted < shown.replace(tzinfo=None)
    assert shown.fold == 0 or shown.replace(tzinfo=None) != wanted


@pytest.mark.parametrize(
    ("day", "at", "zone", "utc"),
    [
        (date(2027, 3, 28), time(2, 30), "Europe/Berlin", "2027-03-28T01:00"),  # left out: the first instant after
        (date(2027, 10, 31), time(2, 30), "Europe/Berlin", "2027-10-31T00:30"),  # shown twice: the first
        (date(2027, 3, 14), time(2, 30), "America/New_York", "2027-03-14T07:00"),
        (date(2027, 10, 3), time(2, 15), "Australia/Lord_Howe", "2027-10-02T15:30"),  # half an hour is left out
        (date(2011, 12, 30), time(12, 0), "Pacific/Apia", "2011-12-30T10:00"),  # the whole day is left out
    ],
)
def test_both_edges_of_a_clock_change(day: date, at: time, zone: str, utc: str) -> None:
    assert instant(day, at, ZoneInfo(zone)) == datetime.fromisoformat(utc).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "opening"),
    [
        ("2027-06-04T21:30", "2027-06-04T21:30"),  # Friday evening in UTC: open since 20:00
        ("2027-06-05T05:59", "2027-06-05T05:59"),  # Saturday morning: still Friday's range
        ("2027-06-05T06:00", "2027-06-11T20:00"),  # it closes at 06:00, the next Friday opens
        ("2027-06-05T20:30", "2027-06-11T20:00"),  # Saturday's own evening is not among the days
    ],
)
def test_a_range_over_midnight_belongs_to_the_day_on_which_it_opens(moment: str, opening: str) -> None:
    window = Window(frozenset({4}), time(20), time(6), timezone="UTC")

    found = window.next_open(datetime.fromisoformat(moment).replace(tzinfo=UTC), None)

    assert found == datetime.fromisoformat(opening).replace(tzinfo=UTC)


def test_a_range_that_a_gap_swallows_does_not_open_that_day() -> None:
    window = Window(ALL_DAYS, time(2, 10), time(2, 50))

    found = window.next_open(datetime(2027, 3, 27, 12, tzinfo=UTC), "Europe/Berlin")

    assert found == datetime(2027, 3, 29, 0, 10, tzinfo=UTC)


def test_a_day_that_a_zone_has_left_out_is_waited_out() -> None:
    friday = Window(frozenset({4}), time(9), time(10))  # in Samoa 30 December 2011, a Friday, never was

    found = friday.next_open(datetime(2011, 12, 29, 12, tzinfo=UTC), "Pacific/Apia")

    assert found == datetime(2012, 1, 5, 19, tzinfo=UTC)


@pytest.mark.parametrize(
    ("contact", "fallback", "zone"),
    [
        ("Asia/Tokyo", "Asia/Kolkata", "Asia/Tokyo"),
        (None, "Asia/Kolkata", "Asia/Kolkata"),
        ("Mars/Olympus", "Asia/Kolkata", "Asia/Kolkata"),
        ("../etc/passwd", None, "UTC"),
        ("", None, "UTC"),
        ("Europe", None, "UTC"),  # a folder of the database, no zone
    ],
)
def test_the_contacts_zone_then_the_fallback_then_utc(contact: str | None, fallback: str | None, zone: str) -> None:
    window = Window(ALL_DAYS, time(9), time(18), fallback_timezone=fallback)

    assert window.zone(contact).key == zone


def test_a_fixed_zone_holds_wherever_the_contact_is() -> None:
    window = Window(ALL_DAYS, time(9), time(18), timezone="America/Lima", fallback_timezone="Asia/Kolkata")

    assert window.zone("Asia/Tokyo").key == "America/Lima"


def test_a_window_is_read_from_a_published_definition() -> None:
    found = read_window({"days": ["sat", "sun"], "from": "22:30", "to": "06:00", "timezone": "contact"})

    assert found == Window(frozenset({5, 6}), time(22, 30), time(6))
    assert read_window(None) is None


def test_every_zone_of_the_database_can_be_named() -> None:
    assert all(zone_named(name) is not None for name in ZONES)
    assert len(ZONES) > 400
