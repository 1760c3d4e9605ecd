"""How pauses end: by themselves, at their time; and what a resume tells."""

from datetime import timedelta

import pytest
from chassis.clock import utc_now
from sluice_contracts.sequences import SequenceState

from tests.e2e.campaign import Campaign

pytestmark = pytest.mark.stack

PAUSE = timedelta(seconds=2)


async def test_a_pause_ends_at_its_time_and_what_was_left_is_sent(campaign: Campaign) -> None:
    contacts = await campaign.introduce(3)
    await campaign.launch(campaign.email("one"), campaign.email("two", after="1s"))
    await campaign.enroll(contacts)
    await campaign.until_sent(contacts, "one")

    at = utc_now() + PAUSE
    async with campaign.sluice.events() as events:
        paused = await campaign.sluice.pause(campaign.sequence_id, resume_at=at, wait="stopped")
        resumed = await anext(
            event async for event in events if (event.key, event.name) == (campaign.sequence_id, "SequenceResumed")
        )
    await campaign.until_sent(contacts, "one", "two")

    assert paused.state is not None
    assert paused.state.resume_at == at
    state = resumed.message()
    assert isinstance(state, SequenceState)
    assert state.resumed_at is not None
    assert state.paused_at is not None
    assert state.resumed_at >= at
    assert (state.epoch, state.resume_at, state.overdue) == (paused.epoch + 1, None, "shift")
    assert state.clock_offset_seconds == (state.resumed_at - state.paused_at).total_seconds()
    assert len(campaign.outside.events("MessageSent")) == 2 * len(contacts)


async def test_a_person_who_resumes_first_takes_the_time_away(campaign: Campaign) -> None:
    await campaign.launch(campaign.email())
    await campaign.sluice.pause(campaign.sequence_id, resume_at=utc_now() + timedelta(hours=1), wait="stopped")

    resumed = await campaign.sluice.resume(
        campaign.sequence_id, overdue="send_now", max_lateness="2h", admit="qualifying", wait="resumed"
    )
    again = await campaign.sluice.resume(campaign.sequence_id, overdue="skip", wait="resumed")

    state = resumed.state
    assert state is not None
    assert (state.resume_at, state.overdue, state.max_lateness, state.admit) == (None, "send_now", "2h", "qualifying")
    assert state.clock_offset_seconds == 0
    assert (again.epoch, again.was_so(again.state), again.state) == (resumed.epoch, True, state)
