"""What an edit does to those inside."""

from typing import Final

from testkit.cases.case import Case, email, whatsapp
from testkit.cases.tables.script import TableOf

TABLE: Final = TableOf("edit")
case: Final = TABLE.case

A, B, C = email("a"), email("b", "1d"), email("c", "1d")


async def _waiting_for_b(c: Case, at: str = "12h") -> None:
    await c.launch(A, B, C)
    await c.enroll("ada")
    await c.until(at)


@case("content changed", ada="a 0 · b 1d · c 2d · completed 2d", mails="a, new b, c")
async def content(c: Case) -> None:
    await _waiting_for_b(c)
    await c.launch(A, email("b", "1d", subject="new b"), C)
    await c.until("3d")
    c.noted["mails"] = c.mails("ada")


@case("delay shortened, still ahead", ada="a 0 · b 18h · c 1d18h · completed 1d18h")
async def shortened(c: Case) -> None:
    await _waiting_for_b(c)
    await c.launch(A, email("b", "18h"), C)
    await c.until("3d")


@case("delay shortened, overdue by it: due now", ada="a 0 · b 12h · c 1d12h · completed 1d12h")
async def shortened_past(c: Case) -> None:
    await _waiting_for_b(c)
    await c.launch(A, email("b", "6h"), C)
    await c.until("3d")


@case("delay lengthened", ada="a 0 · b 2d · c 3d · completed 3d")
async def lengthened(c: Case) -> None:
    await _waiting_for_b(c)
    await c.launch(A, email("b", "2d"), C)
    await c.until("4d")


@case("a step inserted before someone's position never fires", ada="a 0 · b 1d · c 2d · completed 2d")
async def inserted_before(c: Case) -> None:
    await _waiting_for_b(c)
    await c.launch(email("x", "1h"), A, B, C)
    await c.until("3d")


@case("a step inserted right in front of the one waited for never fires", ada="a 0 · b 1d · c 2d · completed 2d")
async def inserted_at(c: Case) -> None:
    await _waiting_for_b(c)
    await c.launch(A, email("x", "1h"), B, C)
    await c.until("3d")


@case("a step inserted behind fires", ada="a 0 · b 1d · x 1d1h · c 2d1h · completed 2d1h")
async def inserted_after(c: Case) -> None:
    await _waiting_for_b(c)
    await c.launch(A, B, email("x", "1h"), C)
    await c.until("3d")


@case(
    "a step appended fires for who is inside, not for who is done",
    ada="a 0 · b 1d · completed 1d",
    bob="a 1d12h · b 2d12h · x 3d12h · completed 3d12h",
)
async def appended(c: Case) -> None:
    await c.launch(A, B)
    await c.enroll("ada")
    await c.until("1d12h")
    await c.enroll("bob")
    await c.until("2d")
    await c.launch(A, B, email("x", "1d"))
    await c.until("5d")


@case("a step removed with people in it leads to the next", ada="a 0 · c 1d · completed 1d")
async def removed(c: Case) -> None:
    await _waiting_for_b(c)
    await c.launch(A, C)
    await c.until("3d")


@case("the last steps removed with people in them: they are done", ada="a 0 · completed 12h")
async def removed_last(c: Case) -> None:
    await _waiting_for_b(c)
    await c.launch(A)
    await c.until("3d")


@case(
    "reordered: the step waited for stays the next, what stands before it now is passed",
    ada="a 0 · b 1d · completed 1d",
)
async def reordered(c: Case) -> None:
    await _waiting_for_b(c)
    await c.launch(A, C, B)
    await c.until("3d")


@case("reordered: a step that was sent never comes again", ada="a 0 · b 1d · c 2d · completed 2d")
async def reordered_back(c: Case) -> None:
    await _waiting_for_b(c)
    await c.launch(B, A, C)
    await c.until("3d")


@case("channel changed", ada="a 0 · b 1d · c 2d · completed 2d", channels="a email, b whatsapp, c email")
async def channel(c: Case) -> None:
    await _waiting_for_b(c)
    await c.launch(A, whatsapp("b", "1d"), C)
    await c.until("3d")
    c.noted["channels"] = c.channels("ada")


