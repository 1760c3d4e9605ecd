"""When messages leave: days, times, zones, and both edges of a clock change."""

from datetime import UTC, datetime
from typing import Any, Final

from testkit.cases.case import Case, email
from testkit.cases.tables.script import TableOf

TABLE: Final = TableOf("window")
case: Final = TABLE.case

A = email("a")
WEEK: Final = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def _open(start: str, end: str, *days: str, **more: Any) -> dict[str, Any]:
    return {"days": list(days) or WEEK, "from": start, "to": end, **more}


@case(
    "in the contact's zone",
    kolkata="a 0 · completed 0",
    berlin="a 0 · completed 0",
    york="a 5h · completed 5h",
    tokyo="a 15h · completed 15h",
)
async def zones(c: Case) -> None:
    await c.launch(A, delivery=_open("09:00", "18:00"))
    for name, zone in (
        ("kolkata", "Asia/Kolkata"),
        ("berlin", "Europe/Berlin"),
        ("york", "America/New_York"),
        ("tokyo", "Asia/Tokyo"),
    ):
        await c.record(name, timezone=zone)
    await c.enroll("kolkata", "berlin", "york", "tokyo")
    await c.until("2d")


@case(
    "no zone, or one that is none: the fallback; without one UTC",
    ada="a 18h30m · completed 18h30m",
    bob="a 18h30m · completed 18h30m",
    carl_in_utc="a 1h · completed 1h",
)
async def fallback(c: Case) -> None:
    await c.launch(A, delivery=_open("09:00", "14:00", fallback_timezone="Asia/Kolkata"))
    await c.launch(A, name="utc", delivery=_open("10:00", "14:00"))
    await c.record("bob", timezone="Mars/Olympus")
    await c.enroll("ada", "bob")
    await c.enroll("carl", sequence="utc")
    await c.until("2d")


@case("a fixed zone holds wherever the contact is", ada="a 5h · completed 5h")
async def fixed(c: Case) -> None:
    await c.launch(A, delivery=_open("09:00", "18:00", timezone="America/New_York"))
    await c.record("ada", timezone="Asia/Kolkata")
    await c.enroll("ada")
    await c.until("2d")


@case("the weekend", start=datetime(2027, 3, 5, 12, tzinfo=UTC), ada="a 0 · b 2d21h · completed 2d21h")
async def weekend(c: Case) -> None:
    await c.launch(A, email("b", "1d"), delivery=_open("09:00", "18:00", "mon", "tue", "wed", "thu", "fri"))
    await c.enroll("ada")
    await c.until("4d")


@case(
    "over midnight: open on the morning after, and on no other morning",
    start=datetime(2027, 3, 5, 12, tzinfo=UTC),
    ada="a 10h · b 16h · c 7d10h · completed 7d10h",
)
async def overnight(c: Case) -> None:
    await c.launch(A, email("b", "6h"), email("c", "6h"), delivery=_open("22:00", "06:00", "fri"))
    await c.enroll("ada")
    await c.until("8d")


@case(
    "a spring gap: the first instant after it", start=datetime(2027, 3, 27, 12, tzinfo=UTC), ada="a 13h · completed 13h"
)
async def gap(c: Case) -> None:
    await c.launch(A, delivery=_open("02:30", "04:00"))
    await c.record("ada", timezone="Europe/Berlin")
    await c.enroll("ada")
    await c.until("2d")


@case(
    "an autumn fold: the first of the two",
    start=datetime(2027, 10, 30, 12, tzinfo=UTC),
    ada="a 12h30m · b 1d13h30m · completed 1d13h30m",
)
async def fold(c: Case) -> None:
    await c.launch(A, email("b", "45m"), delivery=_open("02:30", "02:45"))
    await c.record("ada", timezone="Europe/Berlin")
    await c.enroll("ada")
    await c.until("3d")


@case(
    "both sides of the date line: Monday is not the same day",
    start=datetime(2027, 3, 7, 9, tzinfo=UTC),
    east="a 10h · completed 10h",
    west="a 1d11h · completed 1d11h",
)
async def date_line(c: Case) -> None:
    await c.launch(A, delivery=_open("09:00", "10:00", "mon"))
    await c.record("east", timezone="Pacific/Kiritimati")
    await c.record("west", timezone="Pacific/Pago_Pago")
    await c.enroll("east", "west")
    await c.until("3d")


@case("a contact moves while its message waits for the opening: earlier", ada="a 11h · completed 11h")
async def moves_east(c: Case) -> None:
    await c.launch(A, delivery=_open("05:00", "06:00"))
    await c.record("ada", timezone="Europe/Berlin")
    await c.enroll("ada")
    await c.until("1h")
    await c.record("ada", timezone="Asia/Tokyo")
    await c.until("2d")


@case("a contact moves while its message waits for the opening: later", ada="a 14h30m · completed 14h30m")
async def moves_west(c: Case) -> None:
    await c.launch(A, delivery=_open("05:00", "06:00"))
    await c.record("ada", timezone="Asia/Tokyo")
    await c.enroll("ada")
    await c.until("1h")
    await c.record("ada", timezone="Asia/Kolkata")
    await c.until("2d")


@case("released by a resume outside the window: at its opening", ada="a 0 · b 2d · completed 2d")
async def resumed_outside(c: Case) -> None:
    await c.launch(A, email("b", "6h"), delivery=_open("09:00", "18:00", timezone="UTC"))
    await c.enroll("ada")
    await c.until("1h")
    await c.pause()
    await c.until("1d12h")
    await c.resume(overdue="send_now")
    await c.until("3d")


SCRIPTS: Final = TABLE.scripts
