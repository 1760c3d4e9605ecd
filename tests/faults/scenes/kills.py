"""`kill -9` of each process at named points, and at random; stops one after the other."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from chassis.clock import sleep

from tests.faults.inject.points import POINTS
from tests.faults.scene import Play, Scene
from tests.faults.stage import READERS, SENDERS, SERVICES

ROLES: Final = {
    "before-claim-commit": ("delivery-send",),
    "after-claim": ("delivery-send",),
    "after-send": ("delivery-send",),
    "after-mail": ("delivery-send",),
    "before-result": ("delivery-send",),
    "after-result": ("delivery-send",),
    "after-outbox": ("enrollment-run", "delivery-plan", "sequences-run"),
    "mid-relay": ("delivery-plan", "enrollment-run", "sequences-run"),
    "mid-batch": ("delivery-plan", "enrollment-run", "sequences-run", "console-run"),
    "mid-erasure": ("delivery-plan", "enrollment-run", "sequences-run", "console-run"),
    "in-halter": ("delivery-plan",),
    "in-reaper": ("delivery-plan",),
    "after-closing": ("delivery-plan",),
}
"""In which processes each point is struck, one after the other."""
TIMES_OF_ONE: Final = 2


def at_point(point: str) -> Callable[[Play], Awaitable[None]]:
    """Have each of its processes killed there; where there is but one, twice."""

    async def fault(play: Play) -> None:
        roles = ROLES[point]
        bring = BRING.get(point)
        for role in roles if len(roles) > 1 else roles * TIMES_OF_ONE:
            if bring is not None:
                await bring(play, role)
                continue
            play.stage.point(point, role, skip=play.chance.randrange(4) if len(roles) == 1 else 0)
            await play.stage.struck()

    return fault


async def erasing(play: Play, role: str) -> None:
    """Somebody deletes a sequence that is full, and who erases is killed."""
    play.stage.point("mid-erasure", role)
    deleting = asyncio.create_task(play.workload.delete(play.chance))
    await play.stage.struck()
    await deleting


async def reaping(play: Play, role: str) -> None:
    """A sender dies with a claim in hand, and who ends its lease is killed."""
    play.stage.point("after-claim", "delivery-send")
    await play.stage.struck()
    play.stage.point("in-reaper", role)
    await play.stage.struck()


BRING: Final[Mapping[str, Callable[[Play, str], Awaitable[None]]]] = {"mid-erasure": erasing, "in-reaper": reaping}
"""Where users alone would not bring a process to the point in time."""


async def at_random(play: Play) -> None:
    """One process after the other, whichever."""
    for _ in range(7):
        await play.stage.kill_when_there(play.chance.choice(SERVICES))
        await sleep(play.chance.uniform(0.3, 1.5))


async def all_at_once(play: Play) -> None:
    """As when the machine loses its power, but for Kafka and Postgres."""
    for name in SERVICES:
        play.stage.kill(name)
    await sleep(2.0)


async def rolling(play: Play) -> None:
    """Each is stopped in order and comes back, under load."""
    for name in (*READERS, *(f"sender-{number}" for number in range(1, SENDERS + 1)), "console"):
        await play.stage.restart(name)


async def nothing(play: Play) -> None:
    """The same load, undisturbed."""
    await sleep(3.0)


SCENES: Final = (
    Scene("no-fault", "nothing breaks: what the other scenes are compared with", nothing, calm=True),
    *(Scene(f"kill-{point}", f"kill -9 where {POINTS[point]}", at_point(point)) for point in ROLES),
    Scene("kill-random", "kill -9 of seven processes, one after the other, at random moments", at_random),
    Scene("kill-all", "kill -9 of every service at once", all_at_once),
    Scene("rolling-stops", "each process is stopped in order and comes back, under load", rolling, load_seconds=12.0),
)
