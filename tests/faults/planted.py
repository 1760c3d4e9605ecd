"""Bugs planted in service processes, each with the fault that brings it to light: the checker must name its promise."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.faults.scene import Fault, Outcome, Scene, play
from tests.faults.scenes import database, freezing, kills, network, records, sinks, stops
from tests.faults.stage import KAFKA, Stage

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


async def find(planted: Planted, stage: Stage, *, seed: int, kept: Path | None = None) -> FoundOut:
    """Play with the bug, and judge; it is still planted then. The history of one that was not found is kept."""
    scene = Scene(
        planted.name,
        planted.what,
        planted.fault,
        load_seconds=planted.load_seconds,
        rest_seconds_max=REST_SECONDS_MAX,
        may_fall=True,
    )
    await stage.plant(planted.name)
    found = FoundOut(planted, await play(scene, stage, seed=seed))
    if kept is not None and not found.named:
        await asyncio.to_thread(found.outcome.history.write, kept / f"{scene.name}-{seed}")
    return found


PLANTED: Final = {
    one.name: one
    for one in (
        Planted(
            "offset-before-work",
            "I1",
            "and nothing waits for it",
            "the offset is committed before the work, which a crash loses",
            kills.nothing,
        ),
        Planted("gate-ignored", "I2", "after SequenceHalted of", "senders pass over closed gates", stops.paused),
        Planted(
            "scope-ignored", "I2", "after DeliverySuspended of", "senders pass over suspended channels", kills.nothing
        ),
        Planted("removal-ignored", "I2", "after ContactHalted of", "what a removal ends goes on", kills.nothing),
        Planted(
            "lease-not-checked",
            "I2",
            "by a sender that had stood still and was to look again",
            "a frozen sender sends what it had claimed: it looks neither at its lease nor at the gates again",
            freezing.at_point("after-claim", "delivery-send", freezing.WHICHEVER_SENDER),
            load_seconds=14.0,
        ),
        Planted("entry-not-closed", "I2", "after EntryClosed", "who enrolls enters paused sequences", stops.paused),
        Planted(
            "stop-told-otherwise",
            "I2",
            "and its receipts",
            "a stop is told otherwise than its receipts say",
            stops.paused,
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
            kills.at_point("after-mail"),
            load_seconds=9.0,
        ),
        Planted("clock-ahead", "I4", "and was due at", "senders claim what is due in a moment", kills.nothing),
        Planted(
            "result-not-by-token",
            "I5",
            "2 rows in delivery.message",
            "a sender whose claim was over writes its result",
            freezing.results_late,
            load_seconds=14.0,
        ),
        Planted("booked-twice", "I5", "its rows come to", "what was sent is booked as two", kills.nothing),
        Planted("order-of-outbox", "I6", "stands at offset", "the relay publishes a batch from its end", stops.unheard),
        Planted(
            "last-word-left",
            "I6",
            "what stands last of",
            "an older state that lands behind a newer one has the last word",
            freezing.relay_overtaken,
            load_seconds=14.0,
        ),
        Planted("shift-forgotten", "I7", "of shifted pauses it is", "a pause does not shift what waits", stops.paused),
        Planted("rows-left", "I8", "delivery.replan has", "a queue keeps what is done", kills.nothing),
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
            kills.nothing,
            load_seconds=9.0,
        ),
        Planted("inbox-off", "I11", "again", "what was handled is handled again", records.commands_again),
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
