"""What the account's contact system and the channels say of contacts."""

from typing import ClassVar

from pydantic import Field

from sluice_contracts import topics
from sluice_contracts.base import Count, Fact, Flag, Id, JsonObject, Name, Text, Timestamp


class ContactState(Fact):
    """The whole state of one contact; `state_version` only grows, a tombstone means deleted."""

    TOPIC: ClassVar[str] = topics.CONTACTS_EVENTS
    KEY: ClassVar[str] = "contact_id"

    contact_id: Id
    state_version: Count
    attributes: JsonObject
    tags: list[Name]
    addresses: dict[Name, Text] = Field(description="By channel: `email`, `whatsapp`.")
    timezone: Name | None = None
    language: Name | None = None
    opted_out: Flag


class ContactCreated(ContactState):
    """A contact is new."""

    TYPE: ClassVar[str] = "ContactCreated.v1"


class ContactUpdated(ContactState):
    """Something of a contact changed."""

    TYPE: ClassVar[str] = "ContactUpdated.v1"


class ContactReplied(Fact):
    """A contact wrote back."""

    TYPE: ClassVar[str] = "ContactReplied.v1"
    TOPIC: ClassVar[str] = topics.CONTACTS_ACTIVITY
    KEY: ClassVar[str] = "contact_id"

    contact_id: Id
    channel: Name
    message_id: Id | None = None
    occurred_at: Timestamp


class ContactOptedOut(Fact):
    """A contact wants nothing more, on one channel or (without `channel`) on all."""

    TYPE: ClassVar[str] = "ContactOptedOut.v1"
    TOPIC: ClassVar[str] = topics.CONTACTS_ACTIVITY
    KEY: ClassVar[str] = "contact_id"

    contact_id: Id
    channel: Name | None = None
    reason: Text | None = None
    occurred_at: Timestamp
