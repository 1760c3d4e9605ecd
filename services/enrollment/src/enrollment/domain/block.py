"""Who may not enter what: a contact, and the scope of one sequence or of a campaign."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Block:
    """A contact may not enter that scope."""

    contact_id: str
    scope: str


def sequence_scope(sequence_id: str) -> str:
    """The scope of a block on one sequence."""
    return f"sequence:{sequence_id}"


def campaign_scope(campaign: str) -> str:
    """The scope of a block on all sequences of a campaign."""
    return f"campaign:{campaign}"
