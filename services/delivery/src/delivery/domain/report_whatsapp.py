"""What the WhatsApp Cloud API posts: what became of messages, what people write back, and whom marketing shall spare.

https://developers.facebook.com/docs/whatsapp/cloud-api/webhooks/components
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from delivery.domain.report import Kind, OptOut, Post, Reply, Report, Sender, opaque

CHANNEL: Final = "whatsapp"
_KINDS: Final[Mapping[str, Kind]] = {"delivered": "delivered", "read": "read", "failed": "bounced"}
"""`sent` says nothing that the answer to the call did not say."""
_NOT_WRITTEN: Final = frozenset({"system", "unsupported", "reaction"})
"""Messages that nobody wrote: a changed number, what the API cannot show, a thumb."""
_NUMBER: Final = re.compile(r"[0-9]{5,20}")
_EPOCH_SECONDS: Final = re.compile(r"[0-9]{9,11}")
_LAST_OF_SECOND: Final = timedelta(microseconds=999_999)


def read_whatsapp(document: Any) -> Post:
    """All that is in one post (object, entry[], changes[], value); whatever else is in it is passed over."""
    values = list(_values(document))
    statuses, messages, preferences = (
        [said for value in values for said in _list(value, name)]
        for name in ("statuses", "messages", "user_preferences")
    )
    return Post(
        reports=[report for said in statuses if (report := _report(said)) is not None],
        replies=[reply for said in messages if (reply := _reply(said)) is not None],
        opt_outs=[opt_out for said in preferences if (opt_out := _opt_out(said)) is not None],
    )


def _values(document: Any) -> Iterator[Any]:
    for entry in _list(document, "entry"):
        for change in _list(entry, "changes"):
            yield change.get("value") if isinstance(change, dict) else None


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


def _reply(message: Any) -> Reply | None:
    match message:
        case {"id": str(wamid), "from": str(number), "type": str(kind)} if kind not in _NOT_WRITTEN:
            context = message.get("context")
            quoted = context.get("id") if isinstance(context, dict) else None
            sender = Sender(
                quoted=opaque(quoted) if isinstance(quoted, str) else None,
                number=number if _NUMBER.fullmatch(number) else None,
            )
            return Reply(opaque(wamid), sender, CHANNEL, at=_time(message.get("timestamp")))
        case _:
            return None


def _opt_out(preference: Any) -> OptOut | None:
    match preference:
        case {"wa_id": str(number), "category": "marketing_messages", "value": "stop"} if _NUMBER.fullmatch(number):
            said = preference.get("timestamp")
            sender = Sender(number=number)
            return OptOut(opaque(f"{number}:{said}"), sender, CHANNEL, reason="marketing_messages", at=_time(said))
        case _:
            return None


def _time(seconds: Any) -> datetime | None:
    """A moment that is told in whole seconds: the last of its second, for what was before it was before it."""
    text = str(seconds) if isinstance(seconds, str | int) else ""
    return datetime.fromtimestamp(int(text), UTC) + _LAST_OF_SECOND if _EPOCH_SECONDS.fullmatch(text) else None
