"""Commands and what they bring, on the transport in memory and on a real Kafka."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from sluice import (
    AnswerTimeout,
    CommandRefused,
    Event,
    ReceiptTimeout,
    Sluice,
    TopicMissing,
)
from sluice._clock import new_id
from sluice.asking import Asker
from sluice.transport import Transport
from sluice_contracts import topics
from sluice_contracts.answers import CommandAccepted, CommandRef, Fault
from sluice_contracts.delivery import ContactHalted
from sluice_contracts.sequences import (
    Receipts,
    SaveSequence,
    SequenceErasureCompleted,
    SequencePaused,
    SequenceResumed,
    SequenceState,
    SequenceStopped,
)

NOON = "2026-11-24T12:00:00Z"
Written = tuple[str, str, bytes | None]
Write = Callable[..., bytes]


def state(model: type[SequenceState], sequence_id: str, **fields: Any) -> SequenceState:
    found: dict[str, Any] = {
        "sequence_id": sequence_id,
        "state_version": 1,
        "status": "active",
        "epoch": 1,
        "revision": 1,
        "in_flight": "follow",
        "clock_offset_seconds": 0.0,
        "updated_at": NOON,
    }
    return model.model_validate(found | fields)


def stopped(sequence_id: str, epoch: int) -> SequenceState:
    receipts = Receipts.model_validate({"entry_closed_at": NOON, "halted_at": NOON, "dropped": 7, "in_flight": 1})
    return state(SequenceStopped, sequence_id, status="paused", epoch=epoch, receipts=receipts)


@pytest.fixture
def sequence_id() -> str:
    return f"s-{new_id()}"


async def test_an_accepted_command_brings_its_result(transport: Transport, services: Any, sequence_id: str) -> None:
    services.results["SaveSequence"] = lambda _: {"revision": 3, "status": "draft"}

    async with Sluice(transport=transport, actor="anna") as sluice:
        saved = await sluice.save(sequence_id, {"name": "Welcome"}, expected_revision=2)

    assert (saved.revision, saved.status) == (3, "draft")
    (command,) = services.commands
    assert command.key == sequence_id
    assert command.actor == "anna"
    assert command.data == {"sequence_id": sequence_id, "definition": {"name": "Welcome"}, "expected_revision": 2}


async def test_a_refusal_names_code_and_every_fault(
    transport: Transport, services: Any, refusal: Any, sequence_id: str
) -> None:
    def refuse(_: Event) -> dict[str, Any]:
        raise refusal(
            "invalid", "the definition has faults", Fault(place="steps[2].message.subject", rule="is required")
        )

    services.results["PublishSequence"] = refuse

    async with Sluice(transport=transport) as sluice:
        with pytest.raises(CommandRefused) as refused:
            await sluice.publish(sequence_id)

    assert refused.value.code == "invalid"
    assert [fault.place for fault in refused.value.faults] == ["steps[2].message.subject"]
    assert "steps[2].message.subject: is required" in str(refused.value)


async def test_a_command_that_the_contract_forbids_is_refused_unsent(transport: Transport, services: Any) -> None:
    async with Sluice(transport=transport) as sluice:
        with pytest.raises(CommandRefused) as refused:
            await sluice.pause("not an id")

    assert refused.value.code == "invalid"
    assert refused.value.faults[0].place == "sequence_id"
    assert services.commands == []


async def test_without_an_answer_it_says_that_the_command_may_still_be_carried_out(
    transport: Transport, services: Any, sequence_id: str
) -> None:
    services.silent.add("PauseSequence")

    async with Sluice(transport=transport, seconds_max=0.5) as sluice:
        with pytest.raises(AnswerTimeout) as late:
            await sluice.pause(sequence_id)

    assert late.value.written
    assert late.value.command_id in str(late.value)


async def test_a_command_whose_wait_was_cancelled_is_still_outstanding(
    transport: Transport, services: Any, sequence_id: str
) -> None:
    services.silent.add("PauseSequence")

    async with Sluice(transport=transport) as sluice:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await sluice.pause(sequence_id, command_id="our-command")
        outstanding = dict(sluice.outstanding)

    assert outstanding == {"our-command": "PauseSequence.v1"}


async def test_the_same_id_again_gets_the_same_answer(transport: Transport, services: Any, sequence_id: str) -> None:
    versions = iter([1, 2])
    services.results["PublishSequence"] = lambda _: {"version": next(versions)}

    async with Sluice(transport=transport) as sluice:
        first = await sluice.publish(sequence_id)
        again = await sluice.publish(sequence_id, command_id=first.command_id)

    assert again == first
    assert len(services.commands) == 1


async def test_an_asker_that_was_stopped_is_answered_when_it_asks_again(
    transport: Transport, services: Any, sequence_id: str
) -> None:
    services.results["SaveSequence"] = lambda _: {"revision": 1, "status": "draft"}
    asker = Asker(transport, source="test", actor=None)
    command = SaveSequence(sequence_id=sequence_id, definition={})
    await asker.ask(command, key=sequence_id, command_id="first", seconds_max=10.0)

    await asker.stop()
    answered = await asker.ask(command, key=sequence_id, command_id="first", seconds_max=10.0)

    assert answered.result["revision"] == 1
    await asker.stop()


async def test_many_askers_each_get_their_own_answer(transport: Transport, services: Any, sequence_id: str) -> None:
    services.results["EnrollContact"] = lambda event: {"enrollment_id": f"e-{event.key}"}

    async with Sluice(transport=transport) as sluice:
        contacts = [f"c-{number}" for number in range(60)]
        enrolled = await asyncio.gather(*(sluice.enroll(sequence_id, contact) for contact in contacts))

    assert [one.enrollment_id for one in enrolled] == [f"e-{contact}" for contact in contacts]


async def test_the_answer_to_another_asker_with_the_same_id_is_not_ours(
    transport: Transport, services: Any, write: Write, sequence_id: str
) -> None:
    def theirs(event: Event) -> Iterable[Written]:
        other = CommandAccepted(command=CommandRef(source="other", id=event.id, type=event.type), result={"epoch": 99})
        yield topics.SEQUENCES_ANSWERS, event.id, write(other, correlation_id=event.id)

    services.precedes["PauseSequence"] = theirs
    services.results["PauseSequence"] = lambda _: {"epoch": 2}

    async with Sluice(transport=transport) as sluice:
        paused = await sluice.pause(sequence_id)

    assert paused.epoch == 2


async def test_a_pause_waits_for_the_receipts_of_its_epoch(
    transport: Transport, services: Any, write: Write, sequence_id: str
) -> None:
    services.results["PauseSequence"] = lambda _: {"epoch": 4}
    services.follows["PauseSequence"] = lambda _: [
        (topics.SEQUENCES_EVENTS, sequence_id, write(stopped(sequence_id, epoch=2))),
        (topics.SEQUENCES_EVENTS, sequence_id, write(state(SequencePaused, sequence_id, status="paused", epoch=4))),
        (topics.SEQUENCES_EVENTS, sequence_id, write(stopped(sequence_id, epoch=4))),
    ]

    async with Sluice(transport=transport) as sluice:
        paused = await sluice.pause(sequence_id, wait="stopped")

    assert paused.stopped
    assert paused.state is not None
    assert isinstance(paused.state, SequenceStopped)
    assert paused.state.receipts.dropped == 7


async def test_a_pause_is_done_waiting_when_a_higher_epoch_replaced_it(
    transport: Transport, services: Any, write: Write, sequence_id: str
) -> None:
    services.results["PauseSequence"] = lambda _: {"epoch": 4}
    services.follows["PauseSequence"] = lambda _: [
        (topics.SEQUENCES_EVENTS, sequence_id, write(state(SequenceResumed, sequence_id, epoch=5)))
    ]

    async with Sluice(transport=transport) as sluice:
        paused = await sluice.pause(sequence_id, wait="stopped")

    assert not paused.stopped
    assert paused.state is not None
    assert paused.state.epoch == 5


async def test_a_receipt_that_is_late_can_be_waited_for_again_with_the_same_id(
    transport: Transport, services: Any, write: Write, sequence_id: str
) -> None:
    services.results["PauseSequence"] = lambda _: {"epoch": 4}

    async with Sluice(transport=transport) as sluice:
        with pytest.raises(ReceiptTimeout) as late:
            await sluice.pause(sequence_id, wait="stopped", seconds_max=0.5)
        value = write(stopped(sequence_id, epoch=4))
        await (await transport.send(topics.SEQUENCES_EVENTS, key=sequence_id, value=value))
        paused = await sluice.pause(sequence_id, wait="stopped", command_id=late.value.command_id)

    assert late.value.result == {"epoch": 4}
    assert paused.stopped
    assert len(services.commands) == 1


async def test_resume_delete_and_remove_wait_for_what_they_promise(
    transport: Transport, services: Any, write: Write, sequence_id: str
) -> None:
    contact_id, removal_id = f"c-{sequence_id[2:]}", f"r-{sequence_id[2:]}"
    erasure = SequenceErasureCompleted(sequence_id=sequence_id, epoch=6, rows={"delivery": {"pending": 3}})
    halted = ContactHalted.model_validate(
        {
            "removal_id": removal_id,
            "contact_id": contact_id,
            "enrollment_ids": ["e-1"],
            "dropped": 1,
            "in_flight": 0,
            "halted_at": NOON,
        }
    )
    services.results |= {
        "ResumeSequence": lambda _: {"epoch": 5},
        "DeleteSequence": lambda _: {"epoch": 6},
        "RemoveContact": lambda _: {"removal_id": removal_id, "removed": ["e-1"]},
    }
    services.follows |= {
        "ResumeSequence": lambda _: [
            (topics.SEQUENCES_EVENTS, sequence_id, write(state(SequenceResumed, sequence_id, epoch=5)))
        ],
        "DeleteSequence": lambda _: [(topics.SEQUENCES_CONTROL, sequence_id, write(erasure))],
        "RemoveContact": lambda _: [(topics.DELIVERY_CONTROL, contact_id, write(halted))],
    }

    async with Sluice(transport=transport) as sluice:
        resumed = await sluice.resume(sequence_id, wait="resumed")
        removed = await sluice.remove(contact_id, sequence_id, wait="halted")
        deleted = await sluice.delete(sequence_id, wait="erased")

    assert resumed.running
    assert removed.removed == ("e-1",)
    assert removed.halted == halted
    assert deleted.erasure == erasure


async def test_what_is_so_already_is_not_waited_for(
    transport: Transport, services: Any, write: Write, sequence_id: str
) -> None:
    services.results |= {"ResumeSequence": lambda _: {"epoch": 5}, "DeleteSequence": lambda _: {"epoch": 6}}
    erasure = SequenceErasureCompleted(sequence_id=sequence_id, epoch=6, rows={"delivery": {"pending": 3}})
    for topic, value in (
        (topics.SEQUENCES_EVENTS, write(state(SequencePaused, sequence_id, status="paused", epoch=4))),
        (topics.SEQUENCES_EVENTS, write(state(SequenceResumed, sequence_id, epoch=5))),
        (topics.SEQUENCES_CONTROL, write(erasure)),
    ):
        await (await transport.send(topic, key=sequence_id, value=value))

    async with Sluice(transport=transport) as sluice:
        resumed = await sluice.resume(sequence_id, wait="resumed")
        deleted = await sluice.delete(sequence_id, wait="erased")

    assert resumed.running
    assert deleted.erasure == erasure


async def test_the_state_of_a_compacted_topic_goes_by_version_and_tombstone(
    transport: Transport, write: Write, sequence_id: str
) -> None:
    gone = f"{sequence_id}-x"[:64]

    async def put(key: str, value: bytes | None) -> None:
        await (await transport.send(topics.SEQUENCES_EVENTS, key=key, value=value))

    await put(sequence_id, write(state(SequencePaused, sequence_id, state_version=5, status="paused")))
    await put(sequence_id, write(state(SequenceResumed, sequence_id, state_version=4)))
    await put(gone, write(state(SequenceResumed, gone, state_version=9)))
    await put(gone, None)

    async with Sluice(transport=transport) as sluice:
        every = await sluice.sequences()
        one, none = await sluice.sequence(sequence_id), await sluice.sequence(gone)

    assert every[sequence_id].state_version == 5
    assert every[sequence_id].status == "paused"
    assert gone not in every
    assert one == every[sequence_id]
    assert none is None


async def test_a_subscriber_sees_each_event_once_and_tombstones_too(
    transport: Transport, write: Write, sequence_id: str
) -> None:
    value = write(state(SequenceResumed, sequence_id), event_id=f"event-{sequence_id}")

    async with Sluice(transport=transport) as sluice, sluice.events() as events:
        for repeated in (value, value, None):
            await (await transport.send(topics.SEQUENCES_EVENTS, key=sequence_id, value=repeated))
        async with asyncio.timeout(20):
            first, second = await anext(events), await anext(events)

    assert (first.name, first.sequence_id, first.gone) == ("SequenceResumed", sequence_id, False)
    assert isinstance(first.message(), SequenceResumed)
    assert (second.gone, second.key) == (True, sequence_id)


async def test_a_group_goes_on_where_it_was(transport: Transport, write: Write, sequence_id: str) -> None:
    async def put(number: int) -> None:
        value = write(state(SequenceResumed, sequence_id, epoch=number))
        await (await transport.send(topics.SEQUENCES_EVENTS, key=sequence_id, value=value))

    group = f"test-{sequence_id}"
    await put(1)
    await put(2)

    async def epochs(sluice: Sluice, *, last: int) -> list[int]:
        found: list[int] = []
        async with asyncio.timeout(30), sluice.events(start="earliest", group=group) as events:
            async for event in events:
                found += [event.data["epoch"]] if event.key == sequence_id else []
                if found and found[-1] == last:
                    break
            await put(last + 1)
            async for event in events:  # asking for what follows confirms what was handed out
                if event.key == sequence_id:
                    break
        return found

    async with Sluice(transport=transport) as sluice:
        first = await epochs(sluice, last=2)
        second = await epochs(sluice, last=3)

    assert first == [1, 2]
    assert second == [3]


async def test_a_missing_topic_is_said_at_once(transport: Transport) -> None:
    with pytest.raises(TopicMissing, match=r"nobody\.made\.this"):
        await transport.send("nobody.made.this", key="k", value=b"v")
