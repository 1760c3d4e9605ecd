"""What the WhatsApp Cloud API reports of messages, read from what it posts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from messaging import derive

Kind = Literal["delivered", "read", "bounced"]

_KINDS: Final[Mapping[str, Kind]] = {"delivered": "delivered", "read": "read", "failed": "bounced"}
"""`sent` says nothing that the answer to the call did not say."""


@dataclass(frozen=True, slots=True)
class Report:
    """What became of one message, by the id that we had given it."""

    message_id: str
    kind: Kind
    provider_message_id: str | None


def read_reports(document: Any) -> list[Report]:
    """The reports in one post (object, entry[], changes[], value.statuses[]); whatever else is in it is passed over.

    https://developers.facebook.com/docs/whatsapp/cloud-api/webhooks/components
    """
    return [report for status in _statuses(document) if (report := _report(status)) is not None]


def opaque(provider_message_id: str) -> str:
    """What is kept and told of WhatsApp's id of a message: the id itself holds the recipient's number, in base64."""
    return derive("whatsapp", provider_message_id)


def _statuses(document: Any) -> Iterator[Any]:
    for entry in _list(document, "entry"):
        for change in _list(entry, "changes"):
            value = change.get("value") if isinstance(change, dict) else None
            yield from _list(value, "statuses")


def _list(holder: Any, name: str) -> list[Any]:
    found = holder.get(name) if isinstance(holder, dict) else None
    return found if isinstance(found, list) else []


def _report(status: Any) -> Report | None:
    match status:
        case {"status": str(said), "biz_opaque_callback_data": str(message_id)} if said in _KINDS:
            provider = status.get("id")
            return Report(message_id, _KINDS[said], opaque(provider) if isinstance(provider, str) else None)
        case _:
            return None
