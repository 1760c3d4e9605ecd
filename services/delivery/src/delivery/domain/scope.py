"""A scope: everything, one channel or one sender, that can be suspended and restored as a whole."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any, Final

from messaging import Cause, Decision, Refused
from sluice_contracts.answers import Fault
from sluice_contracts.delivery import DeliveryRestored, DeliverySuspended, RestoreDelivery, SuspendDelivery

ALL: Final = "all"
CHANNELS: Final = frozenset({"email", "webhook", "whatsapp"})
"""What a definition may name. Senders are named in the settings of senders, so any name of one may be right."""

BREAKER: Final = "breaker"
"""Its name, as who asked."""
ON_TRIAL: Final = "on trial: a trickle is let through, to find out whether it is over"


class Status(StrEnum):
    """Where a scope stands; `suspending` until its receipt is given."""

    RUNNING = "running"
    SUSPENDING = "suspending"
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True)
class Scope:
    """One scope that was suspended at some time; one that never was has no row."""

    scope: str
    status: Status
    epoch: int
    changed_at: datetime
    reason: str | None = None
    in_flight: int = 0
    halted_at: datetime | None = None
    cause: Mapping[str, Any] | None = None
    restore: Mapping[str, Any] | None = None
    """A restore that waits for the receipt: its `cause` and its `reason`."""
    breaker: bool = False
    """Suspended, or on trial, by the breaker: a person's word takes it out of its hands."""
    trial: bool = False
    """Running, and only a trickle is let through."""
    rest_seconds: float = 0.0

    def receipt(self) -> DeliverySuspended:
        """What says that nothing leaves; only of one that is suspended."""
        assert self.halted_at is not None
        return DeliverySuspended(
            scope=self.scope,
            epoch=self.epoch,
            reason=self.reason,
            in_flight=self.in_flight,
            halted_at=self.halted_at,
        )


@cache
def scopes_of(lane: str) -> tuple[str, ...]:
    """Every scope that covers a lane (`channel:sender`)."""
    channel, _, sender = lane.partition(":")
    own = (f"sender:{sender}",) if sender else ()
    return (ALL, f"channel:{channel}", *own)


def suspend(
    scope: Scope | None, command: SuspendDelivery, *, in_flight: int, cause: Cause, now: datetime
) -> Decision[Scope]:
    """Close a scope and owe its receipt. What is suspended keeps its epoch, and its receipt is repeated."""
    known = _known(scope, command.scope, now=now)
    match known.status:
        case Status.RUNNING:
            closed = close(known, reason=command.reason, in_flight=in_flight, cause=cause, now=now)
            return Decision(closed, result={"epoch": closed.epoch})
        case Status.SUSPENDING:
            kept = replace(known, reason=command.reason, restore=None, breaker=False)
            return Decision(kept, result={"epoch": kept.epoch})
        case Status.SUSPENDED:
            kept = replace(known, reason=command.reason, breaker=False)
            return Decision(kept, (kept.receipt(),), result={"epoch": kept.epoch})


def restore(scope: Scope | None, command: RestoreDelivery, *, cause: Cause, now: datetime) -> Decision[Scope]:
    """Let a scope send again: now, or once the receipt of its suspension is given.

    What runs runs on; that it was restored is said once more, so that who asked sees it however old that is.
    """
    known = _known(scope, command.scope, now=now)
    match known.status:
        case Status.RUNNING:
            said = (_restored(known, known.reason),) if known.epoch else ()
            return Decision(recover(known, now=now) if known.trial else None, said, {"epoch": known.epoch})
        case Status.SUSPENDING:
            wanted = {"cause": cause.to_dict(), "reason": command.reason}
            asked = replace(known, restore=known.restore or wanted, breaker=False)
            return Decision(asked, result={"epoch": known.epoch + 1})
        case Status.SUSPENDED:
            opened = reopen(known, now=now)
            return Decision(opened, (_restored(opened, command.reason),), result={"epoch": opened.epoch})


