"""What becomes of a claim whose lease is over."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from delivery.domain.books import RELEASED, UNKNOWN
from delivery.domain.lapse import Claimed, lapse
from delivery.domain.message import ATTEMPTS_MAX

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROW = Claimed("e", "s", "c", 1, "a", "email:", NOON, 1, (), False)
WEBHOOK = replace(ROW, lane="webhook:")


def test_where_a_repeat_is_harmless_it_is_claimable_again() -> None:
    found = lapse(WEBHOOK)

    assert (found.released, found.waits, found.books) == (True, False, RELEASED)


def test_elsewhere_it_is_unknown_and_waits_to_be_decided() -> None:
    found = lapse(ROW)

    assert (found.released, found.waits, found.books) == (False, True, UNKNOWN)


@pytest.mark.parametrize("row", [replace(ROW, halted=True), replace(WEBHOOK, halted=True)])
def test_of_an_enrollment_that_has_ended_nothing_is_sent_again(row: Claimed) -> None:
    found = lapse(row)

    assert (found.released, found.waits, found.books) == (False, False, UNKNOWN)


def test_what_was_tried_too_often_is_given_up() -> None:
    tried = replace(WEBHOOK, attempt=ATTEMPTS_MAX)

    assert not lapse(tried).released
