"""When a scope is suspended because its provider fails, when it is tried out, and when it runs in full again."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from delivery.domain.scope import Scope, Status

TRIAL_FAILURES_MIN: Final = 2
"""One failure may be the message's own."""
TRIAL_SUCCESSES_MIN: Final = 5
TRIAL_SECONDS_MAX: Final = 300.0
"""A trial that sees next to no messages ends by itself, unless they fail."""


@dataclass(frozen=True, slots=True)
class Limits:
    """At which ratio of failures a scope is suspended, and for how long."""

    ratio: float = 0.5
    count_min: int = 20
    window_seconds: float = 30.0
    rest_seconds: float = 10.0
    rest_seconds_max: float = 300.0


@dataclass(frozen=True, slots=True)
class Count:
    """The attempts of a scope: all of its window, or of its trial."""

    tried: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    """By code; those that are the provider's or the account's fault."""

    @property
    def failed(self) -> int:
        """How many failed."""
        return sum(self.failures.values())

    @property
    def commonest(self) -> str:
        """The code of most of them."""
        return max(sorted(self.failures), key=self.failures.__getitem__)

    def __add__(self, other: "Count") -> "Count":
        return Count(self.tried + other.tried, Counter(self.failures) + Counter(other.failures))


@dataclass(frozen=True, slots=True)
class Trip:
    """Suspend it."""

    reason: str
    rest_seconds: float


@dataclass(frozen=True, slots=True)
class TryOut:
    """Restore it, for a trickle."""


@dataclass(frozen=True, slots=True)
class Recover:
    """Its trial has gone well: let everything through."""


Verdict = Trip | TryOut | Recover


def of_lane(servers: Sequence[Count], *, limits: Limits) -> Count:
    """The attempts of a lane, from those at each group of its servers.

    Where there are several, failures count only if every group fails: one that does its work shows that our way out is
    open, and those who run it shall not wait for the others.
    """
    total = sum(servers, Count())
    spared = len(servers) > 1 and any(one.failed < limits.ratio * one.tried for one in servers)
    return Count(total.tried) if spared else total


def judge(scope: Scope | None, count: Count, *, limits: Limits, now: datetime) -> Verdict | None:
    """What the breaker does about a scope; None where nothing is to be done.

    What a person has suspended is none of its business.
    """
    if scope is None:
        return _judge_running(count, limits)
    match scope.status:
        case Status.RUNNING if scope.trial:
            return _judge_trial(scope, count, limits, now=now)
        case Status.RUNNING:
            return _judge_running(count, limits)
        case Status.SUSPENDED if scope.breaker:
            rested = now - scope.changed_at >= timedelta(seconds=scope.rest_seconds)
            return TryOut() if rested else None
        case Status.SUSPENDING | Status.SUSPENDED:
            return None


def judge_all(
    scopes: Mapping[str, Scope], lanes: Mapping[str, Count], *, limits: Limits, now: datetime
) -> dict[str, Verdict]:
    """What the breaker does about every channel and every named sender, from the attempts of each lane.

    A named sender is judged by itself. Its channel is judged by all lanes but those of senders that are, or are just
    being, taken care of by themselves: one bad account does not stop the others.
    """
    counts: dict[str, Count] = defaultdict(Count, {one.scope: Count() for one in scopes.values() if one.breaker})
    for lane, count in lanes.items():
        if sender := lane.partition(":")[2]:
            counts[f"sender:{sender}"] += count
    senders = _judge_these(counts, scopes, kind="sender:", limits=limits, now=now)
    apart = {*senders, *(one.scope for one in scopes.values() if one.breaker)}
    for lane, count in lanes.items():
        channel, _, sender = lane.partition(":")
        if f"sender:{sender}" not in apart:
            counts[f"channel:{channel}"] += count
    return senders | _judge_these(counts, scopes, kind="channel:", limits=limits, now=now)


def _judge_these(
    counts: Mapping[str, Count], scopes: Mapping[str, Scope], *, kind: str, limits: Limits, now: datetime
) -> dict[str, Verdict]:
    verdicts = {
        name: judge(scopes.get(name), count, limits=limits, now=now)
        for name, count in counts.items()
        if name.startswith(kind)
    }
    return {name: verdict for name, verdict in verdicts.items() if verdict is not None}


def _judge_running(count: Count, limits: Limits) -> Trip | None:
    if count.tried < max(1, limits.count_min) or count.failed < limits.ratio * count.tried:
        return None
    within = f"within {limits.window_seconds:g} s"
    return Trip(_reason(count, within), limits.rest_seconds)


def _judge_trial(scope: Scope, count: Count, limits: Limits, *, now: datetime) -> Trip | Recover | None:
    fails = count.failed > 0 and count.failed >= limits.ratio * count.tried
    if count.failed >= TRIAL_FAILURES_MIN and fails:
        longer = min(limits.rest_seconds_max, max(limits.rest_seconds, 2 * scope.rest_seconds))
        return Trip(_reason(count, "on trial"), longer)
    lasted = now - scope.changed_at >= timedelta(seconds=TRIAL_SECONDS_MAX)
    went_well = count.tried - count.failed >= TRIAL_SUCCESSES_MIN and not fails
    return Recover() if went_well or (lasted and not fails) else None


def _reason(count: Count, when: str) -> str:
    share = round(100 * count.failed / count.tried)
    return f"{count.failed} of {count.tried} attempts failed {when} ({share} %), most often {count.commonest}"
