"""What the WhatsApp Cloud API reports of messages, read from what it posts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Kind = Literal["delivered", "read", "bounced"]

_KINDS: Final[Mapping[str, Kind]] = {"delivered": "delivered", "read": "read", "failed": "bounced"}
"""`sent` says nothing that the answer to the call did not say."""


PROVIDER_ID_LENGTH_MAX: Final = 256


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
            known = isinstance(provider, str) and len(provider) <= PROVIDER_ID_LENGTH_MAX and "\0" not in provider
            return Report(message_id, _KINDS[said], provider if known else None)
        case _:
            return None
