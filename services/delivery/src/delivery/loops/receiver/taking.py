"""How a post is taken: answered when all that it says is committed."""

from typing import Final

import orjson
import structlog
from aiohttp import web
from chassis.pool import is_transient
from messaging.pipeline import Pipeline

from delivery.domain.report import Post
from delivery.handlers.reports import on_post

log = structlog.get_logger()

RETRY_AFTER_SECONDS: Final = 5
PART_MAX: Final = 500
"""So much of a post is taken in one transaction."""


class Away(Exception):
    """The database cannot be reached: nothing is taken, and all may be sent again."""


class Taking:
    """Takes what posts say; Away where that cannot be now."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    async def take(self, post: Post, *, provider: str) -> int:
        """Announce what a post says; how much of it is about what is known here.

        A long one in several transactions, for stops wait for each. Where one fails the whole may be sent again: what
        was taken before is then said once more, under the same ids.
        """
        if not len(post):
            return 0
        known = 0
        try:
            for part in post.parts(PART_MAX):
                async with self._pipeline.begin() as tx:
                    known += await on_post(part, tx, provider=provider)
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("reports_not_taken", provider=provider, error=type(error).__name__)
            raise Away from error
        log.info("reports_taken", provider=provider, count=known, unknown=len(post) - known)
        return known


def away() -> web.Response:
    """Come again."""
    return web.Response(status=503, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


def refused(status: int, detail: str, **more: object) -> web.Response:
    """Why not, in a sentence; never with a value of what was sent."""
    return answer({"detail": detail, **more}, status=status)


def answer(document: object, *, status: int = 200) -> web.Response:
    """JSON."""
    return web.Response(status=status, body=orjson.dumps(document), content_type="application/json")
