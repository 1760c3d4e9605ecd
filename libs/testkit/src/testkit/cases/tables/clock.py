"""The active clock: pauses and resumes of every kind."""

from datetime import UTC, datetime
from typing import Final

from testkit.cases.case import Case, email
from testkit.cases.tables.script import TableOf

TABLE: Final = TableOf("clock")
case: Final = TABLE.case


async def _started(c: Case) -> None:
    await c.launch(email("a"), email("b", "1d"))
    await c.enroll("ada")


@case("shift: who had 12 hours to go still has 12 hours to go", ada="a 0 · b 3d · completed 3d")
async def shift(c: Case) -> None:
    await _started(c)
    await c.until("12h")
    await c.pause()
    await c.until("2d12h")
    await c.resume()
    await c.until("4d")


@case(
    "send_now: what became due while paused leaves at the resume, what follows counts from there",
    ada="a 0 · b 2d12h · c 3d12h · completed 3d12h",
)
async def send_now(c: Case) -> None:
    await c.launch(email("a"), email("b", "1d"), email("c", "1d"))
    await c.enroll("ada")
    await c.until("12h")
    await c.pause()
    await c.until("2d12h")
    await c.resume(overdue="send_now")
    await c.until("5d")


@case("send_now: what is not yet due keeps its day", ada="a 0 · b 5d · completed 5d")
async def send_now_later(c: Case) -> None:
    await c.launch(email("a"), email("b", "5d"))
    await c.enroll("ada")
    await c.until("12h")
    await c.pause()
    await c.until("2d12h")
    await c.resume(overdue="send_now")
    await c.until("6d")


@case(
    "skip: what became due while paused expires, what follows counts from the resume",
    ada="a 0 · b expired (skip) 2d12h · c 3d12h · completed 3d12h",
)
async def skip(c: Case) -> None:
    await c.launch(email("a"), email("b", "1d"), email("c", "1d"))
    await c.enroll("ada")
    await c.until("12h")
    await c.pause()
    await c.until("2d12h")
    await c.resume(overdue="skip")
    await c.until("5d")


@case(
    "skip: a step without a delay behind a skipped one is sent", ada="a 0 · b expired (skip) 2d · c 2d · completed 2d"
)
async def skip_then_at_once(c: Case) -> None:
    await c.launch(email("a"), email("b", "1d"), email("c", "0s"))
    await c.enroll("ada")
    await c.until("12h")
    await c.pause()
    await c.until("2d")
    await c.resume(overdue="skip")
    await c.until("3d")


@case("skip: the last step expires, and the enrollment completes", ada="a 0 · b expired (skip) 2d · completed 2d")
async def skip_the_last(c: Case) -> None:
    await _started(c)
    await c.until("12h")
    await c.pause()
    await c.until("2d")
    await c.resume(overdue="skip")
    await c.until("3d")


@case("skip: what is not yet due keeps its day", ada="a 0 · b 5d · completed 5d")
async def skip_later(c: Case) -> None:
    await c.launch(email("a"), email("b", "5d"))
    await c.enroll("ada")
    await c.until("12h")
    await c.pause()
    await c.until("2d12h")
    await c.resume(overdue="skip")
    await c.until("6d")


@case(
    "send_now with max_lateness: what is later than that expires",
    ada="a 0 · b expired (max_lateness) 2d12h · completed 2d12h",
    bob="a 10h · b 2d12h · completed 2d12h",
)
async def max_lateness(c: Case) -> None:
    await _started(c)
    await c.until("10h")
    await c.enroll("bob")
    await c.until("12h")
    await c.pause()
    await c.until("2d12h")
    await c.resume(overdue="send_now", max_lateness="30h")
    await c.until("3d")


@case("resume_at: it resumes by itself", ada="a 0 · b 2d · completed 2d")
async def resume_at(c: Case) -> None:
    await _started(c)
    await c.until("12h")
    await c.pause(resume_at="1d12h")
    await c.until("3d")


@case("resume_at: somebody resumes before, and it happens once", ada="a 0 · b 1d12h · completed 1d12h", state="active")
async def resume_at_after_a_resume(c: Case) -> None:
    await _started(c)
    await c.until("12h")
    await c.pause(resume_at="1d6h")
    await c.until("1d")
    await c.resume()
    await c.until("3d")
    c.noted["state"] = c.state()


@case("resume_at: resumed and paused again before, nothing resumes", ada="a 0", state="paused")
async def resume_at_of_an_older_pause(c: Case) -> None:
    await _started(c)
    await c.until("12h")
    await c.pause(resume_at="1d12h")
    await c.until("20h")
    await c.resume()
    await c.until("21h")
    await c.pause()
    await c.until("4d")
    c.noted["state"] = c.state()


@case("resume_at: deleted before, it stays deleted", ada="a 0", state="gone")
async def resume_at_after_a_delete(c: Case) -> None:
    await _started(c)
    await c.until("12h")
    await c.pause(resume_at="1d12h")
    await c.until("1d")
    await c.delete()
    await c.until("3d")
    c.noted["state"] = c.state()


@case("pausing again without resume_at takes it back", ada="a 0 · b 3d · completed 3d")
async def resume_at_taken_back(c: Case) -> None:
    await _started(c)
    await c.until("12h")
    await c.pause(resume_at="1d")
    await c.until("13h")
    await c.pause()
    await c.until("2d12h")
    await c.resume()
    await c.until("4d")


@case("paused twice inside one delay", ada="a 0 · b 1d12h · completed 1d12h")
async def twice(c: Case) -> None:
    await _started(c)
    await c.until("6h")
    await c.pause()
    await c.until("10h")
    await c.resume()
    await c.until("12h")
    await c.pause()
    await c.until("20h")
    await c.resume()
    await c.until("3d")


@case("a shift, then a send_now, inside one delay", ada="a 0 · b 2d6h · completed 2d6h")
async def shift_then_send_now(c: Case) -> None:
    await c.launch(email("a"), email("b", "2d"))
    await c.enroll("ada")
    await c.until("6h")
    await c.pause()
    await c.until("12h")
    await c.resume()
    await c.until("1d")
    await c.pause()
    await c.until("2d")
    await c.resume(overdue="send_now")
    await c.until("3d")


@case(
    "paused again right after a send_now: what has not left waits for the next resume",
    ada="a 0 · b 3d · completed 3d",
)
async def again_before_the_release(c: Case) -> None:
    await c.launch(email("a"), email("b", "2d"))
    await c.enroll("ada")
    await c.until("1d")
    await c.pause()
    await c.until("1d12h")
    await c.resume(overdue="send_now")
    await c.until("1d18h")
    await c.pause()
    await c.until("3d")
    await c.resume(overdue="send_now")
    await c.until("4d")


@case(
    "a pause across a clock change: hours are hours",
    start=datetime(2027, 3, 27, 9, tzinfo=UTC),
    ada="a 0 · b 2d · completed 2d",
)
async def across_a_clock_change(c: Case) -> None:
    await c.record("ada", timezone="Europe/Berlin")
    await _started(c)
    await c.until("12h")
    await c.pause()
    await c.until("1d12h")
    await c.resume()
    await c.until("3d")


SCRIPTS: Final = TABLE.scripts
