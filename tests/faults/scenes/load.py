"""Processes that come and go, and a burst."""

import asyncio
from typing import Final

from chassis.clock import sleep
from devstack.ports import Ports
from devstack.programs import Programs
from devstack.state import Wanted

from tests.faults.scene import Play, Scene
from tests.faults.stage import SENDERS, Stage


async def senders(play: Play) -> None:
    """Added and removed about every second."""
    for count in (3, 1, 4, 2, 0, 3, SENDERS):
        await asyncio.to_thread(play.stage.stack.scale_senders, count)
        await sleep(0.3)


async def planners(play: Play) -> None:
    """A second and a third planner come and go: each time the groups share out anew."""
    for _ in range(4):
        more = [await _planner(play.stage) for _ in range(2)]
        await sleep(2.0)
        for one in more:
            one.kill() if play.chance.random() < 0.5 else one.terminate()
        await asyncio.gather(*(one.wait() for one in more))


async def _planner(stage: Stage) -> asyncio.subprocess.Process:
    wanted = Wanted.read(stage.stack.layout)
    programs = Programs(stage.stack.layout, Ports(stage.stack.layout))
    program = next(one for one in programs.services(wanted) if one.name == "delivery-plan")
    env = {**program.env, "SLUICE_HEALTH_PORT": "0"}
    return await asyncio.create_subprocess_exec(
        *program.argv,
        env=env,
        cwd=program.cwd,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )


async def nothing(play: Play) -> None:
    """The load is the fault."""
    await sleep(5.0)


SCENES: Final = (
    Scene("senders-scaled", "senders are added and removed every second, down to none", senders, load_seconds=12.0),
    Scene("rebalance-storm", "planners come and go, stopped and killed", planners, load_seconds=12.0),
    Scene("burst", "ten times the load", nothing, pace=10.0, rest_seconds_max=120.0),
)