def fence(scope: Scope | None, name: str, *, in_flight: int, cause: Cause, now: datetime) -> Scope:
    """A scope whose suspension could not be handled: closed, or kept closed, by a person."""
    if scope is None or scope.status is Status.RUNNING:
        running = scope or Scope(scope=name, status=Status.RUNNING, epoch=0, changed_at=now)
        return close(running, reason=None, in_flight=in_flight, cause=cause, now=now)
    return replace(scope, restore=None, breaker=False)


def halt(scope: Scope, *, halted_at: datetime) -> Decision[Scope]:
    """Give the receipt that is owed."""
    match scope.status:
        case Status.SUSPENDING:
            halted = replace(scope, status=Status.SUSPENDED, halted_at=halted_at, changed_at=halted_at)
            return Decision(halted, (halted.receipt(),))
        case Status.RUNNING | Status.SUSPENDED:
            return Decision()


def complete_restore(scope: Scope, asked: Mapping[str, Any] | None, *, now: datetime) -> Decision[Scope]:
    """Restore what waited for its receipt, now that this is given; nothing where nobody asked."""
    if asked is None:
        return Decision()
    opened = reopen(scope, now=now)
    return Decision(opened, (_restored(opened, asked["reason"]),))


def try_out(scope: Scope, *, now: datetime) -> Decision[Scope]:
    """Restore what the breaker has suspended, for a trickle that finds out whether it is over."""
    opened = replace(reopen(scope, now=now), breaker=True, trial=True, rest_seconds=scope.rest_seconds)
    return Decision(opened, (_restored(opened, ON_TRIAL),))


def recover(scope: Scope, *, now: datetime) -> Scope:
    """A scope on trial, running in full; its epoch stays, for nothing that was said of it changes."""
    return replace(scope, breaker=False, trial=False, rest_seconds=0.0, changed_at=now)


def close(scope: Scope, *, reason: str | None, in_flight: int, cause: Cause, now: datetime) -> Scope:
    """A running scope, closed under the next epoch."""
    return Scope(
        scope=scope.scope,
        status=Status.SUSPENDING,
        epoch=scope.epoch + 1,
        changed_at=now,
        reason=reason,
        in_flight=in_flight,
        cause=cause.to_dict(),
    )


def reopen(scope: Scope, *, now: datetime) -> Scope:
    """A suspended scope, running under the next epoch."""
    return Scope(scope=scope.scope, status=Status.RUNNING, epoch=scope.epoch + 1, changed_at=now)


def adopted(scope: Scope | None, said: DeliverySuspended | DeliveryRestored, *, cause: Cause) -> Scope | None:
    """A scope as it was said to be; None where nothing newer is told by that."""
    if scope is not None and (
        scope.epoch > said.epoch or (scope.epoch == said.epoch and scope.status is not Status.SUSPENDING)
    ):
        return None
    breaker = cause.actor == BREAKER
    if isinstance(said, DeliveryRestored):
        trial = breaker and said.reason == ON_TRIAL
        return Scope(said.scope, Status.RUNNING, said.epoch, said.restored_at, breaker=trial, trial=trial)
    return Scope(
        scope=said.scope,
        status=Status.SUSPENDED,
        epoch=said.epoch,
        changed_at=said.halted_at,
        reason=said.reason,
        in_flight=said.in_flight,
        halted_at=said.halted_at,
        cause=cause.to_dict(),
        breaker=breaker,
    )


def _known(scope: Scope | None, name: str, *, now: datetime) -> Scope:
    kind, _, rest = name.partition(":")
    if kind == "channel" and rest not in CHANNELS:
        raise Refused("not_found", "there is no such channel", [Fault(place="scope", rule="must name a channel")])
    return scope or Scope(scope=name, status=Status.RUNNING, epoch=0, changed_at=now)


def _restored(scope: Scope, reason: str | None) -> DeliveryRestored:
    return DeliveryRestored(scope=scope.scope, epoch=scope.epoch, reason=reason, restored_at=scope.changed_at)
