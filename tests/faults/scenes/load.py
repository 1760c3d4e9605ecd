"""Processes that come and go, and a burst."""

import asyncio
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from chassis.clock import monotonic, sleep
from sluice_contracts import topics
from sluice_contracts.enrollment import EnrollContacts

from tests.faults.beside import another
from tests.faults.scene import Play, Scene
from tests.faults.stage import SENDERS
from tests.faults.workload import Kind, steps

GROUP: Final = f"sluice.delivery.{topics.ENROLLMENT_CONTROL}"
JOINED_SECONDS_MAX: Final = 20.0
BURSTS: Final = tuple(Kind(f"burst{n}", steps(("webhook", 10), ("webhook", 15), ("webhook", 15))) for n in range(3))
BURST_CONTACTS: Final = 3_000
BURST_CHUNK: Final = 1_000
BURST_SECONDS: Final = 60.0
BURST_MESSAGES: Final = BURST_CONTACTS * sum(len(kind.steps) for kind in BURSTS)
"""Undisturbed, some 45 messages a second come: this is ten times as much, and more, in a minute."""


async def senders(play: Play) -> None:
    """Added and removed about every second."""
    for count in (3, 1, 4, 2, 0, 3, SENDERS):
        await asyncio.to_thread(play.stage.stack.scale_senders, count)
        await sleep(0.3)


async def planners(play: Play) -> None:
    """A second and a third planner come and go: each time the groups share out anew."""
    admin = AIOKafkaAdminClient(bootstrap_servers=play.stage.stack.addresses.kafka)
    await admin.start()
    try:
        for _ in range(4):
            async with another(play.stage, "delivery-plan") as one, another(play.stage, "delivery-plan") as other:
                await _joined(admin, 3)
                await sleep(play.chance.uniform(0.0, 1.0))
                for process in (one, other):
                    process.kill() if play.chance.random() < 0.5 else process.terminate()
                await asyncio.gather(one.wait(), other.wait())
    finally:
        await admin.close()


async def _joined(admin: AIOKafkaAdminClient, count: int) -> None:
    """So many read what planners read; TimeoutError where they do not come to that."""
    deadline = monotonic() + JOINED_SECONDS_MAX
    while monotonic() < deadline:
        (answer,) = await admin.describe_consumer_groups([GROUP])
        (group,) = answer.to_object()["groups"]
        if len(group["members"]) >= count:
            return
        await sleep(0.1)
    raise TimeoutError(f"fewer than {count} planners had joined {GROUP} after {JOINED_SECONDS_MAX:.0f} s")


async def burst(play: Play) -> None:
    """Ten times of what usually comes in a minute comes due in one, by webhooks, in sequences that nobody pauses."""
    work = play.workload
    sequences = [await work.launch(kind, stays=False) for kind in BURSTS]
    work.spared += sequences
    contacts = [f"{work.prefix}-b{number:04d}" for number in range(BURST_CONTACTS)]
    await work.introduce(contacts)
    for sequence_id in sequences:
        for first in range(0, len(contacts), BURST_CHUNK):
            command = EnrollContacts(sequence_id=sequence_id, contact_ids=contacts[first : first + BURST_CHUNK])
            await work.ask(command, key=command.key_of(first))
    await sleep(BURST_SECONDS)


SCENES: Final = (
    Scene("senders-scaled", "senders are added and removed every second, down to none", senders, load_seconds=12.0),
    Scene("rebalance-storm", "planners come and go, stopped and killed", planners, load_seconds=12.0),
    Scene(
        "burst",
        f"ten times the load in one minute: {BURST_MESSAGES:,} messages more come due",
        burst,
        arrivals_min=BURST_MESSAGES,
        load_seconds=BURST_SECONDS,
        rest_seconds_max=180.0,
    ),
)
