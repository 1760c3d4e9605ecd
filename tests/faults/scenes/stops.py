"""Everything is paused and resumed at once."""

import asyncio
from typing import Final

from chassis.clock import sleep

from tests.faults.scene import Play, Scene

UNHEARD_SECONDS: Final = 2.0


async def paused(play: Play) -> None:
    """For a while, with things due in it."""
    await play.pause_all()
    await sleep(2.0)
    await play.resume_all()


async def unheard(play: Play) -> None:
    """Sequences are paused and resumed while their service stands still: it says both at once."""

    async def resume() -> None:
        await sleep(0.5)
        await play.resume_all()

    await asyncio.gather(play.stage.freeze("sequences", UNHEARD_SECONDS), play.pause_all(), resume())


SCENES: Final = (
    Scene("pause-all", "everything is paused for a while, with things due in it, and resumed", paused, calm=True),
    Scene(
        "pause-unheard",
        "everything is paused and resumed while the service of sequences stands still: it says both at once",
        unheard,
    ),
)
