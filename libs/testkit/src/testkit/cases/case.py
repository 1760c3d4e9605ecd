"""One case: a sequence and contacts of its own, what is done to them, and what is seen of them."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

import aiohttp
import orjson
from chassis.clock import new_id
from sluice import CommandRefused
from sluice_contracts import envelope
from sluice_contracts.base import Command, Message, parse_after
from sluice_contracts.contacts import ContactCreated, ContactOptedOut, ContactReplied, ContactUpdated
from sluice_contracts.delivery import ResolveMessage, RestoreDelivery, SuspendDelivery
from sluice_contracts.enrollment import EnrollContact, RemoveContact
from sluice_contracts.sequences import (
    DeleteSequence,
    PauseSequence,
    PublishSequence,
    ResumeSequence,
    SaveSequence,
)

from testkit.cases.stage import Stage

ANSWER_SECONDS_MAX: Final = 60.0
SOURCE: Final = "cases"
START: Final = datetime(2027, 3, 1, 9, tzinfo=UTC)
"""A Monday; where a case does not say otherwise, it begins then."""

OR: Final = " OR "
"""Between two lines that are both as expected: which is seen depends on which of two topics is read first."""

Told = Mapping[str, str]
"""By what a line is about: the line."""
Play = Callable[["Case"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Script:
    """A row of a table: what is done, and what is expected to be seen."""

    table: str
    title: str
    play: Play
    expected: Told
    start: datetime = START

    def allows(self, seen: Told) -> bool:
        """Whether what was seen is as expected."""
        return seen.keys() == self.expected.keys() and all(
            seen[what] in line.split(OR) for what, line in self.expected.items()
        )


@dataclass(slots=True)
class Case:
    """One script while it is played."""

    stage: Stage
    unique: str
    start: datetime
    versions: dict[str, int] = field(default_factory=dict)
    """By contact: the version of its newest record."""
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    noted: dict[str, str] = field(default_factory=dict)
    """What was seen besides the contacts' lines."""

    # -- time

    async def until(self, after: str) -> None:
        """Until so long after the case's start (`2d12h`), with all done that is due before."""
        await self.stage.until(self.start + parse_after(after))

    async def settled(self) -> None:
        """Until the services have done all that is to be done now."""
        await self.stage.until(self.start)

    # -- sequences

    def sequence(self, name: str = "s") -> str:
        return f"{self.unique}-{name}"

    async def ask(self, command: Command) -> Mapping[str, Any]:
        """Its result; CommandRefused where it is refused."""
        answered = await self.stage.asker.ask(
            command, key=command.key(), command_id=None, seconds_max=ANSWER_SECONDS_MAX
        )
        return answered.result

    async def note(self, what: str, command: Command) -> None:
        """Ask, and note how it was answered."""
        try:
            await self.ask(command)
        except CommandRefused as refused:
            self.noted[what] = f"refused: {refused.code}"
        else:
            self.noted[what] = "accepted"

    async def save(self, *steps: dict[str, Any], name: str = "s", **more: Any) -> None:
        definition = {"name": "Case", "steps": list(steps), **more}
        await self.ask(SaveSequence(sequence_id=self.sequence(name), definition=definition))

    async def publish(self, *, name: str = "s", in_flight: Literal["follow", "pin"] | None = None) -> None:
        await self.ask(PublishSequence(sequence_id=self.sequence(name), in_flight=in_flight))
        await self.settled()

    async def launch(
        self, *steps: dict[str, Any], name: str = "s", in_flight: Literal["follow", "pin"] | None = None, **more: Any
    ) -> None:
        """Save and publish."""
        await self.save(*steps, name=name, **more)
        await self.publish(name=name, in_flight=in_flight)

    async def pause(self, *, name: str = "s", resume_at: str | None = None) -> None:
        """Until it has stopped, with its receipts."""
        at = None if resume_at is None else self.start + parse_after(resume_at)
        await self.ask(PauseSequence(sequence_id=self.sequence(name), resume_at=at))
        await self.settled()

    async def resume(self, *, name: str = "s", **how: Any) -> None:
        await self.ask(ResumeSequence(sequence_id=self.sequence(name), **how))
        await self.settled()

    async def delete(self, *, name: str = "s") -> None:
        await self.ask(DeleteSequence(sequence_id=self.sequence(name)))
        await self.settled()

    # -- contacts

    def contact(self, name: str) -> str:
        return f"{self.unique}-{name}"

    async def record(self, name: str, *, kind: Literal["created", "updated"] | None = None, **facts: Any) -> None:
        """Write a contact's record: the first is created, later ones update what they name."""
        version = self.versions[name] = self.versions.get(name, 0) + 1
        known = self.facts.setdefault(name, {"timezone": None, "opted_out": False, "tags": [], "attributes": {}})
        known["attributes"] |= facts.pop("attributes", {})
        known |= facts
        contact_id = self.contact(name)
        model = ContactCreated if (kind or ("created" if version == 1 else "updated")) == "created" else ContactUpdated
        number = f"+4{int(self.unique[1:7], 16):08d}{len(self.versions):03d}"
        fact = model(
            contact_id=contact_id,
            state_version=version,
            addresses={"email": f"{contact_id}@example.com", "whatsapp": number},
            **known,
        )
        await self.write(fact)

    async def forget(self, name: str) -> None:
        """The account deletes a contact."""
        await (await self.stage.sluice.transport.send("contacts.events", key=self.contact(name), value=None))
        await self.settled()

    async def reply(self, name: str, *, channel: str = "whatsapp") -> None:
        now = await self.stage.clock.now()
        await self.write(ContactReplied(contact_id=self.contact(name), channel=channel, occurred_at=now))
        await self.settled()

    async def opt_out(self, name: str, *, channel: str | None = None) -> None:
        now = await self.stage.clock.now()
        await self.write(ContactOptedOut(contact_id=self.contact(name), channel=channel, occurred_at=now))
        await self.settled()

    async def enroll(self, *names: str, sequence: str = "s") -> None:
        """Each is answered; a refusal shows in the contact's line."""
        for name in names:
            if name not in self.versions:
                await self.record(name)
        for name in names:
            await self.note(
                f"enroll {name}", EnrollContact(sequence_id=self.sequence(sequence), contact_id=self.contact(name))
            )
            del self.noted[f"enroll {name}"]
        await self.settled()

    async def remove(self, name: str, *, sequence: str | None = "s", **more: Any) -> None:
        """Until its receipt is there."""
        named = None if sequence is None else self.sequence(sequence)
        await self.ask(RemoveContact(contact_id=self.contact(name), sequence_id=named, **more))
        await self.settled()

    async def resolve(self, name: str, step_id: str, outcome: Literal["sent", "retry"], *, sequence: str = "s") -> None:
        """Decide an unknown message by hand."""
        message_id = self.message(name, step_id, sequence=sequence)
        await self.ask(ResolveMessage(message_id=message_id, outcome=outcome))
        await self.settled()

    async def suspend(self, scope: str) -> None:
        """Until its receipt is there."""
        await self.ask(SuspendDelivery(scope=scope))
        await self.settled()

    async def restore(self, scope: str) -> None:
        await self.ask(RestoreDelivery(scope=scope))
        await self.settled()

    # -- outside

    async def write(self, fact: Message) -> None:
        """Write what somebody outside says."""
        document = envelope.Envelope(id=new_id(), source=SOURCE, type=fact.TYPE)
        value = envelope.encode(document, fact.to_json())
        await (await self.stage.sluice.transport.send(fact.TOPIC, key=fact.key(), value=value))

    async def sink(self, channel: str, mode: str, *, match: str, **more: Any) -> None:
        """What the sink does with messages to this case's contact `match`."""
        url = f"{self.stage.stack.addresses.sink_http}/_sink/behaviour"
        rule = {"channel": channel, "mode": mode, "match": match, **more}
        async with aiohttp.ClientSession() as session, session.post(url, json=rule) as answer:
            assert answer.status == 200, await answer.text()

    # -- what was seen

    def message(self, name: str, step_id: str, *, sequence: str = "s") -> str:
        """The id of a message that something was said of."""
        wanted = (self.sequence(sequence), self.contact(name), step_id)
        found = [
            message_id
            for message_id, data in self.stage.seen.messages.items()
            if (data["sequence_id"], data["contact_id"], data["step_id"]) == wanted
        ]
        assert found, f"nothing was said of {step_id} to {name}"
        return found[-1]

    def mails(self, name: str) -> str:
        """The subjects of the e-mails that the sink has accepted for a contact, in order."""
        address = f"{self.contact(name)}@example.com"
        subjects = []
        for line in self.stage.stack.addresses.sink_file.read_bytes().splitlines():
            arrival = orjson.loads(line)
            if arrival["channel"] == "smtp" and arrival["to"] == address and arrival["accepted"]:
                subjects.append(arrival["subject"])
        return ", ".join(subjects) or "none"

    def hooks(self, name: str) -> str:
        """How often the sink took a webhook of that name, and how often it had it already."""
        taken = repeated = 0
        for line in self.stage.stack.addresses.sink_file.read_bytes().splitlines():
            arrival = orjson.loads(line)
            if arrival["channel"] == "webhook" and arrival["to"] == name:
                taken += arrival["accepted"]
                repeated += arrival["outcome"] == "repeated"
        return f"{taken} taken, {repeated} repeated"

    def channels(self, name: str, *, sequence: str = "s") -> str:
        """The channels of the messages that were said to be sent to a contact, by step."""
        wanted = (self.sequence(sequence), self.contact(name))
        found = [
            data for data in self.stage.seen.messages.values() if (data["sequence_id"], data["contact_id"]) == wanted
        ]
        return ", ".join(f"{data['step_id']} {data['channel']}" for data in found) or "none"

    def state(self, name: str = "s") -> str:
        """A sequence's status by its newest event; `gone` behind its tombstone."""
        events = self.stage.seen.sequences[self.sequence(name)]
        if not events:
            return "unknown"
        return "gone" if events[-1].gone else str(events[-1].data["status"])

    def line(self, what: str) -> str:
        """What was seen of a contact (`ada`, or `ada in other`), or what was noted."""
        if what in self.noted:
            return self.noted[what]
        name, _, sequence = what.partition(" in ")
        return self.stage.seen.line(self.sequence(sequence or "s"), self.contact(name), start=self.start)


def email(step_id: str, after: str = "0s", *, subject: str | None = None, **more: Any) -> dict[str, Any]:
    """A step that sends an e-mail."""
    message = {"channel": "email", "subject": subject or step_id, "text": f"This is {step_id}."}
    return {"step_id": step_id, "after": after, "message": message | more.pop("message", {}), **more}


def whatsapp(step_id: str, after: str = "0s", **more: Any) -> dict[str, Any]:
    """A step that sends a WhatsApp message."""
    message = {"channel": "whatsapp", "template": "hello_1", "language": "en"}
    return {"step_id": step_id, "after": after, "message": message, **more}
