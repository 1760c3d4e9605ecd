"""Ask the console: what happened, to whom, and why. It only answers; nothing changes."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, Self
from urllib.parse import quote

import aiohttp
import orjson

from sluice import addresses
from sluice.errors import NotAnswered, Unreachable

SECONDS_MAX: Final = 10.0
PAGE_MAX: Final = 500
REFUSED_FROM: Final = 400
UNAVAILABLE_FROM: Final = 500
CODES: Final = {404: "not_found", 409: "conflict", 422: "invalid"}

Answer = dict[str, Any]


class Console:
    """The read model's answers, as its OpenAPI document (`/openapi.json`) describes them.

    `async with Console() as console: await console.why("ada", "welcome")`. The address is the one given, else
    SLUICE_CONSOLE_URL, else the local stack's. Raises NoAddress, Unreachable, and NotAnswered where there is no such
    thing.
    """

    def __init__(self, url: str | None = None, *, seconds_max: float = SECONDS_MAX) -> None:
        self.address = addresses.find_console(url)
        self._seconds_max = seconds_max
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._seconds_max))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def sequence(self, sequence_id: str) -> Answer:
        """State, versions, receipts, whom it waits for, books, and since when the console knows."""
        return await self._get(f"/sequences/{_part(sequence_id)}")

    async def books(self, sequence_id: str) -> Answer:
        """The closed books: planned = pending + claimed + the five ends; `books_version` 0: nothing was planned yet."""
        return await self._get(f"/sequences/{_part(sequence_id)}/books")

    async def log(self, sequence_id: str) -> Answer:
        """The six numbers."""
        return await self._get(f"/sequences/{_part(sequence_id)}/log")

    async def funnel(self, sequence_id: str) -> Answer:
        """What became of the messages of each step."""
        return await self._get(f"/sequences/{_part(sequence_id)}/funnel")

    async def contacts(
        self, sequence_id: str, *, status: str | None = None, limit: int | None = None
    ) -> AsyncIterator[Answer]:
        """Where each contact stands, page by page; without a limit all of them."""
        async for found in self._paged(f"/sequences/{_part(sequence_id)}/contacts", limit=limit, status=status):
            yield found

    async def contact(self, contact_id: str, *, limit: int | None = None) -> Answer:
        """A contact, its enrollments and its timeline, newest first."""
        return await self._get(f"/contacts/{_part(contact_id)}", limit=limit)

    async def why(self, contact_id: str, sequence_id: str, step_id: str | None = None) -> Answer:
        """Every decision about a contact in a sequence, and the answer in one sentence."""
        return await self._get(f"/contacts/{_part(contact_id)}/why", sequence=sequence_id, step=step_id)

    async def unknown(self, *, limit: int | None = None) -> AsyncIterator[Answer]:
        """Messages that their providers may or may not have."""
        async for found in self._paged("/unknown", limit=limit):
            yield found

    async def scopes(self) -> Answer:
        """What was ever suspended, and whether it is."""
        return await self._get("/scopes")

    async def rebuild(self) -> Answer:
        """Since when the console knows, and how far it has read."""
        return await self._get("/rebuild")

    async def plan(self, sequence_id: str, definition: Mapping[str, Any], in_flight: str) -> Answer:
        """What publishing that definition would change, whom it would touch, and what would be due at once."""
        body = {"definition": definition, "in_flight": in_flight}
        return await self._ask("POST", f"/sequences/{_part(sequence_id)}/plan", body=body)

    async def _paged(self, path: str, *, limit: int | None, **query: str | None) -> AsyncIterator[Answer]:
        after: str | None = None
        left = limit
        while left is None or left > 0:
            page = await self._get(path, limit=PAGE_MAX if left is None else min(left, PAGE_MAX), after=after, **query)
            for found in page["items"]:
                yield found
            left = None if left is None else left - len(page["items"])
            after = page.get("next")
            if after is None:
                return

    async def _get(self, path: str, **query: str | int | None) -> Answer:
        asked = {name: str(value) for name, value in query.items() if value is not None}
        return await self._ask("GET", path, query=asked)

    async def _ask(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None
    ) -> Answer:
        assert self._session is not None, "not entered"
        data = None if body is None else orjson.dumps(body)
        headers = {"content-type": "application/json"} if body is not None else {}
        try:
            async with self._session.request(
                method, self.address.url + path, params=query, data=data, headers=headers, allow_redirects=False
            ) as response:
                status, text = response.status, await response.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"The console at {self.address.url} cannot be reached. {self.address.hint}") from error
        return self._judged(status, text)

    def _judged(self, status: int, text: bytes) -> Answer:
        try:
            found = orjson.loads(text)
        except ValueError:
            found = None
        detail = found.get("detail") if isinstance(found, dict) else None
        if status >= UNAVAILABLE_FROM:
            raise Unreachable(f"The console at {self.address.url} cannot answer: {detail or f'status {status}'}")
        if status >= REFUSED_FROM and isinstance(detail, str):
            raise NotAnswered(CODES.get(status, "invalid"), detail)
        if not isinstance(found, dict) or status >= REFUSED_FROM:
            raise Unreachable(f"What answers at {self.address.url} is no console of Sluice. {self.address.hint}")
        return found


def _part(identity: str) -> str:
    if not identity:
        raise NotAnswered("invalid", "An id must not be empty.")
    return quote(identity, safe="")
