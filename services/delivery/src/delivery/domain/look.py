"""The last look before a send: whether its window is open, and whether anything speaks against it by now."""

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Final

from campaign.conditions import Facts, StopReason, StopWhen
from campaign.window import Window

EVERY_CHANNEL: Final = "*"


def opens_at(window: Window | None, *, now: datetime, timezone: str | None) -> datetime | None:
    """When a message may leave that may not leave now; None where it may."""
    if window is None:
        return None
    opens = window.next_open(now, timezone)
    return opens if opens > now else None


def condition_met(
    stop_when: StopWhen, *, channel: str, opted_out_of: Collection[str] | None, facts: Callable[[], Facts]
) -> StopReason | None:
    """What ends the enrollment instead of the send. `facts` is asked only where the definition has conditions."""
    if opted_out_of and (EVERY_CHANNEL in opted_out_of or channel in opted_out_of):
        return "opted_out"
    if not stop_when.success and not stop_when.failure:
        return None
    return stop_when.met(facts())
