"""Who cannot hear stops does not send (I2b)."""

import signal
from collections.abc import Iterator
from datetime import timedelta

import aiohttp
import pytest
from chassis.clock import monotonic, sleep, utc_now
from devstack.errors import StackError
from devstack.stack import Stack
from testkit.demo import traces

from tests.e2e.campaign import Campaign

pytestmark = pytest.mark.stack

COUNT = 1_500
SLOW_SECONDS = 1.0
STALENESS = timedelta(seconds=5)
"""The setting `control_staleness_seconds_max` as it is by default."""
QUIET_SECONDS = 1.5
UNREADY_SECONDS_MAX = 10.0
LOOK_SECONDS = 0.03


@pytest.fixture
def thawed(stack: Stack) -> Iterator[None]:
    """Whatever happens, the reader goes on afterwards."""
    yield
    stack.kill("delivery-plan", signal.SIGCONT)


@pytest.mark.usefixtures("thawed")
async def test_sending_stops_by_itself_when_stops_are_not_heard_and_goes_on_when_they_are(campaign: Campaign) -> None:
    contacts = await campaign.introduce(COUNT)
    outside, stack = campaign.outside, campaign.stack
    await campaign.sink.behave("webhook", "slow", match=campaign.sequence_id, delay_seconds=SLOW_SECONDS)
    await campaign.launch(campaign.webhook())
    for first in range(0, COUNT, 500):
        await campaign.enroll(contacts[first : first + 500])
    await outside.until("sends under way", lambda: len(outside.arrivals) > 0)
    await _until_planned(campaign)

    frozen_at = utc_now()
    stack.kill("delivery-plan", signal.SIGSTOP)
    await _until_unready(stack)
    outside.read_sink()
    stopped_with = len(outside.arrivals)
    await sleep(QUIET_SECONDS)  # that nothing comes can only be seen by looking for a while
    outside.read_sink()
    waiting = await _pending(campaign)
    last = max(arrival.at for arrival in outside.arrivals)
    came = len(outside.arrivals)
    await campaign.sink.forgive()
    stack.kill("delivery-plan", signal.SIGCONT)
    await campaign.until_sent(contacts, "hook")

    assert last - frozen_at <= STALENESS
    assert waiting > 0
    assert came == stopped_with
    assert outside.sent() == dict.fromkeys([(contact, "hook") for contact in contacts], 1)
    assert len(outside.accepted()) == COUNT


async def _until_planned(campaign: Campaign) -> None:
    """Everybody who entered is in delivery's queue, or has had the message."""
    deadline = monotonic() + 60
    while await _pending(campaign) + len(campaign.outside.arrivals) < COUNT:
        assert monotonic() < deadline, "not planned in time"
        campaign.outside.read_sink()
        await sleep(LOOK_SECONDS)


async def _pending(campaign: Campaign) -> int:
    async with traces.database(campaign.stack.addresses.postgres_admin_url) as conn:
        return await traces.pending(conn, campaign.sequence_id)


async def _until_unready(stack: Stack) -> None:
    """Until the sender says that it does not hear stops."""
    port = next(process.port for process in stack.processes() if process.name == "sender-1")
    deadline = monotonic() + UNREADY_SECONDS_MAX
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
                if answer.status == 503 and "control" in await answer.text():
                    return
            if monotonic() > deadline:
                raise StackError("the sender still says that it hears stops")
            await sleep(LOOK_SECONDS)
