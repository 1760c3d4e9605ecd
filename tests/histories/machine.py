"""Random histories: what people ask, what goes wrong, and in which order everything is heard."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from delivery.channels.base import Result
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.histories.observer import Model
from tests.pump.database import Database
from tests.pump.fragile import Fate
from tests.pump.senders import SteppedSender
from tests.pump.world import World

T = TypeVar("T")

SEQUENCES = st.sampled_from(["s1", "s2", "s3"])
CONTACTS = st.sampled_from(["anna", "bert", "cleo", "dora"])
STEP_IDS = ["a", "b", "c"]
AFTER = st.sampled_from(["0s", "1h", "1d"])
CHANNELS = st.sampled_from(["email", "webhook"])
JUMPS = st.sampled_from(
    [timedelta(seconds=1), timedelta(seconds=11), timedelta(minutes=30), timedelta(hours=1)] * 2 + [timedelta(days=1)]
)
CHOICES = st.lists(st.integers(0, 60), min_size=1, max_size=12)
NUMBER = st.integers(0, 50)
RESULTS = st.sampled_from(["sent", "sent", "sent", "refused", "retry", "unknown"])


@dataclass
class Stage:
    """What all histories of a run share."""

    database: Database
    runner: asyncio.Runner
    played: int = 0


stage: Stage | None = None
"""Set by the fixture: hypothesis makes machines without arguments."""


def definition(name: str, steps: list[tuple[str, str, str]], *, campaign: bool, number: int) -> dict[str, Any]:
    """A definition whose every message says which one it is of."""

    def message(step: str, channel: str) -> dict[str, Any]:
        text = f"{name}/{number}/{step}."
        if channel == "email":
            return {"channel": "email", "subject": "Hi", "text": text}
        return {"channel": "webhook", "url": "https://crm.example/hook", "json": {"text": text}}

    made: dict[str, Any] = {
        "name": name,
        "steps": [
            {"step_id": step, "after": after, "message": message(step, channel)} for step, after, channel in steps
        ],
    }
    if campaign:
        made["campaign"] = "spring"
    return made


STEPS = st.lists(
    st.tuples(st.sampled_from(STEP_IDS), AFTER, CHANNELS), min_size=1, max_size=3, unique_by=lambda s: s[0]
)


class Histories(RuleBasedStateMachine):
    """One history; at its end all goes on until it is quiet, and the model and the tables must agree."""

    def __init__(self) -> None:
        super().__init__()
        assert stage is not None
        self.runner = stage.runner
        stage.played += 1
        self.saves = 0
        self.versions: dict[str, int] = {}
        self.world: World | None = None
        self.model: Model = Model(stage.database.clock.now)
        self.world = World(stage.database, self.model)
        self.run(self.world.start())

    def run(self, step: Coroutine[Any, Any, T]) -> T:
        """Take one step."""
        return self.runner.run(step)

    @property
    def on(self) -> World:
        """The world that it moves."""
        assert self.world is not None
        return self.world

    def teardown(self) -> None:
        """Come to rest, compare, and leave no task behind."""
        try:
            self.come_to_rest()
        finally:
            self.run(self.on.end())

    # -- what people ask

    @initialize(steps=STEPS, campaign=st.booleans())
    def begin_with_one_sequence_and_two_contacts(self, steps: list[tuple[str, str, str]], campaign: bool) -> None:
        self._publish("s1", steps, campaign)
        for contact in ("anna", "bert"):
            self._introduce(contact, opted_out=False)
        self.come_to_rest()

    @rule(sequence=SEQUENCES, steps=STEPS, campaign=st.booleans(), publishes=st.booleans())
    def edit(self, sequence: str, steps: list[tuple[str, str, str]], campaign: bool, publishes: bool) -> None:
        self._publish(sequence, steps, campaign, publishes=publishes)

    def _publish(
        self, sequence: str, steps: list[tuple[str, str, str]], campaign: bool, *, publishes: bool = True
    ) -> None:
        self.saves += 1
        made = definition(sequence, steps, campaign=campaign, number=self.saves)
        self.on.ask("SaveSequence", sequence_id=sequence, definition=made)
        if publishes:
            self.on.ask("PublishSequence", sequence_id=sequence)

    @rule(sequence=SEQUENCES)
    def publish(self, sequence: str) -> None:
        self.on.ask("PublishSequence", sequence_id=sequence)

    @rule(sequence=SEQUENCES)
    def pause(self, sequence: str) -> None:
        self.on.ask("PauseSequence", sequence_id=sequence)

    @rule(sequence=SEQUENCES)
    def resume(self, sequence: str) -> None:
        self.on.ask("ResumeSequence", sequence_id=sequence)

    @precondition(lambda self: self.saves > 2)
    @rule(sequence=SEQUENCES)
    def delete(self, sequence: str) -> None:
        self.on.ask("DeleteSequence", sequence_id=sequence)

    @rule(contact=CONTACTS, opted_out=st.sampled_from([False, False, False, True]))
    def hear_of_a_contact(self, contact: str, opted_out: bool) -> None:
        self._introduce(contact, opted_out=opted_out)

    def _introduce(self, contact: str, *, opted_out: bool) -> None:
        self.versions[contact] = self.versions.get(contact, 0) + 1
        self.on.ask(
            "ContactCreated" if self.versions[contact] == 1 else "ContactUpdated",
            contact_id=contact,
            state_version=self.versions[contact],
            attributes={"name": contact},
            tags=[],
            addresses={"email": f"{contact}@example.org"},
            opted_out=opted_out,
        )

    @rule(contact=CONTACTS)
    def a_contact_is_gone(self, contact: str) -> None:
        self.on.tombstone("contacts.events", contact)

    @rule(contact=CONTACTS, channel=st.sampled_from([None, None, "email"]))
    def opt_out(self, contact: str, channel: str | None) -> None:
        more = {} if channel is None else {"channel": channel}
        self.on.ask("ContactOptedOut", contact_id=contact, occurred_at=self.on.clock.now(), **more)

    @rule(contact=CONTACTS, sequence=SEQUENCES)
    def enroll(self, contact: str, sequence: str) -> None:
        self.on.ask("EnrollContact", contact_id=contact, sequence_id=sequence)

    @rule(contacts=st.lists(CONTACTS, min_size=1, max_size=5), sequence=SEQUENCES)
    def bring_in(self, contacts: list[str], sequence: str) -> None:
        self.on.ask("EnrollContacts", contact_ids=contacts, sequence_id=sequence)

    @rule(
        contact=CONTACTS,
        where=st.sampled_from(["sequence", "campaign", "everywhere"]),
        sequence=SEQUENCES,
        again=st.booleans(),
    )
    def remove(self, contact: str, where: str, sequence: str, again: bool) -> None:
        scope = {"sequence": {"sequence_id": sequence}, "campaign": {"campaign": "spring"}, "everywhere": {}}[where]
        self.on.ask("RemoveContact", contact_id=contact, allow_reentry=again, **scope)

    @precondition(lambda self: self.on.asked)
    @rule(number=NUMBER)
    def ask_again_what_was_asked(self, number: int) -> None:
        self.on.ask_again(number)

    # -- what goes wrong

    @rule(service=st.sampled_from(["sequences", "enrollment", "delivery"]), fate=st.sampled_from(list(Fate)))
    def the_next_transaction_ends_badly(self, service: str, fate: Fate) -> None:
        self.on.doom(service, fate)

    @rule(service=st.sampled_from(["sequences", "enrollment", "delivery"]), lane=st.integers(0, 1), number=NUMBER)
    def a_relay_says_something_old_again(self, service: str, lane: int, number: int) -> None:
        relay = self.on.nodes[service].relays[lane]
        if relay.published:
            relay.repeat(self.on.topics, number)

    @rule(which=st.integers(0, 1), arrived=st.booleans())
    def a_sender_is_killed(self, which: int, arrived: bool) -> None:
        self.run(self.on.die(self.on.senders[which], arrived=arrived))

    # -- what goes on

    @rule(choices=CHOICES)
    def some_of_it_goes_on(self, choices: list[int]) -> None:
        self.run(self._go_on(choices))

    async def _go_on(self, choices: list[int]) -> None:
        for choice in choices:
            moves = self.on.moves()
            if moves:
                await moves[choice % len(moves)].go()

    @rule(by=JUMPS)
    def time_goes_by(self, by: timedelta) -> None:
        """Nobody waits for an answer for hours: a long jump finds the calls that were under way ended."""
        if by > timedelta(seconds=5):
            for sender in self.on.senders:
                self._answer_all(sender)
        self.run(self.on.jump(by))

    def _answer_all(self, sender: SteppedSender) -> None:
        for call in list(sender.calls):
            self.run(self.on.finish(sender, call, Result.sent(), arrived=True))

    @rule(which=st.integers(0, 1))
    def a_sender_hears_and_claims(self, which: int) -> None:
        sender = self.on.senders[which]
        if not sender.control.fresh():
            self.run(self.on.refresh(sender))
        self.run(self.on.claim(sender))

    @rule(which=st.integers(0, 1), looks=st.booleans())
    def a_send_begins(self, which: int, looks: bool) -> None:
        sender = self.on.senders[which]
        if sender.waiting():
            if looks:
                self.run(sender.look())
            self.run(self.on.begin(sender))

    @rule(which=st.integers(0, 1), number=NUMBER, kind=RESULTS, arrived=st.booleans())
    def a_send_ends(self, which: int, number: int, kind: str, arrived: bool) -> None:
        sender = self.on.senders[which]
        if sender.calls:
            call = sender.calls[number % len(sender.calls)]
            result = {
                "sent": Result.sent(),
                "refused": Result.refused("gone", "no such address"),
                "retry": Result.retry("busy", "try later"),
                "unknown": Result.unknown("timeout", "no answer"),
            }[kind]
            arrived = kind == "sent" or (kind == "unknown" and arrived)
            self.run(self.on.finish(sender, call, result, arrived=arrived))

    @rule(which=st.integers(0, 1))
    def a_sender_books(self, which: int) -> None:
        self.run(self.on.book(self.on.senders[which]))

    @rule()
    def come_to_rest(self) -> None:
        """All goes on until it is quiet; then everything is compared."""
        self.run(self._come_to_rest())

    async def _come_to_rest(self) -> None:
        await self.on.settle()
        await self.model.check_quiet(self.on.database.conn)
