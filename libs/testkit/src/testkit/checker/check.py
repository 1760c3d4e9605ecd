"""All promises at once."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from testkit.checker.facts import Facts
from testkit.checker.history import History
from testkit.checker.invariants import (
    answers,
    base_size,
    erasure,
    nothing_lost,
    order,
    poison,
    put_backs,
    remaining,
    sends,
    stops,
)
from testkit.checker.violation import Violation

INVARIANTS: Final[Mapping[str, Callable[[Facts], Iterator[Violation]]]] = {
    "I1": nothing_lost.nothing_is_lost,
    "I2": stops.receipts_hold,
    "I2b": stops.silence_when_deaf,
    "I3": sends.nobody_gets_it_twice,
    "I4": order.in_order_and_on_time,
    "I5": sends.each_arrival_has_one_end,
    "I6": order.keys_stand_in_order,
    "I7": remaining.delays_are_kept,
    "I8": base_size.queues_are_empty_again,
    "I9": poison.poison_is_set_aside,
    "I10": erasure.nothing_is_left,
    "I11": answers.each_command_is_answered_once,
    "I12": put_backs.what_was_said_stands,
}
"""By their names in docs/faults.md."""


def judge(history: History) -> dict[str, list[Violation]]:
    """What broke each promise, in order of time; an empty list where it held."""
    facts = Facts(history)
    return {name: sorted(broken(facts)) for name, broken in INVARIANTS.items()}


def check(history: History) -> Violation | None:
    """The first violation of all, or None."""
    return min((one for broken in judge(history).values() for one in broken), default=None)
