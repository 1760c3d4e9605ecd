"""What becomes of a message when the provider does not say, or refuses."""

from typing import Final

from testkit.cases.case import Case, email
from testkit.cases.tables.script import TableOf

TABLE: Final = TableOf("unknown and refused")
case: Final = TABLE.case

A, B = email("a"), email("b", "1d")
RETRY: Final = email("a", on_unknown="retry")


async def _lost(c: Case, step: dict[str, object]) -> None:
    """The first e-mail arrives, and its answer is lost."""
    await c.sink("email", "accept_and_drop_answer", match=c.contact("ada"), count=1)
    await c.launch(step, B)
    await c.enroll("ada")


@case(
    "assume_sent: after the wait it counts as sent, what follows counts from there",
    ada="a unknown 0 · a resolved: sent by policy 10m · b 1d10m · completed 1d10m",
    mails="a, b",
)
async def assume_sent(c: Case) -> None:
    await _lost(c, A)
    await c.until("2d")
    c.noted["mails"] = c.mails("ada")


@case(
    "retry: after the wait the same message again",
    ada="a unknown 0 · a resolved: retry by policy 10m · a 10m · b 1d10m · completed 1d10m",
)
async def retry(c: Case) -> None:
    await _lost(c, RETRY)
    await c.until("2d")


@case("by hand: it counts as sent", ada="a unknown 0 · a resolved: sent by operator 5m · b 1d5m · completed 1d5m")
async def by_hand(c: Case) -> None:
    await _lost(c, A)
    await c.until("5m")
    await c.resolve("ada", "a", "sent")
    await c.until("2d")


@case("by hand: again", ada="a unknown 0 · a resolved: retry by operator 5m · a 5m · b 1d5m · completed 1d5m")
async def by_hand_again(c: Case) -> None:
    await _lost(c, A)
    await c.until("5m")
    await c.resolve("ada", "a", "retry")
    await c.until("2d")


@case("removed while nobody knows: nothing follows", ada="a unknown 0 · removed 5m")
async def removed(c: Case) -> None:
    await _lost(c, RETRY)
    await c.until("5m")
    await c.remove("ada")
    await c.until("2d")


@case(
    "paused while nobody knows: the wait stands still",
    ada="a unknown 0 · a resolved: sent by policy 1h10m · b 1d1h10m · completed 1d1h10m",
)
async def paused(c: Case) -> None:
    await _lost(c, A)
    await c.until("5m")
    await c.pause()
    await c.until("1h5m")
    await c.resume()
    await c.until("2d")


@case("refused for good: the enrollment has failed", ada="a refused 0 · failed 0")
async def refused(c: Case) -> None:
    await c.sink("email", "status", match=c.contact("ada"), status=550, stage="rcpt")
    await c.launch(A, B)
    await c.enroll("ada")
    await c.until("2d")


@case("one bad recipient delays nobody", ada="a refused 0 · failed 0", bob="a 0 · b 1d · completed 1d")
async def one_bad_recipient(c: Case) -> None:
    await c.sink("email", "status", match=c.contact("ada"), status=550, stage="rcpt")
    await c.launch(A, B)
    await c.enroll("ada", "bob")
    await c.until("2d")


@case("refused for now: tried again", ada="a 0 · b 1d · completed 1d", mails="a, b")
async def refused_for_now(c: Case) -> None:
    await c.sink("email", "status", match=c.contact("ada"), status=451, count=2)
    await c.launch(A, B)
    await c.enroll("ada")
    await c.until("2d")
    c.noted["mails"] = c.mails("ada")


@case(
    "a receiver that honours our key is asked again: one message",
    ada="a 0 · b 1d · completed 1d",
    arrivals="1 taken, 1 repeated",
)
async def webhook(c: Case) -> None:
    name = c.unique
    await c.sink("webhook", "accept_and_drop_answer", match=name, count=1)
    url = f"{c.stage.stack.addresses.sink_http}/webhook/{name}"
    step = {
        "step_id": "a",
        "after": "0s",
        "message": {"channel": "webhook", "url": url, "json": {"id": "{{ contact.id }}"}},
    }
    await c.launch(step, B)
    await c.enroll("ada")
    await c.until("2d")
    c.noted["arrivals"] = c.hooks(name)


SCRIPTS: Final = TABLE.scripts
