"""What users do, all at once and by a seed, for as long as a scene lasts; and what they asked and heard."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from chassis.clock import monotonic, sleep, utc_now
from sluice import AnswerTimeout, CommandRefused, Sluice, Unreachable
from sluice.asking import Asker
from sluice_contracts import envelope, topics
from sluice_contracts.base import Command
from sluice_contracts.contacts import ContactCreated
from sluice_contracts.delivery import RestoreDelivery, SuspendDelivery
from sluice_contracts.enrollment import EnrollContact, EnrollContacts, RemoveContact
from sluice_contracts.sequences import (
    DeleteSequence,
    PauseSequence,
    PublishSequence,
    ResumeSequence,
    SaveSequence,
)
from testkit.checker.history import Asked

SOURCE: Final = "faults"
TRY_SECONDS_MAX: Final = 6.0
PATIENCE_SECONDS_MAX: Final = 90.0
AGAIN_SECONDS: Final = 0.3
CONTACTS: Final = 240
CHUNK: Final = 8
IMPORTS: Final = 1_000_000
"""Among so many numbers is that of an import."""
LONG_PAUSE_SECONDS: Final = 3.0


class Step(NamedTuple):
    """One message of a sequence."""

    step_id: str
    channel: str
    after_seconds: int


@dataclass
class Kind:
    """One sequence, and what it is there for."""

    name: str
    steps: tuple[Step, ...]
    campaign: str | None = None
    on_unknown: str = "assume_sent"
    in_flight: str = "follow"


def steps(*each: tuple[str, int]) -> tuple[Step, ...]:
    """Of (channel, delay in seconds), in their order."""
    return tuple(Step(f"s{place}", channel, after) for place, (channel, after) in enumerate(each))


KINDS: Final = (
    Kind("hooks", steps(("webhook", 0), ("webhook", 1), ("webhook", 2))),
    Kind("mails", steps(("email", 0), ("email", 2), ("email", 1))),
    Kind("mixed", steps(("webhook", 1), ("email", 1), ("webhook", 2)), campaign="both"),
    Kind("doubt", steps(("email", 0), ("webhook", 2)), on_unknown="retry", in_flight="pin"),
    Kind("later", steps(("webhook", 1), ("email", 4), ("webhook", 3)), campaign="both"),
)

STEADY: Final = Kind("steady", steps(("email", 2), ("email", 3), ("email", 2), ("email", 2)))
"""Something is due every few seconds after each entry."""


@dataclass
class Workload:
    """Everything is written down in `asked`."""

    sluice: Sluice
    prefix: str
    seed: int
    sink_http: str
    pace: float = 1.0
    """How much more is enrolled than usual; below 1 all else is rarer, too."""
    held: bool = False
    """Everything is paused on purpose: nobody pauses or resumes by themselves."""
    patience_seconds_max: float = PATIENCE_SECONDS_MAX
    """How long an answer is waited for."""
    asked: list[Asked] = field(default_factory=list)
    canaries: dict[str, str] = field(default_factory=dict)
    sequences: list[str] = field(default_factory=list)
    """Those that stay, and that users work on."""
    spared: list[str] = field(default_factory=list)
    """Those that stay, and that nobody pauses or edits."""
    _commands: dict[str, Command] = field(default_factory=dict)
    """By id."""
    _number: int = 0
    _deleted: int = 0
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _paused: set[str] = field(default_factory=set)
    _suspended: bool = False

    def __post_init__(self) -> None:
        self._asker = Asker(self.sluice.transport, source=SOURCE, actor=None)
        self.contacts = [f"{self.prefix}-c{number:03d}" for number in range(CONTACTS)]

    # -- the course of it

    async def prepare(self) -> None:
        """Contacts, and sequences that run."""
        await self.introduce(self.contacts)
        await asyncio.gather(*(self.launch(kind) for kind in KINDS))

    async def steady(self, name: str = STEADY.name) -> str:
        """A sequence that goes on, whatever users pause and suspend; its id."""
        sequence_id = await self.launch(replace(STEADY, name=name), stays=False)
        self.spared.append(sequence_id)
        return sequence_id

    async def run(self, seconds: float, over: asyncio.Event) -> None:
        """Do it all for so long, and until it is over; then end it in order: nothing stays paused or suspended."""
        rarer = max(1.0, 1.0 / self.pace)
        actors = (
            *[(self._import, 0.5 / self.pace)] * 2,
            *[(self._enroll, 0.4 / self.pace)] * 3,
            (self._remove, 0.4 * rarer),
            (self._pause, 0.8 * rarer),
            (self._edit, 1.5 * rarer),
            (self._suspend, 3.0 * rarer),
            (self.delete, 4.0 * rarer),
            (self._repeat, 1.0 * rarer),
        )
        async with asyncio.TaskGroup() as group:
            for number, (actor, rest) in enumerate(actors):
                group.create_task(self._keep(number, actor, rest))
            await sleep(seconds)
            await over.wait()
            self._stop.set()
        await self.end()

    async def end(self) -> None:
        """Whatever was left paused or suspended goes on."""
        for sequence_id in sorted({*self._paused, *(self.sequences if self.held else ())}):
            await self.ask(ResumeSequence(sequence_id=sequence_id))
        if self._suspended:
            await self.ask(RestoreDelivery(scope="channel:webhook"))

    async def close(self) -> None:
        """Nobody asks any more."""
        await self._asker.stop()

    async def _keep(self, number: int, actor: Callable[[random.Random], Awaitable[None]], rest: float) -> None:
        chance = random.Random(f"{self.seed}:{number}")
        while not self._stop.is_set():
            await actor(chance)
            await sleep(rest * chance.uniform(0.5, 1.5))

    @property
    def gone(self) -> list[str]:
        """What was deleted."""
        return sorted(self.canaries.keys() - {*self.sequences, *self.spared})

    # -- what each does

    async def _import(self, chance: random.Random) -> None:
        sequence_id = chance.choice(self.sequences)
        contacts = chance.sample(self.contacts, CHUNK)
        command = EnrollContacts(sequence_id=sequence_id, contact_ids=contacts)
        await self.ask(command, key=command.key_of(chance.randrange(IMPORTS)))

    async def _enroll(self, chance: random.Random) -> None:
        await self.ask(
            EnrollContact(sequence_id=chance.choice(self.sequences), contact_id=chance.choice(self.contacts))
        )

    async def _remove(self, chance: random.Random) -> None:
        contact, where = chance.choice(self.contacts), chance.random()
        scope: dict[str, Any] = {}
        if where < 0.6:
            scope = {"sequence_id": chance.choice(self.sequences), "allow_reentry": chance.random() < 0.5}
        elif where < 0.8:
            scope = {"campaign": f"{self.prefix}-both"}
        await self.ask(RemoveContact(contact_id=contact, **scope))

    async def _pause(self, chance: random.Random) -> None:
        """Pause and, after a while, resume in each of the three ways."""
        if self.held:
            return
        sequence_id = chance.choice(self.sequences)
        self._paused.add(sequence_id)
        await self.ask(PauseSequence(sequence_id=sequence_id, reason="for a moment"))
        await sleep(chance.choice((chance.uniform(0.2, 1.5), chance.uniform(0.2, 1.5), LONG_PAUSE_SECONDS)))
        way = chance.choice(("shift", "shift", "send_now", "skip"))
        admit = chance.choice((None, "qualifying"))
        if self.held:
            return  # who holds it resumes everything
        await self.ask(ResumeSequence(sequence_id=sequence_id, overdue=way, admit=admit))
        self._paused.discard(sequence_id)

    async def _edit(self, chance: random.Random) -> None:
        """Other words, and another delay, a step more in the middle or at the end, or the second one left out."""
        kind = chance.choice(KINDS)
        edited = [*kind.steps]
        match chance.randrange(4):
            case 0:
                place = chance.randrange(len(edited))
                edited[place] = edited[place]._replace(after_seconds=chance.randrange(4))
            case 1:
                edited.insert(1, Step("between", "webhook", 1))
            case 2:
                edited.append(Step("last", "webhook", 1))
            case _:
                del edited[1]
        await self.launch(replace(kind, steps=tuple(edited)))

    async def _suspend(self, chance: random.Random) -> None:
        self._suspended = True
        await self.ask(SuspendDelivery(scope="channel:webhook", reason="a look"))
        await sleep(chance.uniform(0.3, 1.0))
        await self.ask(RestoreDelivery(scope="channel:webhook"))
        self._suspended = False

    async def delete(self, chance: random.Random) -> None:
        """A sequence comes, is filled and goes while it is sent."""
        kind = replace(chance.choice(KINDS[:3]), name=f"gone{self._deleted}", campaign=None)
        self._deleted += 1
        sequence_id = await self.launch(kind, stays=False)
        command = EnrollContacts(sequence_id=sequence_id, contact_ids=chance.sample(self.contacts, 30))
        await self.ask(command, key=command.key_of(0))
        await sleep(chance.uniform(0.2, 1.2))
        await self.ask(DeleteSequence(sequence_id=sequence_id))

    async def _repeat(self, chance: random.Random) -> None:
        """The same command again: it is answered again."""
        if self.asked:
            before = chance.choice(self.asked)
            if before.kind == "command" and before.heard is not None:
                await self.ask(self._commands[before.id], key=before.key, again=before.id)

    # -- sequences and contacts

    async def launch(self, kind: Kind, *, stays: bool = True) -> str:
        """Save and publish; its id. One that `stays` is worked on by everybody."""
        sequence_id = await self.save(kind)
        await self.ask(PublishSequence(sequence_id=sequence_id, in_flight=kind.in_flight))
        if stays and sequence_id not in self.sequences:
            self.sequences.append(sequence_id)
        return sequence_id

    async def save(self, kind: Kind) -> str:
        """Save it, with other words each time; its id."""
        sequence_id = f"{self.prefix}-{kind.name}"
        await self.ask(SaveSequence(sequence_id=sequence_id, definition=self.definition(sequence_id, kind)))
        return sequence_id

    def definition(self, sequence_id: str, kind: Kind) -> dict[str, Any]:
        """Each text holds the sequence's canary, and says what it is about."""
        canary = self.canaries.setdefault(sequence_id, f"canary-{sequence_id}-x")
        campaign: dict[str, Any] = {} if kind.campaign is None else {"campaign": f"{self.prefix}-{kind.campaign}"}
        each = [self._step(sequence_id, *one, canary, kind) for one in kind.steps]
        return {"name": f"{canary} {self._number}", "steps": each, **campaign}

    def _step(
        self, sequence_id: str, step_id: str, channel: str, after: int, canary: str, kind: Kind
    ) -> dict[str, Any]:
        step: dict[str, Any] = {"step_id": step_id, "after": f"{after}s", "on_unknown": kind.on_unknown}
        if channel == "email":
            text = f"Hello {{{{ contact.id }}}} {canary}"
            message: dict[str, Any] = {"channel": channel, "subject": f"{sequence_id}|{step_id}", "text": text}
        else:
            url = f"{self.sink_http}/webhook/{sequence_id}.{step_id}"
            message = {"channel": channel, "url": url, "json": {"contact": "{{ contact.id }}", "note": canary}}
        return {**step, "message": message}

    async def introduce(self, contacts: Sequence[str]) -> None:
        """Have the account know them."""
        await asyncio.gather(*[await self._introduce(contact) for contact in contacts])

    async def _introduce(self, contact_id: str) -> Awaitable[object]:
        contact = ContactCreated(
            contact_id=contact_id,
            state_version=1,
            attributes={"first_name": "Ada"},
            tags=[],
            addresses={"email": f"{contact_id}@example.com"},
            opted_out=False,
        )
        document = envelope.Envelope(id=f"{contact_id}:1", source=f"{SOURCE}/contacts", type=contact.TYPE)
        value = envelope.encode(document, contact.to_json())
        return await self.sluice.transport.send(topics.CONTACTS_EVENTS, key=contact_id, value=value)

    # -- asking

    async def ask(
        self, command: Command, *, key: str | None = None, kind: Any = "command", again: str | None = None
    ) -> Mapping[str, Any] | None:
        """Ask until it is answered, with the same id each time; what was heard. `again`: under an id of before."""
        self._number += 1
        number, place = again or f"{self.prefix}-{self._number}", key or command.key()
        self._commands[number] = command
        asked_at = utc_now()
        heard: Mapping[str, Any] | None = None
        deadline = monotonic() + self.patience_seconds_max
        while heard is None and monotonic() < deadline:
            try:
                answered = await self._asker.ask(command, key=place, command_id=number, seconds_max=TRY_SECONDS_MAX)
                heard = {"result": dict(answered.result)}
            except CommandRefused as refused:
                heard = {"code": refused.code}
            except (AnswerTimeout, Unreachable):
                await sleep(AGAIN_SECONDS)
        data = command.model_dump(mode="json", exclude_none=True, by_alias=True)
        heard_at = None if heard is None else utc_now()
        self.asked.append(
            Asked(SOURCE, number, command.TYPE, command.TOPIC, place, data, asked_at, heard_at, heard, kind)
        )
        return heard
