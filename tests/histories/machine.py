"""Random histories: what people ask, what goes wrong, and in which order everything is heard."""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

from delivery.channels.base import Result
from delivery.domain.message import message_id_of
from delivery.domain.report import Kind
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.histories.choices import (
    CHANNELS,
    CHOICES,
    CONTACTS,
    DAYS_AT_THE_END,
    EDITS,
    JUMPS,
    LEAVING,
    MODES,
    NUMBER,
    REPORTS,
    RESULTS,
    RULES,
    SCOPES,
    SEQUENCES,
    SERVICES,
    STAGES,
    STEPS,
    Rules,
    Steps,
    definition,
)
from tests.histories.observer import Model
from tests.pump.database import Database
from tests.pump.fragile import Fate
from tests.pump.senders import SteppedSender
from tests.pump.world import Move, World

T = TypeVar("T")


@dataclass
class Stage:
    """What all histories of a run share."""

    database: Database
    runner: asyncio.Runner
    played: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    """What happened in all of them."""
    failure: BaseException | None = None
    """What failed first."""


stage: Stage | None = None
"""Set by the fixture: hypothesis makes machines without arguments."""


class Histories(RuleBasedStateMachine):
    """One history; at its end all goes on until it is quiet, and the model and the tables must agree."""

    def __init__(self) -> None:
        super().__init__()
        assert stage is not None
        self.runner = stage.runner
        stage.played += 1
        self.saves = 0
        self.failed = False
        self.versions: dict[str, int] = {}
        self.gone: set[str] = set()
        self.world: World | None = None
        self.model: Model = Model(stage.database.clock.now, stage.database.clock.monotonic)
        self.world = World(stage.database, self.model)
        self.run(self.world.start())

    def run(self, step: Coroutine[Any, Any, T]) -> T:
        """Take one step."""
        try:
            return self.runner.run(step)
        except BaseException as failure:
            self.failed = True
            assert stage is not None
            stage.failure = stage.failure or failure
            raise

    @property
    def on(self) -> World:
        """The world that it moves."""
        assert self.world is not None
        return self.world

    def teardown(self) -> None:
        """Come to rest, compare, and leave no task behind; what failed before is what is reported."""
        try:
            if not self.failed:
                self.come_to_rest()
                self._let_some_days_go_by()
                self._count()
        finally:
            self.run(self.on.end())

    def _let_some_days_go_by(self) -> None:
        """Nothing is suspended any more: whatever may leave does."""
        for scope in sorted(self.model.delivery.suspensions.scopes):
            self.on.ask("RestoreDelivery", scope=scope)
        for _ in range(DAYS_AT_THE_END):
            self.come_to_rest()
            self.run(self.on.jump(timedelta(days=1)))
        self.come_to_rest()
        self.model.delivery.check_reports()

    def _count(self) -> None:
        assert stage is not None
        delivery, enrollment = self.model.delivery, self.model.enrollment
        stage.seen.update(f"messages {outcome}" for outcome in delivery.history.values())
        stage.seen.update(f"enrollments {one.status}" for one in enrollment.enrollments.values())
        stage.seen.update(f"sequences {one.status}" for one in self.model.sequences.known.values())
        stage.seen += enrollment.seen
        stage.seen["waits for a window"] += delivery.waits_for_windows
        stage.seen["resumes by themselves"] += sum(one.by_itself for one in self.model.sequences.known.values())
        stage.seen["reports of providers that were told"] += len(delivery.announced)
        stage.seen["suspensions with a receipt"] += delivery.suspensions.given
        stage.seen["arrivals"] += delivery.arrivals.total()
        stage.seen["sent again on purpose"] += delivery.retried.total()
        stage.seen["removals with a receipt"] += len(delivery.removed)
        stage.seen["resumes that left a mark"] += sum(len(marks) for marks in delivery.marks.values())
        stage.seen["stops of sequences with a receipt"] += sum(one // 2 + 1 for one in delivery.halted.values())

    # -- what people ask

    @initialize(one=STEPS, two=STEPS, rules=st.tuples(RULES, RULES), campaign=st.booleans())
    def begin_with_two_sequences_and_some_people_in_them(
        self, one: Steps, two: Steps, rules: tuple[Rules, Rules], campaign: bool
    ) -> None:
        self._publish("s1", one, rules[0], campaign=campaign)
        self._publish("s2", two, rules[1], campaign=False)
        for contact in ("anna", "bert", "cleo"):
            self._introduce(contact)
        self.come_to_rest()
        for contact, sequence in (("anna", "s1"), ("anna", "s2"), ("bert", "s1")):
            self.on.ask("EnrollContact", contact_id=contact, sequence_id=sequence)

    @rule(sequence=SEQUENCES, steps=STEPS, rules=RULES, campaign=st.booleans(), how=st.sampled_from(EDITS))
    def edit(self, sequence: str, steps: Steps, rules: Rules, campaign: bool, how: str | None) -> None:
        self._publish(sequence, steps, rules, campaign=campaign, publishes=how != "save", in_flight=how)

    def _publish(
        self,
        sequence: str,
        steps: Steps,
        rules: Rules,
        *,
        campaign: bool,
        publishes: bool = True,
        in_flight: str | None = None,
    ) -> None:
        self.saves += 1
        made = definition(sequence, steps, rules, campaign=campaign, number=self.saves)
        self.on.ask("SaveSequence", sequence_id=sequence, definition=made)
        if publishes:
            more = {} if in_flight is None else {"in_flight": in_flight}
            self.on.ask("PublishSequence", sequence_id=sequence, **more)

    @rule(sequence=SEQUENCES)
    def publish(self, sequence: str) -> None:
        self.on.ask("PublishSequence", sequence_id=sequence)

    @rule(sequence=SEQUENCES)
    def pause(self, sequence: str) -> None:
        self.on.ask("PauseSequence", sequence_id=sequence)

    @rule(sequence=SEQUENCES, by=JUMPS)
    def pause_until(self, sequence: str, by: timedelta) -> None:
        self.on.ask("PauseSequence", sequence_id=sequence, resume_at=self.on.clock.now() + by)

    @rule(sequence=SEQUENCES, mode=st.sampled_from(MODES))
    def resume(self, sequence: str, mode: dict[str, Any]) -> None:
        self.on.ask("ResumeSequence", sequence_id=sequence, **mode)

    @rule(sequence=SEQUENCES, mode=st.sampled_from(MODES), by=JUMPS)
    def pause_for_a_while(self, sequence: str, mode: dict[str, Any], by: timedelta) -> None:
        self.on.ask("PauseSequence", sequence_id=sequence)
        self.come_to_rest()
        self.time_goes_by(by)
        self.on.ask("ResumeSequence", sequence_id=sequence, **mode)

    @rule(sequence=SEQUENCES, sure=st.integers(0, 3))
    def delete(self, sequence: str, sure: int) -> None:
        if sure == 3:
            self.on.ask("DeleteSequence", sequence_id=sequence)

    @precondition(lambda self: "unknown" in self.model.delivery.history.values())
    @rule(number=NUMBER, outcome=st.sampled_from(["sent", "retry"]))
    def decide_what_is_unknown(self, number: int, outcome: str) -> None:
        unknown = [one for one, ended in self.model.delivery.history.items() if ended == "unknown"]
        enrollment_id, step = unknown[number % len(unknown)]
        self.on.ask("ResolveMessage", message_id=message_id_of(enrollment_id, step), outcome=outcome)

    @precondition(lambda self: self.model.delivery.message_ids)
    @rule(number=NUMBER, kind=st.sampled_from(REPORTS))
    def a_provider_reports(self, number: int, kind: Kind) -> None:
        messages = list(self.model.delivery.message_ids.values())
        self.run(self.on.report(messages[-1 - number % len(messages)], kind))

    @rule(stage=STAGES)
    def hear_of_all_contacts(self, stage: str | None) -> None:
        for contact in sorted(self.versions):
            self._introduce(contact, stage=stage)

    @rule(contact=CONTACTS, stage=STAGES)
    def hear_of_a_contact(self, contact: str, stage: str | None) -> None:
        self._introduce(contact, stage=stage)

    def _introduce(self, contact: str, *, opted_out: bool = False, stage: str | None = None) -> None:
        self.versions[contact] = self.versions.get(contact, 0) + 1
        created = self.versions[contact] == 1 or contact in self.gone
        self.gone.discard(contact)
        self.on.ask(
            "ContactCreated" if created else "ContactUpdated",
            contact_id=contact,
            state_version=self.versions[contact],
            attributes={"name": contact, "stage": stage},
            tags=[],
            addresses={"email": f"{contact}@example.org"},
            opted_out=opted_out,
        )

    @rule(contact=CONTACTS, sequence=SEQUENCES)
    def enroll(self, contact: str, sequence: str) -> None:
        self.on.ask("EnrollContact", contact_id=contact, sequence_id=sequence)

    @precondition(lambda self: self.model.enrollment.enrollments)
    @rule(number=NUMBER)
    def enroll_who_was_in(self, number: int) -> None:
        been = list(self.model.enrollment.enrollments.values())
        ended = [one for one in been if one.status != "active"] or been
        one = ended[number % len(ended)]
        self.on.ask("EnrollContact", contact_id=one.contact_id, sequence_id=one.sequence_id)

    @rule(contacts=st.lists(CONTACTS, min_size=1, max_size=5), sequence=SEQUENCES)
    def bring_in(self, contacts: list[str], sequence: str) -> None:
        self.on.ask("EnrollContacts", contact_ids=contacts, sequence_id=sequence)

    @rule(contact=CONTACTS, how=st.sampled_from(LEAVING), sequence=SEQUENCES, again=st.booleans(), channel=CHANNELS)
    def leave(self, contact: str, how: str, sequence: str, again: bool, channel: str) -> None:
        now = self.on.clock.now()
        match how:
            case "opts out":
                self.on.ask("ContactOptedOut", contact_id=contact, occurred_at=now)
            case "opts out of a channel":
                self.on.ask("ContactOptedOut", contact_id=contact, channel=channel, occurred_at=now)
            case "replied an hour ago":
                before = now - timedelta(hours=1)
                self.on.ask("ContactReplied", contact_id=contact, channel=channel, occurred_at=before)
            case "opts out, says its record":
                self._introduce(contact, opted_out=True)
            case "is gone":
                self.on.tombstone("contacts.events", contact)
                self.gone.add(contact)
            case "from a campaign":
                self.on.ask("RemoveContact", contact_id=contact, allow_reentry=again, campaign="spring")
            case "from everywhere":
                self.on.ask("RemoveContact", contact_id=contact, allow_reentry=again)
            case _:
                self.on.ask("RemoveContact", contact_id=contact, allow_reentry=again, sequence_id=sequence)

    @precondition(lambda self: self.model.enrollment.enrollments)
    @rule(number=NUMBER, channel=CHANNELS)
    def somebody_replies(self, number: int, channel: str) -> None:
        been = list(self.model.enrollment.enrollments.values())
        live = [one for one in been if one.status == "active"] or been
        who = live[number % len(live)].contact_id
        self.on.ask("ContactReplied", contact_id=who, channel=channel, occurred_at=self.on.clock.now())

    @rule(scope=SCOPES, kind=st.sampled_from(["SuspendDelivery", "RestoreDelivery"]))
    def suspend_or_restore(self, scope: str, kind: str) -> None:
        self.on.ask(kind, scope=scope)

    @rule(scope=SCOPES, by=JUMPS)
    def suspend_for_a_while(self, scope: str, by: timedelta) -> None:
        self.on.ask("SuspendDelivery", scope=scope)
        self.come_to_rest()
        self.time_goes_by(by)
        self.on.ask("RestoreDelivery", scope=scope)

    # -- what goes wrong

    @rule(number=NUMBER)
    def ask_again_what_was_asked(self, number: int) -> None:
        self.on.ask_again(number)

    @rule(service=SERVICES, fate=st.sampled_from(list(Fate)), choices=CHOICES)
    def a_transaction_ends_badly(self, service: str, fate: Fate, choices: list[int]) -> None:
        self.on.doom(service, fate)
        self.run(self._go_on(choices))

    @rule(service=SERVICES, lane=st.integers(0, 1), number=NUMBER)
    def a_relay_says_something_old_again(self, service: str, lane: int, number: int) -> None:
        relay = self.on.nodes[service].relays[lane]
        if relay.published:
            relay.repeat(self.on.topics, number)

    @precondition(lambda self: any(sender.held for sender in self.on.senders))
    @rule(arrived=st.booleans())
    def a_sender_is_killed(self, arrived: bool) -> None:
        busy = next(sender for sender in self.on.senders if sender.held)
        self.run(self.on.die(busy, arrived=arrived))

    # -- what goes on

    @rule(choices=CHOICES)
    def some_of_it_goes_on(self, choices: list[int]) -> None:
        self.run(self._go_on(choices))

    @rule(choices=CHOICES)
    def all_is_heard_and_some_of_it_sent(self, choices: list[int]) -> None:
        self.run(self.on.hear_all())
        self.run(self._send_some(choices))

    async def _send_some(self, choices: list[int]) -> None:
        for choice in choices:
            moves = [move for sender in self.on.senders for move in self._moves_of(sender)]
            await moves[choice % len(moves)].go()

    async def _go_on(self, choices: list[int]) -> None:
        for choice in choices:
            moves = [*self.on.moves(), *(move for sender in self.on.senders for move in self._moves_of(sender))]
            await moves[choice % len(moves)].go()

    def _moves_of(self, sender: SteppedSender) -> Iterator[Move]:
        yield Move("hears and claims", partial(self._claim, sender))
        if sender.waiting():
            yield Move("begins a send", partial(self._begin, sender))
        for call in sender.calls[:1]:
            for name, (result, arrived) in RESULTS.items():
                yield Move(name, partial(self.on.finish, sender, call, result, arrived=arrived))
        if sender.results():
            yield Move("books", partial(self.on.book, sender))

    async def _claim(self, sender: SteppedSender) -> None:
        if not sender.control.fresh():
            await self.on.refresh(sender)
        await self.on.claim(sender)

    async def _begin(self, sender: SteppedSender) -> None:
        await self.on.begin(sender)

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

    @rule()
    def come_to_rest(self) -> None:
        """All goes on until it is quiet; then everything is compared."""
        self.run(self._come_to_rest())

    async def _come_to_rest(self) -> None:
        await self.on.settle()
        await self.model.check_quiet(self.on.database.conn)
