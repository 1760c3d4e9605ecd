"""What becomes of a claim whose lease is over."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from campaign.definition import Definition, Step
from campaign.plan import Finished, Planned
from delivery.domain.books import PLANNED, RELEASED, UNKNOWN
from delivery.domain.lapse import Claimed, lapse
from delivery.domain.message import ATTEMPTS_MAX

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
STEPS = Definition(1, (Step("a", HOUR, "email"), Step("b", HOUR, "email")))
ROW = Claimed("e", "s", "c", 1, "a", "email:", NOON, 1, (), False)
WEBHOOK = replace(ROW, lane="webhook:")


def test_where_a_repeat_is_harmless_it_is_claimable_again() -> None:
    found = lapse(WEBHOOK, active_now=NOON, newest=STEPS, definitions={1: STEPS})

    assert (found.released, found.next, found.books) == (True, None, RELEASED)


def test_elsewhere_it_is_unknown_and_the_next_step_counts_from_now() -> None:
    found = lapse(ROW, active_now=NOON, newest=STEPS, definitions={1: STEPS})

    assert (found.released, found.books) == (False, UNKNOWN + PLANNED)
    assert found.next == Planned("b", "email:", NOON + HOUR, 1)
    assert found.base_active == NOON


def test_behind_the_last_step_nothing_follows() -> None:
    found = lapse(replace(ROW, step_id="b", ended=("a",)), active_now=NOON, newest=STEPS, definitions={1: STEPS})

    assert (found.next, found.books) == (Finished(), UNKNOWN)


@pytest.mark.parametrize("row", [replace(ROW, halted=True), replace(WEBHOOK, halted=True)])
def test_of_an_enrollment_that_has_ended_nothing_is_sent_again(row: Claimed) -> None:
    found = lapse(row, active_now=NOON, newest=STEPS, definitions={1: STEPS})

    assert (found.released, found.next, found.books) == (False, None, UNKNOWN)


def test_what_was_tried_too_often_is_given_up() -> None:
    tried = replace(WEBHOOK, attempt=ATTEMPTS_MAX)

    assert not lapse(tried, active_now=NOON, newest=STEPS, definitions={1: STEPS}).released
