"""What enrollment does by itself: decide what has waited, let in who was turned away, erase what is deleted."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

from chassis.drain import Loop
from chassis.health import Health
from chassis.rounds import Rounds
from messaging import Service, Tx
from sluice_contracts import topics

from enrollment.domain.entry import Missing
from enrollment.domain.patience import Patience
from enrollment.handlers.admissions import ask_some
from enrollment.handlers.conditions import decide_some
from enrollment.handlers.erasure import erase_some
from enrollment.handlers.parking import reconsider
from enrollment.settings import EnrollmentSettings
from enrollment.store import parked

BATCH_CONTACTS_MAX: Final = 1_000
PARKED_REST_SECONDS: Final = 0.2
REST_SECONDS: Final = 0.5
TOPIC_OF: Final = {Missing.SEQUENCE: topics.SEQUENCES_EVENTS, Missing.CONTACT: topics.CONTACTS_EVENTS}
BY_THEMSELVES: Final[dict[str, Callable[[Tx], Awaitable[bool]]]] = {
    "conditions": decide_some,
    "admissions": ask_some,
    "erasure": erase_some,
}
"""Loops whose round is one batch in a transaction of its own."""


def build(service: Service, settings: EnrollmentSettings, health: Health) -> list[Loop]:
    """Every loop of the process, beside reading and publishing."""
    waiting = ParkedLoop(service, parked_seconds_max=settings.parked_seconds_max)
    loops: list[Loop] = [Rounds("parked", waiting.decide_some, rest_seconds=PARKED_REST_SECONDS, health=health)]
    for name, work in BY_THEMSELVES.items():
        loops.append(Rounds(name, _round(service, work), rest_seconds=REST_SECONDS, health=health))
    return loops


def _round(service: Service, work: Callable[[Tx], Awaitable[bool]]) -> Callable[[], Awaitable[bool]]:
    async def go_round() -> bool:
        async with service.begin() as tx:
            return await work(tx)

    return go_round


class ParkedLoop:
    """Decides parked enrolls: as soon as what they wait for is there, or when they have waited long enough."""

    def __init__(self, service: Service, *, parked_seconds_max: float) -> None:
        self._service = service
        self._patience = {missing: Patience(parked_seconds_max) for missing in TOPIC_OF}

    async def decide_some(self) -> bool:
        """Decide one batch; whether there was any."""
        contact_ids = await self._found()
        if not contact_ids:
            return False
        async with self._service.begin() as tx:
            await reconsider(tx, contact_ids, horizons=self._horizons())
        return True

    def _horizons(self) -> dict[Missing, datetime]:
        return {
            missing: patience.horizon for missing, patience in self._patience.items() if patience.horizon is not None
        }

    async def _found(self) -> list[str]:
        limit = BATCH_CONTACTS_MAX
        async with self._service.pool.acquire() as conn:
            caught_up = await parked.caught_up(conn, list(TOPIC_OF.values()))
            for missing, topic in TOPIC_OF.items():
                self._patience[missing] = self._patience[missing].observe(caught_up.get(topic))
            found = await parked.ready(conn, limit=limit) or await parked.heard(conn, limit=limit)
            for missing, horizon in self._horizons().items():
                found = found or await parked.late(conn, missing, horizon=horizon, limit=limit)
        return list(dict.fromkeys(found))
