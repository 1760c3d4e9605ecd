"""`/unsubscribe/TOKEN`: one click (RFC 8058), or a page with a button for people.

Mail scanners open every link: a GET shows the page and does nothing.
"""

from typing import Final

from aiohttp import web
from chassis.clock import utc_now
from pydantic import SecretStr

from delivery.domain.report import UNSUBSCRIBED, OptOut, Post, Sender
from delivery.domain.unsubscribe import Unsubscription, read_token
from delivery.loops.receiver.taking import RETRY_AFTER_SECONDS, Away, Taking

PATH: Final = "/unsubscribe/{token}"
PROVIDER: Final = "unsubscribe"
METHODS: Final = "GET, HEAD, OPTIONS, POST"
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
}
_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex, nofollow">
<title>{title}</title>
<style>
body {{ font: 1.125rem/1.5 system-ui, sans-serif; max-width: 32rem; margin: 15vh auto 0; padding: 0 1.5rem;
  color: #1a1a1a; background: #fff; }}
button {{ font: inherit; padding: .75rem 1.5rem; border: 2px solid #1a1a1a; border-radius: .375rem; color: #fff;
  background: #1a1a1a; cursor: pointer; }}
button:focus-visible {{ outline: 3px solid #2563eb; outline-offset: 3px; }}
@media (prefers-color-scheme: dark) {{ body {{ color: #f2f2f2; background: #111; }}
  button {{ color: #111; background: #f2f2f2; border-color: #f2f2f2; }} }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p>{text}</p>
{more}</main>
</body>
</html>
"""
_BUTTON: Final = """<form method="post">
<input type="hidden" name="List-Unsubscribe" value="One-Click">
<button type="submit">Unsubscribe</button>
</form>
"""


class Unsubscribe:
    """Who opts out here gets nothing more, on any channel."""

    def __init__(self, taking: Taking, *, secret: SecretStr | None) -> None:
        self._taking = taking
        self._key = None if secret is None else secret.get_secret_value().encode()

    def routes(self) -> list[web.RouteDef]:
        """Where it answers; a GET answers HEAD too."""
        return [
            web.get(PATH, self._show),
            web.post(PATH, self._opt_out),
            web.options(PATH, self._say_how),
        ]

    async def _show(self, request: web.Request) -> web.Response:
        if self._read(request) is None:
            return _no_such_link()
        return _page("Unsubscribe", "Press the button, and we send you no more of these messages.", more=_BUTTON)

    async def _opt_out(self, request: web.Request) -> web.Response:
        """Whatever the body says: only mail programs and people post here."""
        found = self._read(request)
        if found is None:
            return _no_such_link()
        try:
            await self._taking.take(Post(opt_outs=[_opt_out_of(found)]), provider=PROVIDER)
        except Away:
            return _page(
                "Not just now",
                "We could not take this down. Please try again in a minute.",
                status=503,
                headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
            )
        return _page("You are unsubscribed", "We send you no more of these messages. You can close this page.")

    async def _say_how(self, request: web.Request) -> web.Response:
        return web.Response(status=204, headers={"Allow": METHODS})

    def _read(self, request: web.Request) -> Unsubscription | None:
        return None if self._key is None else read_token(request.match_info["token"], key=self._key)


def _opt_out_of(found: Unsubscription) -> OptOut:
    """The same for a day, so that clicking twice says it once, and clicking after a change of mind says it anew."""
    return OptOut(
        f"{found.message_id}:{utc_now():%Y%m%d}",
        Sender(contact_id=found.contact_id),
        channel=None,
        reason=UNSUBSCRIBED,
    )


def _no_such_link() -> web.Response:
    return _page(
        "This link does not work",
        "It may have been cut off on its way. Please use the whole link from the message.",
        status=404,
    )


def _page(
    title: str, text: str, *, more: str = "", status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    return web.Response(
        status=status,
        text=_PAGE.format(title=title, text=text, more=more),
        content_type="text/html",
        charset="utf-8",
        headers={**_HEADERS, **(headers or {})},
    )
