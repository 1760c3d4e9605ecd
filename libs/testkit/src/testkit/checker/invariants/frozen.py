"""What a sender that was frozen between its last look and the first byte sends when it goes on: no program can help it.

Nothing is awaited there, so a freeze can catch one message. Mails, which are a dialogue, may have been under way
besides: their sink had heard of them before the freeze. What is more has not looked again, and is not excused.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from testkit.checker.history import Arrival, Span

THAW_SECONDS_MAX: Final = 2.0
"""So soon after it goes on, a frozen process sends what it was about to send, and then looks again."""


def sent_by(span: Span, arrivals: Iterable[Arrival]) -> list[Arrival]:
    """Those of arrivals that should not have come which this freeze excuses."""
    came = sorted((one for one in arrivals if thawed(span, one)), key=lambda one: one.at)
    begun = [one for one in came if one.begun_at is not None and one.begun_at < span.since]
    looked = [one for one in came if one not in begun and _may_have_been(span, one)]
    return [*begun, *looked[:1]]


def thawed(span: Span, arrival: Arrival) -> bool:
    """Whether it came as soon as a sender went on."""
    late = span.until <= arrival.at <= span.until + timedelta(seconds=THAW_SECONDS_MAX)
    return late and span.name.startswith("sender")


def _may_have_been(span: Span, arrival: Arrival) -> bool:
    """Whether it is the message that the sender was about to send, as far as that is known."""
    if span.message_id is not None:
        return arrival.message_id == span.message_id
    return span.point is None
