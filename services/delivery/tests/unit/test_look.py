"""The last look before a send."""

from datetime import UTC, datetime, time, timedelta
from typing import Never

import pytest
from campaign.conditions import Condition, Facts, StopWhen
from campaign.window import Window
from delivery.domain.look import EVERY_CHANNEL, condition_met, opens_at
from hypothesis import given
from hypothesis import strategies as st

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
OFFICE = Window(frozenset({0, 1, 2, 3, 4}), time(9), time(18), fallback_timezone="UTC")
WON = StopWhen(success=(Condition("stage", "equals", "Won"),))


def nobody() -> Never:
    raise AssertionError("a definition without conditions needs no facts")


def test_without_a_window_a_message_may_leave_at_any_time() -> None:
    assert opens_at(None, now=lambda: NOON, timezone=None) is None


def test_inside_its_window_it_may_leave_and_outside_it_waits_for_the_opening() -> None:
    assert opens_at(OFFICE, now=lambda: NOON, timezone="UTC") is None
    assert opens_at(OFFICE, now=lambda: NOON, timezone="America/Los_Angeles") == NOON + timedelta(hours=5)


@given(
    st.timedeltas(timedelta(), timedelta(days=400)).map(lambda past: NOON + past),
    st.sampled_from([None, "Asia/Kolkata", "America/New_York", "Pacific/Apia", "nowhere"]),
)
def test_when_it_opens_it_is_open(now: datetime, timezone: str | None) -> None:
    opens = opens_at(OFFICE, now=lambda: now, timezone=timezone)

    if opens is not None:
        assert opens > now
        assert opens_at(OFFICE, now=lambda: opens, timezone=timezone) is None


def test_a_definition_without_conditions_asks_for_no_facts() -> None:
    assert condition_met(StopWhen(on_reply=True), channel="email", opted_out_of=None, facts=nobody) is None


@pytest.mark.parametrize(
    ("opted_out_of", "met"),
    [(None, None), (["whatsapp"], None), (["email"], "opted_out"), ([EVERY_CHANNEL], "opted_out")],
)
def test_an_opt_out_counts_for_its_channel(opted_out_of: list[str] | None, met: str | None) -> None:
    assert condition_met(StopWhen(), channel="email", opted_out_of=opted_out_of, facts=nobody) == met


def test_a_condition_is_met_by_the_contact_as_it_is_now() -> None:
    def met(stage: str) -> str | None:
        return condition_met(WON, channel="email", opted_out_of=None, facts=lambda: Facts({"stage": stage}))

    assert (met("Won"), met("Lost")) == ("success", None)
