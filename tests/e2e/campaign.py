"""One test's own sequence and contacts on the shared stack."""

import asyncio
from dataclasses import dataclass
from typing import Any

from devstack.stack import Stack
from sluice import EnrolledMany, Sluice
from sluice_contracts import envelope
from sluice_contracts.contacts import ContactCreated

from tests.e2e.outside import Outside, Step
from tests.e2e.sink import SinkControl

SOURCE = "e2e/contacts"


@dataclass(frozen=True, slots=True)
class Campaign:
    """Ids that no other test uses, a client, the sink, and what the outside sees of them."""

    stack: Stack
    sluice: Sluice
    sink: SinkControl
    outside: Outside

    @property
    def sequence_id(self) -> str:
        return self.outside.prefix

    def contact(self, number: int) -> str:
        return f"{self.sequence_id}-c{number:04d}"

    def address(self, number: int) -> str:
        return f"{self.contact(number)}@example.com"

    async def introduce(self, count: int) -> list[str]:
        """Write that many contacts, as the account's contact system would; their ids."""
        writes = [self._write(number) for number in range(count)]
        await asyncio.gather(*[await write for write in writes])
        return [self.contact(number) for number in range(count)]

    async def launch(self, *steps: dict[str, Any], **more: Any) -> int:
        """Save and publish; the version."""
        await self.sluice.save(self.sequence_id, self.definition(*steps, **more))
        return (await self.sluice.publish(self.sequence_id)).version

    async def enroll(self, contacts: list[str]) -> EnrolledMany:
        return await self.sluice.enroll_many(self.sequence_id, contacts)

    async def until_sent(self, contacts: list[str], *steps: str, seconds_max: float = 60.0) -> None:
        """Wait until every one of these contacts has had every one of these steps."""
        wanted: set[Step] = {(contact, step) for contact in contacts for step in steps}
        sent = self.outside.sent
        await self.outside.until(f"{', '.join(steps)} sent", lambda: wanted <= sent().keys(), seconds_max=seconds_max)

    def definition(self, *steps: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {"name": f"Campaign {self.sequence_id}", "campaign": self.sequence_id, "steps": list(steps), **more}

    def email(self, step_id: str = "mail", after: str = "0s") -> dict[str, Any]:
        text = "Hi {{ contact.first_name }}, here it is."
        return _step(step_id, after, channel="email", subject=f"{step_id} for {{{{ contact.first_name }}}}", text=text)

    def whatsapp(self, step_id: str = "hello", after: str = "0s") -> dict[str, Any]:
        variables = {"1": "{{ contact.first_name }}"}
        return _step(step_id, after, channel="whatsapp", template="hello_1", language="en", variables=variables)

    def webhook(self, step_id: str = "hook", after: str = "0s") -> dict[str, Any]:
        url = f"{self.stack.addresses.sink_http}/webhook/{self.sequence_id}.{step_id}"
        return _step(step_id, after, channel="webhook", url=url, json={"contact": "{{ contact.id }}"})

    async def _write(self, number: int) -> "asyncio.Future[object]":
        contact = ContactCreated(
            contact_id=self.contact(number),
            state_version=1,
            attributes={"first_name": f"Ada {number}"},
            tags=[],
            addresses={"email": self.address(number), "whatsapp": f"+{self.outside.number}{number:04d}"},
            opted_out=False,
        )
        document = envelope.Envelope(id=f"{contact.contact_id}:1", source=SOURCE, type=contact.TYPE)
        value = envelope.encode(document, contact.to_json())
        return await self.sluice.transport.send(contact.TOPIC, key=contact.contact_id, value=value)


def _step(step_id: str, after: str, **message: Any) -> dict[str, Any]:
    return {"step_id": step_id, "after": after, "message": message}
