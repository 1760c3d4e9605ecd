"""The last look before a send: whether its window is open, and whether anything speaks against it by now."""

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Final

from campaign.conditions import Facts, StopReason, StopWhen
from campaign.window import Window

EVERY_CHANNEL: Final = "*"


def opens_at(window: Window | None, *, now: Callable[[], datetime], timezone: str | None) -> datetime | None:
    """When a message may leave that may not leave now; None where it may. `now` is asked only where it matters."""
    if window is None:
        return None
    moment = now()
    opens = window.next_open(moment, timezone)
    return opens if opens > moment else None


def condition_met(
    stop_when: StopWhen, *, channel: str, opted_out_of: Collection[str] | None, facts: Callable[[], Facts]
) -> StopReason | None:
    """What ends the enrollment instead of the send. `facts` is asked only where the definition has conditions."""
    if opted_out_of and (EVERY_CHANNEL in opted_out_of or channel in opted_out_of):
        return "opted_out"
    if not stop_when.success and not stop_when.failure:
        return None
    return stop_when.met(facts())
