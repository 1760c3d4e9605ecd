"""What the contract allows and this version cannot do yet is refused with its place, never accepted and ignored."""

import asyncio

import pytest
from chassis.clock import new_id
from sluice import Event, Sluice
from sluice_contracts import envelope, topics
from sluice_contracts.delivery import RestoreDelivery, ScopeCommand, SuspendDelivery

pytestmark = pytest.mark.stack

ANSWER_SECONDS_MAX = 30.0


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
