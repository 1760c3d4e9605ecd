"""`POST /bounces`: a delivery status notification as the mail server got it, signed by who passes it on."""

import asyncio
from typing import Final

from aiohttp import web
from pydantic import SecretStr

from delivery.domain.report import Post
from delivery.domain.report_email import BOUNCE_BYTES_MAX, read_bounce
from delivery.loops.receiver.reports import PROVIDER
from delivery.loops.receiver.signatures import Signatures, Unsigned
from delivery.loops.receiver.taking import Away, Taking, answer, away, refused

PATH: Final = "/bounces"


class Bounces:
    """The body is the mail itself. What is no report of a mail of ours is answered alike, so that nobody repeats it."""

    def __init__(self, taking: Taking, *, secret: SecretStr | None) -> None:
        self._taking = taking
        self._signatures = Signatures(secret)

    def routes(self) -> list[web.RouteDef]:
        """Where it answers."""
        return [web.post(PATH, self._take)]

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        if len(body) > BOUNCE_BYTES_MAX:
            return refused(413, f"a notification has at most {BOUNCE_BYTES_MAX} bytes")
        try:
            self._signatures.check(request.headers, body)
        except Unsigned as unsigned:
            return refused(401, str(unsigned))
        report = await asyncio.to_thread(read_bounce, body)
        try:
            post = Post(reports=[] if report is None else [report])
            return answer({"known": await self._taking.take(post, provider=PROVIDER)})
        except Away:
            return away()
