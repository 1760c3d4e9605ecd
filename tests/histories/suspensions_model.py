"""What may leave while all, a channel or a sender is suspended, and which receipts that owes."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["running", "suspending", "suspended"]


@dataclass
class Scope:
    """One that can be suspended; suspending until its receipt is given."""

    status: Status = "running"
    epoch: int = 0
    in_flight: int = 0
    restores: bool = False
    """As soon as the receipt is given."""
    asked_again: int = 0
    """So often while it was suspending: where the receipt comes between two commands of a batch, it is repeated."""


@dataclass
class Suspensions:
    """All scopes."""

    scopes: dict[str, Scope] = field(default_factory=lambda: defaultdict(Scope))
    owed: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    """To be said: what, of which scope, in which epoch."""
    answers: dict[str, int] = field(default_factory=dict)
    """By command: the epoch that it must name."""
    given: int = 0

    def status(self, channel: str) -> Status:
        """How closed a channel is, by the scopes that cover it."""
        found = {self.scopes[name].status for name in ("all", f"channel:{channel}")}
        return "suspended" if "suspended" in found else "suspending" if "suspending" in found else "running"

    def suspend(self, command: str, name: str, in_flight: int) -> None:
        """It closes; where nothing is claimed in it, its receipt comes at once. Once more, and it is said once more."""
        one = self.scopes[name]
        match one.status:
            case "running":
                one.status, one.epoch, one.in_flight, one.restores = "suspending", one.epoch + 1, in_flight, False
                if not in_flight:
                    self._receipt(name, one)
            case "suspending":
                one.restores = False
                one.asked_again += 1
            case "suspended":
                one.asked_again = 0  # that batch is over
                self.owed["DeliverySuspended", name, one.epoch] += 1
        self.answers[command] = one.epoch

    def restore(self, command: str, name: str) -> None:
        """It opens, not before its receipt; of one that runs it is said once more."""
        one = self.scopes[name]
        match one.status:
            case "running" if one.epoch:
                self.owed["DeliveryRestored", name, one.epoch] += 1
            case "suspending":
                one.restores = True
            case "suspended":
                self._open(name, one)
        self.answers[command] = one.epoch + one.restores

    def said(self, kind: str, data: dict[str, Any], *, is_busy: bool) -> None:
        """A receipt is given when nothing is under way there any more; what is repeated is the same again."""
        name, one = data["scope"], self.scopes[data["scope"]]
        owed = (kind, name, data["epoch"])
        if not self.owed[owed] and one.status == "suspended" and one.asked_again:
            one.asked_again -= 1
            self.owed[owed] += 1
        if not self.owed[owed]:
            assert (kind, data["epoch"]) == ("DeliverySuspended", one.epoch), f"{data} is said, owed are {self.owed}"
            assert one.status == "suspending", f"{data}, and it is {one.status}"
            assert not is_busy, f"{data} while something of it is under way"
            self._receipt(name, one)
        self.owed[owed] -= 1
        if kind == "DeliverySuspended" and one.epoch == data["epoch"]:
            assert data["in_flight"] == one.in_flight, f"{data}, in flight were {one.in_flight}"

    def _receipt(self, name: str, one: Scope) -> None:
        one.status = "suspended"
        self.given += 1
        self.owed["DeliverySuspended", name, one.epoch] += 1
        if one.restores:
            self._open(name, one)

    def _open(self, name: str, one: Scope) -> None:
        one.status, one.epoch, one.restores, one.asked_again = "running", one.epoch + 1, False, 0
        self.owed["DeliveryRestored", name, one.epoch] += 1

    def check_quiet(self) -> None:
        """Every receipt was given."""
        assert not +self.owed, f"never said: {+self.owed}"
        for name, one in self.scopes.items():
            assert one.status != "suspending", f"{name} never stopped"
