"""What the contract allows and this version cannot do yet is refused with its place, never accepted and ignored."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from chassis.clock import new_id, utc_now
from sluice import CommandRefused, Event, Sluice
from sluice_contracts import envelope, topics
from sluice_contracts.delivery import RestoreDelivery, ScopeCommand, SuspendDelivery

from tests.e2e.campaign import Campaign

pytestmark = pytest.mark.stack

ANSWER_SECONDS_MAX = 30.0


def _places(refused: pytest.ExceptionInfo[CommandRefused]) -> dict[str, str]:
    assert refused.value.code == "invalid"
    return {fault.place: fault.rule for fault in refused.value.faults}


async def test_a_definition_that_asks_for_more_is_kept_as_a_draft_and_not_published(campaign: Campaign) -> None:
    condition = {"field": "stage", "op": "equals", "value": "Won"}
    more: dict[str, Any] = {
        "trigger": {"on": ["created"]},
        "start_when": [condition],
        "stop_when": {"success": [condition], "failure": [], "on_reply": True},
        "enroll_once": False,
        "delivery": {"days": ["mon"], "from": "09:00", "to": "18:00", "timezone": "contact"},
    }
    step = campaign.email() | {"on_unknown": "retry"}
    step["message"]["sender"] = "sales"
    await campaign.sluice.save(campaign.sequence_id, campaign.definition(step, **more))

    with pytest.raises(CommandRefused) as refused:
        await campaign.sluice.publish(campaign.sequence_id)

    assert _places(refused) == dict.fromkeys(
        [*more, "steps[0].on_unknown", "steps[0].message.sender"], "not supported yet"
    )
    found = await campaign.sluice.sequence(campaign.sequence_id)
    assert found is not None
    assert (found.status, found.version) == ("draft", None)


async def test_commands_that_ask_for_more_are_refused_and_change_nothing(campaign: Campaign) -> None:
    sluice, sequence_id = campaign.sluice, campaign.sequence_id
    await campaign.launch(campaign.email())
    before = await sluice.sequence(sequence_id)

    with pytest.raises(CommandRefused) as pinned:
        await sluice.publish(sequence_id, in_flight="pin")
    with pytest.raises(CommandRefused) as timed:
        await sluice.pause(sequence_id, resume_at=utc_now() + timedelta(hours=1))
    with pytest.raises(CommandRefused) as released:
        await sluice.resume(sequence_id, overdue="send_now", max_lateness="1h", admit="qualifying")

    assert _places(pinned) == {"in_flight": "not supported yet"}
    assert _places(timed) == {"resume_at": "not supported yet"}
    assert _places(released) == dict.fromkeys(("overdue", "max_lateness", "admit"), "not supported yet")
    assert await sluice.sequence(sequence_id) == before


@pytest.mark.parametrize("command", [SuspendDelivery(scope="all"), RestoreDelivery(scope="channel:email")])
async def test_suspending_delivery_is_refused(sluice: Sluice, command: ScopeCommand) -> None:
    answer = await _answer(sluice, command)

    assert answer.name == "CommandRejected"
    assert answer.data["code"] == "invalid"
    assert answer.data["faults"] == [{"place": "delivery", "rule": "not supported yet"}]


async def _answer(sluice: Sluice, command: ScopeCommand) -> Event:
    """Write a command for which the SDK has no method yet, and read its answer."""
    document = envelope.Envelope(id=new_id(), source="e2e", type=command.TYPE, subject=command.key())
    async with sluice.events(topics.DELIVERY_ANSWERS) as answers, asyncio.timeout(ANSWER_SECONDS_MAX):
        value = envelope.encode(document, command.to_json())
        await (await sluice.transport.send(command.TOPIC, key=command.key(), value=value))
        return await anext(answer async for answer in answers if answer.correlation_id == document.id)
