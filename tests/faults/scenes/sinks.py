"""The receivers misbehave."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from chassis.clock import sleep
from testkit.checker.facts import Facts
from testkit.checker.history import History

from tests.faults.scene import Play, Scene

SECONDS: Final = 4.0
SLOW_SECONDS: Final = 1.5
SLOW_SECONDS_MIN: Final = 0.95 * SLOW_SECONDS
"""An arrival is written down a little after the request has come."""


def rule(
    mode: str, *, share: float = 0.5, channels: tuple[str, ...] = ("webhook", "smtp"), **more: Any
) -> Callable[[Play], Awaitable[None]]:
    """So large a share of all messages for some seconds."""

    async def fault(play: Play) -> None:
        for channel in channels:
            await play.stage.sink(channel, mode, probability=share, **more)
        await sleep(SECONDS)

    return fault


def came(outcome: str) -> Callable[[History], bool]:
    """Whether the sink did that to some message."""
    return lambda history: any(arrival.outcome == outcome for arrival in history.arrivals)


def slow(history: History) -> bool:
    """Whether a sender had to wait for its answer."""
    came = {one.message_id: one.at for one in history.arrivals if one.accepted}
    sent = (one for one in Facts(history).named.get("MessageSent", ()) if one.data["message_id"] in came)
    return any((one.time("sent_at") - came[one.data["message_id"]]).total_seconds() > SLOW_SECONDS_MIN for one in sent)


async def killed(play: Play) -> None:
    """kill -9 of the sink, twice."""
    for _ in range(2):
        await play.stage.kill_when_there("sink")
        await sleep(2.0)


SCENES: Final = (
    Scene(
        "sink-429",
        "half of all webhooks are answered 429 with Retry-After",
        rule("status", status=429, retry_after=1, channels=("webhook",)),
        shows=came("failed"),
    ),
    Scene(
        "sink-5xx",
        "every webhook is answered 503",
        rule("status", share=1.0, status=503, channels=("webhook",)),
        shows=came("failed"),
    ),
    Scene(
        "sink-451",
        "half of all mails are put off (451)",
        rule("status", status=451, channels=("smtp",)),
        shows=came("failed"),
    ),
    Scene("sink-hangs", "a fifth of all messages gets no answer", rule("hang", share=0.2), shows=came("hung")),
    Scene(
        "sink-resets", "half of all connections are reset when the message is there", rule("reset"), shows=came("reset")
    ),
    Scene(
        "sink-drops-answer",
        "half of all messages are taken, and the answer is dropped",
        rule("accept_and_drop_answer"),
        shows=came("answer_dropped"),
    ),
    Scene(
        "sink-slow",
        f"every answer takes {SLOW_SECONDS} s",
        rule("slow", share=1.0, delay_seconds=SLOW_SECONDS),
        shows=slow,
    ),
    Scene(
        "sink-refuses", "a tenth of all messages is refused for good", rule("refuse", share=0.1), shows=came("refused")
    ),
    Scene("sink-killed", "kill -9 of the sink", killed),
)
