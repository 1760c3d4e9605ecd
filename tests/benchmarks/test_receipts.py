"""A receipt that is not true is no fast one."""

from datetime import UTC, datetime, timedelta

import pytest

from benchmarks.arena import BenchmarkFailed
from benchmarks.ratios.receipts import waited

ANSWERED = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_receipt_is_as_late_as_it_stands_behind_the_last_answer() -> None:
    assert waited(ANSWERED + timedelta(milliseconds=18), ANSWERED) == 18.0


def test_an_answer_after_the_receipt_ends_the_benchmark() -> None:
    with pytest.raises(BenchmarkFailed, match="not true"):
        waited(ANSWERED - timedelta(microseconds=1), ANSWERED)
