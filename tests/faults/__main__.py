"""`make faults`: every scene on one stack, each judged by the checker; a table of scenes and promises."""

import argparse
import asyncio
import logging
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from devstack.stack import StackError
from rich.console import Console

from tests.faults.planted import PLANTED, Planted, find
from tests.faults.report import Report
from tests.faults.scene import Scene, play
from tests.faults.scenes import CI, GROUPS, SCENES
from tests.faults.stage import NoSmallDisk, Stage, staged

SEED: Final = 1
WIDTH: Final = 160
STARTS_MAX: Final = 3
EXIT_INTERRUPTED: Final = 130
EXAMPLES: Final = """examples:
  make faults                                              every scene and every planted bug: more than an hour
  make faults ARGS="--scene kill-after-send --seed 7"      one scene, by another seed
  make faults ARGS="--scene network --plant gate-ignored"  a group of scenes, and a planted bug
  make faults ARGS="--selection ci --bug gate-ignored"     what the tests play, with a bug: it must end red
"""


def main() -> int:
    """0 where every promise held and each planted bug was found, 1 where not or where something could not be played, 2
    where there is no such scene, 130 where it was interrupted."""
    asked = parsed()
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    if asked.list:
        return _list(console)
    scenes, plants = chosen(asked)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it tells every failure of an outage that we made
    kept = asked.keep or Path(tempfile.mkdtemp(prefix="sluice-histories-"))
    report = Report(console, seed=asked.seed, kept=kept, bug=asked.bug)
    # In a background job SIGINT would be ignored; asyncio takes it as a request to end in order.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        asyncio.run(run(scenes, plants, report, seed=asked.seed, kept=kept, bug=asked.bug))
    except KeyboardInterrupt:
        report.end()
        console.print("[red]interrupted: this is only what was played; everything that was started is stopped[/red]")
        return EXIT_INTERRUPTED
    finally:
        if asked.keep is None:
            with suppress(OSError):  # histories are in it
                kept.rmdir()
    return report.end()


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What is asked for, by default on the command line. SystemExit with 2 where it contradicts itself or names what
    there is not."""
    parser = argparse.ArgumentParser(
        prog="make faults ARGS=…",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--list", action="store_true", help="the scenes and the planted bugs")
    parser.add_argument(
        "--scene", action="append", default=[], metavar="NAME", help="this one (or a group); repeatable"
    )
    parser.add_argument("--seed", type=int, default=SEED, help=f"default: {SEED}")
    parser.add_argument(
        "--selection",
        choices=("all", "ci"),
        help="every scene and planted bug (all), or what every run of the tests plays (ci)",
    )
    parser.add_argument("--planted", action="store_true", help="every planted bug, and no scene")
    parser.add_argument("--plant", action="append", default=[], metavar="NAME", help="this planted bug; repeatable")
    parser.add_argument("--bug", choices=sorted(PLANTED), metavar="NAME", help="play the scenes with this bug planted")
    parser.add_argument(
        "--keep", type=Path, default=None, help="where histories of broken promises are kept (default: a new folder)"
    )
    asked = parser.parse_args(arguments)
    unknown = [one for one in asked.scene if one not in SCENES and one not in GROUPS]
    unknown += [one for one in asked.plant if one not in PLANTED]
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}: see --list")
    if sum((bool(asked.scene or asked.plant), asked.planted, asked.selection is not None)) > 1:
        parser.error("choose by --scene and --plant, or by --selection, or by --planted")
    if asked.bug and (asked.plant or asked.planted):
        parser.error("--bug is for scenes: a planted bug is looked for where there is no other")
    return asked


def chosen(asked: argparse.Namespace) -> tuple[list[Scene], list[Planted]]:
    """What to play."""
    named = [SCENES[one] for one in asked.scene if one in SCENES]
    named += [scene for one in asked.scene for scene in GROUPS.get(one, ())]
    plants = [PLANTED[one] for one in asked.plant]
    if named or plants:
        return named, plants
    if asked.planted:
        return [], list(PLANTED.values())
    if asked.selection == "ci":
        return [SCENES[one] for one in CI], []
    return list(SCENES.values()), [] if asked.bug else list(PLANTED.values())


async def run(
    scenes: Sequence[Scene],
    plants: Sequence[Planted],
    report: Report,
    *,
    seed: int,
    kept: Path,
    bug: str | None = None,
) -> None:
    """One after the other. A stage that a scene has left unwell is put away, and the next gets a new one.

    `bug`: one that is planted on every stage before anything is played.
    """
    left: list[Scene | Planted] = [*scenes, *plants]
    report.expect(len(left))
    starts_left = STARTS_MAX
    while left:
        small_disk, brokers = needed = _needed(left[0])
        try:
            async with staged(report.say, small_disk=small_disk, brokers=brokers) as stage:
                if bug is not None:
                    await stage.plant(bug)
                starts_left = STARTS_MAX
                while left and _needed(left[0]) == needed:
                    if not await _one(left.pop(0), stage, report, seed=seed, kept=kept):
                        break
        except NoSmallDisk as reason:
            report.skip(left.pop(0).name, reason)
        except StackError as error:
            starts_left -= 1
            report.say(f"the stack did not start or end: {error}")
            if not starts_left:
                report.failed([one.name for one in left], error)
                return


def _needed(what: Scene | Planted) -> tuple[bool, int]:
    """What kind of stage: with a small disk, with how many brokers."""
    return (what.small_disk, what.brokers) if isinstance(what, Scene) else (False, 1)


async def _one(what: Scene | Planted, stage: Stage, report: Report, *, seed: int, kept: Path) -> bool:
    """Whether the stage may be used again."""
    report.begin(what.name)
    try:
        if isinstance(what, Scene):
            outcome = await play(what, stage, seed=seed, kept=kept)
            report.played(outcome)
            return not outcome.left
        found = await find(what, stage, seed=seed, kept=kept)
        report.found(found)
        if not found.outcome.left:
            await stage.plant(None)
    except Exception as error:  # one scene that cannot be played does not end the others
        report.unplayed(what, error)
        return False
    return not found.outcome.left


def _list(console: Console) -> int:
    for group, scenes in GROUPS.items():
        console.print(f"[bold]{group}[/bold]")
        for scene in scenes:
            console.print(f"  {scene.name:<26} {scene.what}")
    console.print("[bold]planted bugs[/bold]")
    for planted in PLANTED.values():
        console.print(f"  {planted.name:<26} {planted.invariant}: {planted.what}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
