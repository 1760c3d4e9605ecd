"""SIGSTOP and back: what a frozen process does when it goes on."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from chassis.clock import sleep
from sluice_contracts.enrollment import EnrollContacts
from sluice_contracts.sequences import PublishSequence
from testkit.breaking import LEASE_SECONDS, MARGIN_SECONDS

from tests.faults.beside import another
from tests.faults.scene import Play, Scene
from tests.faults.stage import READERS
from tests.faults.workload import STEADY

BEYOND_LEASE_SECONDS: Final = LEASE_SECONDS + MARGIN_SECONDS + 1.5
SENDERS_LONG_SECONDS: Final = 30.0
READERS_LONG_SECONDS: Final = 60.0
AFTER_SECONDS: Final = 2.0
WHICHEVER_SENDER: Final = "sender-x"
"""That which came to a point first. The checker knows senders by how their names begin."""
STOPPED_SECONDS_MAX: Final = 14.0
"""Later the supervisor would have killed who stands still and does not answer about its health."""


async def briefly(play: Play) -> None:
    """Everybody in turn, for half a second to two."""
    for name in ("sender-1", "delivery-plan", "enrollment", "sequences", "console", "sender-2", "delivery-plan"):
        await play.stage.freeze(name, play.chance.uniform(0.5, 2.0))


async def senders_beyond_their_lease(play: Play) -> None:
    """All claims run out while their owners stand still."""
    await asyncio.gather(*(play.stage.freeze(f"sender-{n}", BEYOND_LEASE_SECONDS) for n in (1, 2)))


async def readers_beyond_their_session(play: Play) -> None:
    """The groups throw them out meanwhile."""
    await asyncio.gather(*(play.stage.freeze(name, 8.0) for name in ("delivery-plan", "enrollment", "sequences")))


async def senders_for_long(play: Play) -> None:
    """As a machine that was put to sleep; everything is paused meanwhile, and the receipts do not wait for it."""
    async with play.stage.unwatched():
        freezing = [play.stage.freeze(f"sender-{number}", SENDERS_LONG_SECONDS) for number in (1, 2)]
        await asyncio.gather(*freezing, _paused_meanwhile(play))


async def _paused_meanwhile(play: Play) -> None:
    await sleep(1.0)
    await play.pause_all()
    await play.until_stopped(seconds_max=SENDERS_LONG_SECONDS - 5.0)
    await play.resume_all()


async def readers_for_long(play: Play) -> None:
    """A minute in which no stop is heard: sending stops by itself."""
    await play.fill()
    async with play.stage.unwatched(), play.stage.silence("the planner stood still"):
        await asyncio.gather(*(play.stage.freeze(name, READERS_LONG_SECONDS) for name in (*READERS, "console")))


def at_point(point: str, role: str, process: str) -> Callable[[Play], Awaitable[None]]:
    """Frozen at a point for longer than a lease, while everything is paused; resumed once it goes on."""

    async def fault(play: Play) -> None:
        for _ in range(2):
            play.stage.point(point, role, do="stop", skip=play.chance.randrange(8))
            struck = await play.stage.struck()
            await play.pause_all()
            if role == "delivery-send":  # the planner itself would give the receipts
                await play.until_stopped(seconds_max=STOPPED_SECONDS_MAX)
            await play.stage.thaw(process, struck, seconds=BEYOND_LEASE_SECONDS)
            await play.resume_all()

    return fault


async def results_late(play: Play) -> None:
    """A sender stands still before it writes results, until another has sent the same and written that."""
    for number in range(3):
        command = EnrollContacts(sequence_id=play.workload.sequences[0], contact_ids=play.workload.contacts)
        async with asyncio.TaskGroup() as group:
            group.create_task(play.workload.ask(command, key=command.key_of(number)))
            play.stage.point("before-result", "delivery-send", do="stop", skip=2)
            await play.stage.thaw(WHICHEVER_SENDER, await play.stage.struck(), seconds=2 * LEASE_SECONDS)


async def relay_overtaken(play: Play) -> None:
    """A relay stands still with a state in hand, loses its session, and another publishes a newer one of that key.

    What the first then puts behind it must not have the last word: of sequences that users leave alone, so that nothing
    else is said of them.
    """
    async with another(play.stage, "sequences"):
        for number in range(2):
            sequence_id = await play.workload.steady(f"overtaken{number}")
            play.stage.point("before-relay", "sequences-run", do="stop", key=sequence_id)
            async with asyncio.TaskGroup() as group:
                group.create_task(play.workload.save(replace(STEADY, name=f"overtaken{number}")))
                struck = await play.stage.struck()
                play.stage.told.append(f"{await play.stage.end_sessions('sequences')} sessions ended")
            await play.workload.ask(PublishSequence(sequence_id=sequence_id))
            await play.stage.thaw("sequences", struck)
            await sleep(AFTER_SECONDS)


SCENES: Final = (
    Scene("freeze-briefly", "SIGSTOP of each process in turn for 0.5-2 s", briefly, load_seconds=12.0),
    Scene(
        "freeze-senders",
        f"SIGSTOP of all senders for {BEYOND_LEASE_SECONDS:.0f} s, longer than a lease",
        senders_beyond_their_lease,
        load_seconds=10.0,
    ),
    Scene(
        "freeze-readers",
        "SIGSTOP of all services that read for 8 s, longer than their sessions",
        readers_beyond_their_session,
        load_seconds=10.0,
    ),
    Scene(
        "freeze-senders-long",
        f"SIGSTOP of all senders for {SENDERS_LONG_SECONDS:.0f} s, while all is paused and resumed",
        senders_for_long,
        load_seconds=SENDERS_LONG_SECONDS + 4.0,
    ),
    Scene(
        "freeze-readers-long",
        f"SIGSTOP of all services that read for {READERS_LONG_SECONDS:.0f} s: sending stops by itself",
        readers_for_long,
        load_seconds=READERS_LONG_SECONDS + 4.0,
    ),
    Scene(
        "freeze-before-first-byte",
        "SIGSTOP of a sender between its last look and the first byte, beyond its lease, while all is paused",
        at_point("before-first-byte", "delivery-send", WHICHEVER_SENDER),
        load_seconds=16.0,
    ),
    Scene(
        "freeze-after-claim",
        "SIGSTOP of a sender with a claim in hand, beyond its lease, while all is paused",
        at_point("after-claim", "delivery-send", WHICHEVER_SENDER),
        load_seconds=16.0,
    ),
    Scene(
        "freeze-before-result",
        "SIGSTOP of a sender before it writes results, beyond its lease, while all is paused",
        at_point("before-result", "delivery-send", WHICHEVER_SENDER),
        load_seconds=16.0,
    ),
    Scene(
        "freeze-mid-relay",
        "SIGSTOP of a relay between Kafka's acknowledgement and the outbox",
        at_point("mid-relay", "delivery-plan", "delivery-plan"),
        load_seconds=16.0,
    ),
    Scene(
        "freeze-results-late",
        "SIGSTOP of a sender before it writes results, until another has sent the same and written that",
        results_late,
        load_seconds=14.0,
    ),
    Scene(
        "freeze-relay-overtaken",
        "SIGSTOP of a relay with a state in hand, until another has published a newer one: it must not be the last",
        relay_overtaken,
        load_seconds=16.0,
    ),
    Scene(
        "freeze-after-closing",
        "SIGSTOP of the planner inside the transaction that closes a gate",
        at_point("after-closing", "delivery-plan", "delivery-plan"),
        load_seconds=16.0,
    ),
)
