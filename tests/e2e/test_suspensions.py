"""A scope is suspended and restored over Kafka: an answer, a receipt that nothing leaves, and it goes on."""

import asyncio

import pytest
from chassis.clock import new_id
from sluice import Sluice
from sluice_contracts import envelope, topics
from sluice_contracts.delivery import RestoreDelivery, ScopeCommand, SuspendDelivery

pytestmark = pytest.mark.stack

ANSWER_SECONDS_MAX = 30.0


async def test_a_sender_is_suspended_with_a_receipt_and_restored_under_a_higher_epoch(sluice: Sluice) -> None:
    scope = f"sender:e2e-{new_id()[:8]}"
    told: list[tuple[str, int]] = []
    async with sluice.events(topics.DELIVERY_CONTROL) as events, asyncio.timeout(ANSWER_SECONDS_MAX):
        for command in (SuspendDelivery(scope=scope, reason="tests"), RestoreDelivery(scope=scope)):
            await _write(sluice, command)
            event = await anext(event async for event in events if event.key == scope)
            told.append((event.name, event.data["epoch"]))

    assert told == [("DeliverySuspended", 1), ("DeliveryRestored", 2)]


async def test_a_channel_that_there_is_not_is_refused(sluice: Sluice) -> None:
    async with sluice.events(topics.DELIVERY_ANSWERS) as answers, asyncio.timeout(ANSWER_SECONDS_MAX):
        command_id = await _write(sluice, SuspendDelivery(scope="channel:emial"))
        answer = await anext(answer async for answer in answers if answer.correlation_id == command_id)

    assert (answer.name, answer.data["code"]) == ("CommandRejected", "not_found")


async def _write(sluice: Sluice, command: ScopeCommand) -> str:
    """Hand a command over as any program would; its id."""
    document = envelope.Envelope(id=new_id(), source="e2e", type=command.TYPE, subject=command.key())
    value = envelope.encode(document, command.to_json())
    await (await sluice.transport.send(command.TOPIC, key=command.key(), value=value))
    return document.id
