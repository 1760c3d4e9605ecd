"""The services' wall clocks are wrong; the database's is right."""

from datetime import timedelta
from typing import Final

from chassis.clock import sleep
from testkit.checker.history import History

from tests.faults.scene import Play, Scene

ROLES: Final = ("sequences-run", "enrollment-run", "delivery-plan", "delivery-send", "console-run")
HOUR: Final = 3_600.0
SECONDS: Final = 5.0
MUCH: Final = timedelta(minutes=1)


async def ahead(play: Play) -> None:
    """All by an hour."""
    play.stage.clocks(dict.fromkeys(ROLES, HOUR))
    await sleep(SECONDS)
    _read_by_all(play)


async def behind(play: Play) -> None:
    """All by an hour."""
    play.stage.clocks(dict.fromkeys(ROLES, -HOUR))
    await sleep(SECONDS)
    _read_by_all(play)


async def apart(play: Play) -> None:
    """Each by another hour, jumping back and forth every half second."""
    for _ in range(10):
        play.stage.clocks({role: play.chance.uniform(-HOUR, HOUR) for role in ROLES})
        await sleep(0.5)
    _read_by_all(play)


def _read_by_all(play: Play) -> None:
    assert play.stage.misled() == {*ROLES}, f"only {sorted(play.stage.misled())} have read a wrong clock"


def off(history: History) -> bool:
    """Whether mails say so: they bear the wall clock of who wrote them."""
    return any(one.written_at is not None and abs(one.written_at - one.at) > MUCH for one in history.arrivals)


SCENES: Final = (
    Scene("clocks-ahead", "the services' wall clocks are an hour ahead", ahead, shows=off),
    Scene("clocks-behind", "the services' wall clocks are an hour behind", behind, shows=off),
    Scene("clocks-jumping", "each service's wall clock jumps by up to an hour, twice a second", apart, shows=off),
)
