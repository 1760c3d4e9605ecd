"""A published definition, as the rules look at it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sluice_contracts.definition import OnUnknown, parse_after

from campaign.conditions import Condition, StopWhen
from campaign.rules import NEVER, read_rules
from campaign.window import Window, read_window


@dataclass(frozen=True, slots=True)
class Step:
    """One step, as far as planning looks at it."""

    step_id: str
    after: timedelta
    channel: str
    sender: str | None = None
    on_unknown: OnUnknown = "assume_sent"

    @property
    def lane(self) -> str:
        """Where its messages queue: `channel:sender`, the sender empty where none is named."""
        return f"{self.channel}:{self.sender or ''}"


@dataclass(frozen=True, slots=True)
class Definition:
    """One version: its steps in order, who enters by itself, what ends it early, and when messages may leave."""

    version: int
    steps: tuple[Step, ...]
    campaign: str | None = None
    triggers: frozenset[str] = frozenset()
    """Of `created` and `updated`; none: by command and import only."""
    start_when: tuple[Condition, ...] = ()
    stop_when: StopWhen = NEVER
    enroll_once: bool = True
    window: Window | None = None
    places: Mapping[str, int] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "places", {step.step_id: place for place, step in enumerate(self.steps)})


def read_definition(version: int, document: Mapping[str, Any]) -> Definition:
    """Read a published definition; KeyError, TypeError or ValueError where it is none."""
    rules = read_rules(document)
    return Definition(
        version=version,
        steps=tuple(_step(step) for step in document["steps"]),
        campaign=document.get("campaign"),
        triggers=rules.triggers,
        start_when=rules.start_when,
        stop_when=rules.stop_when,
        enroll_once=rules.enroll_once,
        window=read_window(document.get("delivery")),
    )


def _step(step: Mapping[str, Any]) -> Step:
    message = step["message"]
    return Step(
        step_id=step["step_id"],
        after=parse_after(step["after"]),
        channel=message["channel"],
        sender=message.get("sender"),
        on_unknown=step.get("on_unknown", "assume_sent"),
    )
