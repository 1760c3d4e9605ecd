"""How the sink misbehaves when told to."""

import random
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, get_args

from devstack.sink.book import CHANNELS, Channel

Mode = Literal["ok", "status", "hang", "reset", "accept_and_drop_answer", "refuse", "slow"]
MODES: Final[tuple[str, ...]] = get_args(Mode)
Stage = Literal["mail", "rcpt", "data"]
"""For SMTP: at which command a behaviour strikes. Behind `data` stands the whole message, up to its final dot."""
STAGES: Final[tuple[str, ...]] = get_args(Stage)


class BehaviourFault(Exception):
    """What was asked for is no behaviour; the text says why."""


@dataclass(slots=True)
class Behaviour:
    """One rule. Of several that fit a message the newest decides."""

    channel: Channel
    mode: Mode
    status: int | None = None
    code: int | None = None
    retry_after: str | None = None
    probability: float = 1.0
    count: int | None = None
    """How many messages it still strikes; None: without end."""
    match: str | None = None
    """Part of the recipient: the address, the webhook's name, the phone number."""
    delay_seconds: float = 0.0
    stage: Stage = "data"

    def strikes(self, to: str) -> bool:
        """Whether it decides about this message; counts it if so."""
        if self.count == 0 or (self.match is not None and self.match not in to):
            return False
        if self.probability < 1.0 and random.random() >= self.probability:
            return False
        if self.count is not None:
            self.count -= 1
        return True


class Behaviours:
    """The rules in force."""

    def __init__(self) -> None:
        self._rules: dict[str, list[Behaviour]] = {channel: [] for channel in CHANNELS}

    def add(self, rule: Behaviour) -> None:
        """Put a rule in force; `ok` without a match lifts all rules of its channel."""
        if rule.mode == "ok" and rule.match is None:
            self._rules[rule.channel].clear()
        else:
            self._rules[rule.channel].insert(0, rule)

    def clear(self) -> None:
        """Behave again."""
        for rules in self._rules.values():
            rules.clear()

    def told(self) -> list[dict[str, Any]]:
        """All rules, the newest of each channel first."""
        return [asdict(rule) for rules in self._rules.values() for rule in rules]

    def decide(self, channel: Channel, to: str, *, stage: Stage = "data") -> Behaviour | None:
        """The rule for this message, if it is to be treated in any way but the normal one."""
        for rule in self._rules[channel]:
            if rule.stage == stage and rule.strikes(to):
                return None if rule.mode == "ok" else rule
        return None


def parse_behaviour(value: Any) -> Behaviour:
    """Read one rule from JSON; BehaviourFault for what is none."""
    if not isinstance(value, dict):
        raise BehaviourFault("a behaviour is a JSON object")
    channel = value.get("channel")
    if channel == "email":
        channel = "smtp"
    if channel not in CHANNELS:
        raise BehaviourFault(f"channel: one of {', '.join(CHANNELS)}")
    if value.get("mode") not in MODES:
        raise BehaviourFault(f"mode: one of {', '.join(MODES)}")
    if value.get("stage", "data") not in STAGES:
        raise BehaviourFault(f"stage: one of {', '.join(STAGES)}")
    unknown = set(value) - set(Behaviour.__dataclass_fields__)
    if unknown:
        raise BehaviourFault(f"unknown: {', '.join(sorted(unknown))}")
    try:
        return Behaviour(
            channel=channel,
            mode=value["mode"],
            status=_number(value.get("status")),
            code=_number(value.get("code")),
            retry_after=None if value.get("retry_after") is None else str(value["retry_after"]),
            probability=float(value.get("probability", 1.0)),
            count=_number(value.get("count")),
            match=None if value.get("match") is None else str(value["match"]),
            delay_seconds=float(value.get("delay_seconds") or 0.0),
            stage=value.get("stage", "data"),
        )
    except (TypeError, ValueError):
        raise BehaviourFault(
            "status, code and count are whole numbers, probability and delay_seconds numbers"
        ) from None


def _number(value: Any) -> int | None:
    return None if value is None else int(value)
