"""What leaves after a receipt is excused only where its process was frozen between its last look and the first byte."""

from math import inf

import pytest

from benchmarks.breaking import Frozen
from benchmarks.inject.calls import Call
from benchmarks.ratios.halts import judged

SEQUENCE, CONTACT = "halts-0-1", "halts-0-1-7"
STOPPED = {SEQUENCE: (100.0, 110.0)}
FROZEN = Frozen(frozenset({1}), 107.0)


def call(looked: float, left: float, *, pid: int = 1) -> Call:
    return Call(pid, CONTACT, looked, left)


@pytest.mark.parametrize("left", [99.9, 110.1])
def test_what_leaves_before_a_receipt_or_after_the_resume_is_not_late(left: float) -> None:
    assert judged([call(left, left)], STOPPED, None) == (0, 0)


@pytest.mark.parametrize(
    ("one", "frozen", "found"),
    [
        (call(99.0, 107.1), FROZEN, (0, 1)),
        (call(99.0, 107.1), None, (1, 0)),
        (call(99.0, 107.1, pid=2), FROZEN, (1, 0)),
        (call(99.0, 101.0), FROZEN, (1, 0)),
        (call(101.0, 107.1), FROZEN, (1, 0)),
        (call(107.1, 109.0), FROZEN, (1, 0)),
    ],
    ids=[
        "frozen amid",
        "slow where nothing was frozen",
        "slow in a process that was not frozen",
        "left while others were frozen",
        "looked after the receipt",
        "looked after it was let go",
    ],
)
def test_a_call_after_a_receipt_is_late_unless_its_process_was_frozen_amid(
    one: Call, frozen: Frozen | None, found: tuple[int, int]
) -> None:
    assert judged([one], STOPPED, frozen) == found


def test_a_call_after_the_stop_of_its_sequence_and_of_its_contact_breaks_both() -> None:
    assert judged([call(101.0, 101.0)], STOPPED | {CONTACT: (100.5, inf)}, None) == (2, 0)