@case("window changed", ada="a 0 · b 1d6h · c 2d6h · completed 2d6h")
async def window(c: Case) -> None:
    await _waiting_for_b(c)
    days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    await c.launch(A, B, C, delivery={"days": days, "from": "15:00", "to": "18:00", "timezone": "UTC"})
    await c.until("3d")


@case("a window taken away: what waited for its opening leaves when it is due", ada="a 6h · b 1d6h · completed 1d6h")
async def window_taken_away(c: Case) -> None:
    days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    await c.launch(A, B, delivery={"days": days, "from": "22:00", "to": "23:00", "timezone": "UTC"})
    await c.enroll("ada")
    await c.until("6h")
    await c.launch(A, B)
    await c.until("3d")


@case("while paused", ada="a 0 · b 18h · c 1d18h · completed 1d18h")
async def while_paused(c: Case) -> None:
    await _waiting_for_b(c, "6h")
    await c.pause()
    await c.until("12h")
    await c.launch(A, email("b", "6h"), C)
    await c.until("18h")
    await c.resume()
    await c.until("3d")


@case("while paused, a step removed with people in it", ada="a 0 · c 1d12h · completed 1d12h")
async def removed_while_paused(c: Case) -> None:
    await _waiting_for_b(c, "6h")
    await c.pause()
    await c.until("12h")
    await c.launch(A, C)
    await c.until("18h")
    await c.resume()
    await c.until("3d")


@case("twice in a row", ada="a 0 · b 18h · c 1d18h · completed 1d18h")
async def twice(c: Case) -> None:
    await _waiting_for_b(c)
    await c.launch(A, email("b", "2d"), C)
    await c.launch(A, email("b", "18h"), C)
    await c.until("4d")


@case("with a send in flight: what is tried again is the same message", mails="a, b", channels="a email, b email")
async def in_flight(c: Case) -> None:
    await c.launch(A, B)
    await c.enroll("ada")
    await c.until("23h")
    await c.sink("email", "status", match=c.contact("ada"), status=451, count=8)
    await c.until("1d1m")
    await c.launch(A, whatsapp("b", "5d"))
    await c.until("2d")
    c.noted["mails"], c.noted["channels"] = c.mails("ada"), c.channels("ada")


@case(
    "pin: who is inside keeps its version, who comes later gets the newest",
    ada="a 0 · b 1d · c 2d · completed 2d",
    bob="a 12h · b 18h · completed 18h",
)
async def pin(c: Case) -> None:
    await _waiting_for_b(c)
    await c.launch(A, email("b", "6h"), in_flight="pin")
    await c.enroll("bob")
    await c.until("3d")


@case("pin, then follow: all follow the newest", ada="a 0 · b 2d · completed 2d", bob="a 8h · b 2d8h · completed 2d8h")
async def pin_then_follow(c: Case) -> None:
    await _waiting_for_b(c, "6h")
    await c.launch(A, email("b", "3d"), C, in_flight="pin")
    await c.until("8h")
    await c.enroll("bob")
    await c.until("12h")
    await c.launch(A, email("b", "2d"))
    await c.until("4d")


@case("rollback: an older definition published again", ada="a 0 · b 1d · c 2d · completed 2d", mails="a, b, c")
async def rollback(c: Case) -> None:
    await _waiting_for_b(c, "6h")
    await c.launch(A, email("b", "5d", subject="a mistake"), C)
    await c.until("12h")
    await c.launch(A, B, C)
    await c.until("3d")
    c.noted["mails"] = c.mails("ada")


@case("saved and not published: nothing changes", ada="a 0 · b 1d · c 2d · completed 2d", mails="a, b, c")
async def saved_only(c: Case) -> None:
    await _waiting_for_b(c)
    await c.save(A, email("b", "1h", subject="a draft"))
    await c.until("3d")
    c.noted["mails"] = c.mails("ada")


SCRIPTS: Final = TABLE.scripts
