"""What goes on without being asked: the erasure of deleted sequences, and the end of pauses that have one."""

from functools import partial

from chassis.drain import Loop
from chassis.health import Health
from chassis.rounds import Rounds
from messaging import Service

from sequences.handlers import erasures, timers
from sequences.settings import SequencesSettings
from sequences.store import sequences


def build(service: Service, settings: SequencesSettings, health: Health) -> list[Loop]:
    """The loops of this service."""
    erase = partial(_erase, service, settings)
    recheck = partial(_recheck, service, settings)
    resume = partial(_resume, service, settings)
    return [
        Rounds("erasure", erase, rest_seconds=settings.erasure_poll_seconds, health=health),
        Rounds("erasure-recheck", recheck, rest_seconds=settings.erasure_recheck_seconds, health=health),
        Rounds("timers", resume, rest_seconds=settings.timer_poll_seconds, health=health),
    ]


async def _erase(service: Service, settings: SequencesSettings) -> bool:
    async with service.begin() as tx:
        return await erasures.erase_some(
            tx, sequences_max=settings.erasure_sequences_max, versions_max=settings.erasure_versions_max
        )


async def _recheck(service: Service, settings: SequencesSettings) -> bool:
    """Complete deletions that wait for a service that the settings no longer name."""
    after: str | None = ""
    while after is not None:
        async with service.begin() as tx:
            after = await erasures.complete_waiting(
                tx, after=after, sequences_max=settings.erasure_sequences_max, services=settings.services
            )
    return False


async def _resume(service: Service, settings: SequencesSettings) -> bool:
    """Resume what is paused until now; the look for it costs no transaction where there is none."""
    async with service.pool.acquire() as conn:
        due = await sequences.due(conn, limit=settings.timer_sequences_max)
    if due:
        async with service.begin() as tx:
            await timers.resume_due(due, tx)
    return len(due) == settings.timer_sequences_max
