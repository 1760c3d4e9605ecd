"""A sender that is suspended, and one that is slow."""

from typing import Any, Final

from testkit.cases.case import Case, email
from testkit.cases.tables.script import TableOf

TABLE: Final = TableOf("suspend and pace")
case: Final = TABLE.case

FOUR: Final = ("ada", "bob", "carl", "dora")


def _by(sender: str, step_id: str, after: str = "0s") -> dict[str, Any]:
    return email(step_id, after, message={"sender": sender})


@case(
    "a suspended sender waits, the others go on",
    ada="a 0 · b 1d12h · completed 1d12h",
    ada_in_other="a 0 · b 1d · completed 1d",
)
async def suspended(c: Case) -> None:
    await c.launch(email("a"), _by("first", "b", "1d"))
    await c.launch(email("a"), email("b", "1d"), name="other")
    await c.enroll("ada")
    await c.enroll("ada", sequence="other")
    await c.until("12h")
    await c.suspend("sender:first")
    await c.until("1d12h")
    await c.restore("sender:first")
    await c.until("2d")


@case("suspended twice, restored once", ada="a 12h · completed 12h")
async def suspended_twice(c: Case) -> None:
    await c.suspend("sender:second")
    await c.suspend("sender:second")
    await c.launch(_by("second", "a"))
    await c.enroll("ada")
    await c.until("12h")
    await c.restore("sender:second")
    await c.until("1d")


@case("suspended and paused: a resume alone sends nothing", ada="a 0 · b 3d · completed 3d")
async def suspended_and_paused(c: Case) -> None:
    await c.launch(email("a"), _by("third", "b", "1d"))
    await c.enroll("ada")
    await c.until("12h")
    await c.pause()
    await c.suspend("sender:third")
    await c.until("2d")
    await c.resume(overdue="send_now")
    await c.until("3d")
    await c.restore("sender:third")
    await c.until("4d")


@case("released at the rate of the sender: one an hour", last="3h")
async def paced(c: Case) -> None:
    await c.launch(_by("slow-1", "a"))
    await c.enroll(*FOUR)
    await c.until("12h")
    c.noted["last"] = _last(c)


@case(
    "paused again during a paced release: two have left, two wait for the next resume", last="11h", meanwhile="2 sent"
)
async def paused_again(c: Case) -> None:
    await c.launch(_by("slow-2", "a", "1h"))
    await c.enroll(*FOUR)
    await c.until("30m")
    await c.pause()
    await c.until("2h")
    await c.resume(overdue="send_now")
    await c.until("3h30m")
    await c.pause()
    await c.until("10h")
    c.noted["meanwhile"] = f"{sum('a ' in c.line(name) for name in FOUR)} sent"
    await c.resume(overdue="send_now")
    await c.until("1d")
    c.noted["last"] = _last(c)


def _last(c: Case) -> str:
    """When the last of the four was sent."""
    lines = [c.line(name) for name in FOUR]
    return max((line.split()[1] for line in lines), key=lambda text: int(text.rstrip("h")))


SCRIPTS: Final = TABLE.scripts
