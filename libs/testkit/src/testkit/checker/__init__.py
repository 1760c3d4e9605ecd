"""Proves the promises (I1 to I12) from what clients, sinks, topics and tables say of a run. Pure, and tested itself."""

from testkit.checker.check import INVARIANTS, check, judge
from testkit.checker.history import History
from testkit.checker.violation import Violation

__all__ = ["INVARIANTS", "History", "Violation", "check", "judge"]
