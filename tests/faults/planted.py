"""Bugs planted in service processes, each with the fault that brings it to light: the checker must name its promise."""

import asyncio
from dataclasses import dataclass
from typing import Final

from chassis.clock import sleep
from sluice_contracts.enrollment import EnrollContacts

from tests.faults.scene import Fault, Outcome, Play, Scene, play
from tests.faults.scenes import database, freezing, network, records, sinks
from tests.faults.scenes.freezing import pause_all, resume_all
from tests.faults.stage import KAFKA, LEASE_SECONDS, Stage

REST_SECONDS_MAX: Final = 15.0
"""What a bug has lost never comes to rest."""


@dataclass(frozen=True)
class Planted:
    """A bug, the promise that it breaks, and what happens meanwhile."""

    name: str
    invariant: str
    says: str
    """What the checker says of it, in part: another sentence may only mean that a run did not come to rest."""
    what: str
    fault: Fault
    load_seconds: float = 6.0


@dataclass(frozen=True)
class FoundOut:
    """What the checker said."""

    planted: Planted
    outcome: Outcome

    @property
    def broken(self) -> list[str]:
        return [name for name, found in self.outcome.verdict.items() if found]

    @property
    def named(self) -> bool:
        return bool(self.sentence)

    @property
    def sentence(self) -> str:
        """The first that names it."""
        found = self.outcome.verdict[self.planted.invariant]
        return next((str(one) for one in found if self.planted.says in one.sentence), "")


async def find(planted: Planted, stage: Stage, *, seed: int) -> FoundOut:
    """Play with the bug, and judge; it is still planted then."""
    scene = Scene(
        planted.name,
        planted.what,
        planted.fault,
        load_seconds=planted.load_seconds,
        rest_seconds_max=REST_SECONDS_MAX,
        may_fall=True,
    )
    await stage.plant(planted.name)
    return FoundOut(planted, await play(scene, stage, seed=seed))


async def nothing(play: Play) -> None:
    """The load is enough."""
    await sleep(3.0)


async def pauses(play: Play) -> None:
    """Everything is paused for a while, with things due in it."""
    await pause_all(play)
    await sleep(2.0)
    await resume_all(play)


async def mails_die(play: Play) -> None:
    """Senders are killed when a mail has left."""
    for _ in range(3):
        play.stage.point("after-mail", "delivery-send", skip=play.chance.randrange(3))
        await play.stage.struck()


async def results_late(play: Play) -> None:
    """A sender stands still before it writes results, until another has sent the same and written that."""

    async def at_once() -> bool:
        return True

    for number in range(3):
        command = EnrollContacts(sequence_id=play.workload.sequences[0], contact_ids=play.workload.contacts)
        entering = asyncio.create_task(play.workload.ask(command, key=command.key_of(number)))
        play.stage.point("before-result", "delivery-send", do="stop", skip=2)
        await play.stage.thaw("sender-x", await play.stage.struck(), 2 * LEASE_SECONDS, at_once)
        await entering


async def hurried(play: Play) -> None:
    """Sequences are paused and resumed while their service stands still: it says both at once."""

    async def resume() -> None:
        await sleep(0.5)
        await resume_all(play)

    await asyncio.gather(play.stage.freeze("sequences", 2.0), pause_all(play), resume())


async def replayed_late(play: Play) -> None:
    """Commands that were answered are read again."""
    for schema in ("sequences", "enrollment"):
        await play.stage.conn.execute(
            f"update {schema}.consumer_offset set next_offset = 0 where topic like '%commands'"
        )
    await sleep(3.0)


PLANTED: Final = {
    one.name: one
    for one in (
        Planted(
            "offset-before-work",
            "I1",
            "none of its steps was ever told of",
            "the offset is committed before the work, which a crash loses",
            nothing,
        ),
        Planted("gate-ignored", "I2", "after SequenceHalted of", "senders pass over closed gates", pauses),
        Planted(
            "lease-not-checked",
            "I2",
            "came to the",
            "a frozen sender sends what it had claimed, whatever the time",
            freezing.at_point("after-claim", "delivery-send", "sender-x"),
            load_seconds=14.0,
        ),
        Planted("entry-not-closed", "I2", "after EntryClosed", "who enrolls enters paused sequences", pauses),
        Planted(
            "stop-told-otherwise", "I2", "and its receipts", "a stop is told otherwise than its receipts say", pauses
        ),
        Planted(
            "deaf-senders",
            "I2b",
            "Kafka did not answer",
            "senders do not mind that stops are not heard",
            network.link(*KAFKA, mode="hold", seconds=10.0, deaf="Kafka did not answer"),
            load_seconds=14.0,
        ),
        Planted(
            "key-per-attempt",
            "I3",
            "for the 2. time",
            "each attempt has a key of its own",
            sinks.rule("accept_and_drop_answer", share=0.8, channels=("webhook",)),
        ),
        Planted(
            "mail-sent-again",
            "I3",
            "for the 2. time",
            "a mail in doubt is sent again without a word",
            mails_die,
            load_seconds=9.0,
        ),
        Planted("clock-ahead", "I4", "and was due at", "senders claim what is due in a moment", nothing),
        Planted(
            "result-not-by-token",
            "I5",
            "2 rows in delivery.message",
            "a sender whose claim was over writes its result",
            results_late,
            load_seconds=14.0,
        ),
        Planted("booked-twice", "I5", "its rows come to", "what was sent is booked as two", nothing),
        Planted("order-of-outbox", "I6", "stands at offset", "the relay publishes a batch from its end", hurried),
        Planted("shift-forgotten", "I7", "of shifted pauses it is", "a pause does not shift what waits", pauses),
        Planted("rows-left", "I8", "delivery.replan has", "a queue keeps what is done", nothing),
        Planted(
            "bytes-dropped",
            "I9",
            "with other bytes than it came with",
            "quarantine loses a byte",
            records.poisoned,
            load_seconds=9.0,
        ),
        Planted(
            "definition-kept",
            "I10",
            "delivery.definition holds canary-",
            "an erasure passes over a table",
            nothing,
            load_seconds=9.0,
        ),
        Planted("inbox-off", "I11", "again", "what was handled is handled again", replayed_late),
        Planted(
            "put-back-unnoticed",
            "I12",
            "did not notice that its database was put back",
            "a service does not look beyond its outbox",
            database.put_back("delivery"),
            load_seconds=10.0,
        ),
    )
}
