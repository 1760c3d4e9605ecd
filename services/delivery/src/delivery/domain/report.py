"""What providers say of messages and contacts, whatever way they say it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from messaging import derive

Kind = Literal["delivered", "read", "bounced", "complained"]

COMPLAINED: Final = "complained"
UNSUBSCRIBED: Final = "unsubscribed"


@dataclass(frozen=True, slots=True)
class Report:
    """What became of one message, by the id that we had given it."""

    message_id: str
    kind: Kind
    provider_message_id: str | None = None


@dataclass(frozen=True, slots=True)
class Sender:
    """Who wrote: by contact, by the message that is quoted (as the provider knows it), or by number."""

    contact_id: str | None = None
    quoted: str | None = None
    number: str | None = None
    """Digits alone."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Somebody wrote back."""

    reply_id: str
    sender: Sender
    channel: str
    at: datetime | None = None
    message_id: str | None = None


@dataclass(frozen=True, slots=True)
class OptOut:
    """Somebody wants nothing more, on one channel or (None) on all."""

    opt_out_id: str
    sender: Sender
    channel: str | None
    reason: str | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Post:
    """All that one post says."""

    reports: Sequence[Report] = ()
    replies: Sequence[Reply] = ()
    opt_outs: Sequence[OptOut] = ()

    def __len__(self) -> int:
        return len(self.reports) + len(self.replies) + len(self.opt_outs)

    def parts(self, size: int) -> Iterator["Post"]:
        """The same in pieces of at most so many things each."""
        for at in range(0, len(self.reports), size):
            yield Post(reports=self.reports[at : at + size])
        for at in range(0, len(self.replies), size):
            yield Post(replies=self.replies[at : at + size])
        for at in range(0, len(self.opt_outs), size):
            yield Post(opt_outs=self.opt_outs[at : at + size])


def opaque(provider_message_id: str) -> str:
    """What is kept and told of WhatsApp's id of a message: the id itself holds the recipient's number, in base64."""
    return derive(f"whatsapp:{provider_message_id}")  # one part, that begins with no UUID: nothing of it is kept


def moment(said: datetime | None, *, now: datetime) -> datetime:
    """When it happened: as was said, but never later than it is now."""
    return now if said is None else min(said, now)
