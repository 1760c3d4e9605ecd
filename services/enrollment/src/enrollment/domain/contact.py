"""What enrollment knows of a contact, and what is left of one that is gone."""

from dataclasses import dataclass, replace

from messaging import Decision


@dataclass(frozen=True, slots=True)
class Contact:
    """No `state_version`: not heard of, or gone. `gone_offset` is that of the last tombstone in its partition."""

    contact_id: str
    state_version: int | None = None
    source_partition: int | None = None
    source_offset: int | None = None
    opted_out: bool = False
    opted_out_kept: bool = False
    gone_partition: int | None = None
    gone_offset: int | None = None

    @property
    def heard(self) -> bool:
        """Whether there is a record of it, with what conditions ask."""
        return self.state_version is not None


def forget(contact: Contact, *, partition: int, offset: int) -> Decision[Contact]:
    """Take over a tombstone: an opt-out is all that stays. One that is read again changes nothing.

    A record that stands behind the tombstone in the topic is a new contact of the same id, and stays.
    """
    if contact.gone_partition == partition and contact.gone_offset is not None and contact.gone_offset >= offset:
        return Decision()
    gone = replace(contact, gone_partition=partition, gone_offset=offset)
    if contact.source_partition == partition and contact.source_offset is not None and contact.source_offset > offset:
        return Decision(gone)
    return Decision(
        replace(
            gone,
            state_version=None,
            source_partition=None,
            source_offset=None,
            opted_out=False,
            opted_out_kept=contact.opted_out_kept or contact.opted_out,
        )
    )
