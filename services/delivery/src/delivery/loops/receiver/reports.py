"""`POST /reports`: what any provider says, in our words."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson
from aiohttp import web
from pydantic import BaseModel, SecretStr, ValidationError
from sluice_contracts.base import Id, Name, Text, Timestamp
from sluice_contracts.definition import faults_of

from delivery.domain.report import Kind, OptOut, Post, Reply, Report, Sender
from delivery.loops.receiver.signatures import Signatures, Unsigned
from delivery.loops.receiver.taking import Away, Taking, answer, away, refused

PATH: Final = "/reports"
PROVIDER: Final = "reports"
BODY_BYTES_MAX: Final = 64 * 1024


class MessageData(BaseModel):
    """Of `message.delivered`, `message.read`, `message.bounced` and `message.complained`."""

    message_id: Id
    provider_message_id: Text | None = None


class RepliedData(BaseModel):
    """Of `contact.replied`."""

    contact_id: Id
    channel: Name
    message_id: Id | None = None


class OptedOutData(BaseModel):
    """Of `contact.opted_out`; without `channel`: of all."""

    contact_id: Id
    channel: Name | None = None
    reason: Text | None = None


class MessagePost(BaseModel):
    """A post about a message."""

    data: MessageData


class RepliedPost(BaseModel):
    """A post about a reply."""

    timestamp: Timestamp | None = None
    data: RepliedData


class OptedOutPost(BaseModel):
    """A post about an opt-out."""

    timestamp: Timestamp | None = None
    data: OptedOutData


def _report(kind: Kind) -> Callable[[str, Any], Post]:
    def read(post_id: str, document: Any) -> Post:
        data = MessagePost.model_validate(document).data
        return Post(reports=[Report(data.message_id, kind, data.provider_message_id)])

    return read


def _replied(post_id: str, document: Any) -> Post:
    said = RepliedPost.model_validate(document)
    sender = Sender(contact_id=said.data.contact_id)
    return Post(replies=[Reply(post_id, sender, said.data.channel, said.timestamp, said.data.message_id)])


def _opted_out(post_id: str, document: Any) -> Post:
    said = OptedOutPost.model_validate(document)
    sender = Sender(contact_id=said.data.contact_id)
    return Post(opt_outs=[OptOut(post_id, sender, said.data.channel, said.data.reason, said.timestamp)])


READERS: Final[Mapping[str, Callable[[str, Any], Post]]] = {
    "message.delivered": _report("delivered"),
    "message.read": _report("read"),
    "message.bounced": _report("bounced"),
    "message.complained": _report("complained"),
    "contact.replied": _replied,
    "contact.opted_out": _opted_out,
}
"""By the post's `type`."""


class Reports:
    """One event a post: `{"type": …, "timestamp"?: …, "data": {…}}`."""

    def __init__(self, taking: Taking, *, secret: SecretStr | None) -> None:
        self._taking = taking
        self._signatures = Signatures(secret)

    def routes(self) -> list[web.RouteDef]:
        """Where it answers."""
        return [web.post(PATH, self._take)]

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        if len(body) > BODY_BYTES_MAX:
            return refused(413, f"a report has at most {BODY_BYTES_MAX} bytes")
        try:
            post_id = self._signatures.check(request.headers, body)
        except Unsigned as unsigned:
            return refused(401, str(unsigned))
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            return refused(400, "the body is no JSON")
        kind = document.get("type") if isinstance(document, dict) else None
        reader = READERS.get(kind) if isinstance(kind, str) else None
        if reader is None:
            return refused(400, f"type must be one of {', '.join(READERS)}")
        try:
            post = reader(post_id, document)
        except ValidationError as error:
            faults = [{"place": fault.place, "rule": fault.rule} for fault in faults_of(error)]
            return refused(400, "the report is not valid", faults=faults)
        try:
            return answer({"known": await self._taking.take(post, provider=PROVIDER)})
        except Away:
            return away()
