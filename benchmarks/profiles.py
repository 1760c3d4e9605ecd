"""`make bench-profile`: where one sender and one reader at full load spend their time, as flame graphs and numbers."""

import argparse
import asyncio
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from chassis.clock import utc_now
from devstack.stack import Stack
from rich.console import Console

from benchmarks import raw, workload
from benchmarks.arena import BenchmarkFailed, database, run, terminal, until
from benchmarks.figures import RESULTS
from benchmarks.loops.process import program
from benchmarks.ratios import rows
from benchmarks.ratios.messaging import Bench
from benchmarks.sending import Sending

SECONDS: Final = 10
MESSAGES: Final = 150_000
EVENTS: Final = 400_000
SAMPLES_A_SECOND: Final = 200
SHOWN: Final = 12
READY_SECONDS_MAX: Final = 60.0
NAMESPACE: Final = "{http://www.w3.org/2000/svg}"
INFERNO: Final = "{http://github.com/jonhoo/inferno}"

_SENT: Final = "select coalesce(sum(sent), 0) from delivery.books_delta"
_TITLE: Final = re.compile(r"(?P<function>.+?)(?: \((?P<file>[^()]+?)(?::[0-9]+)?\))? \([0-9,]+ samples?, [0-9.]+%\)")


@dataclass(frozen=True, slots=True)
class Frame:
    """One box of a flame graph: `wide` samples were in it or in what it called."""

    function: str
    module: str
    left: int
    wide: int
    depth: float


def own_time(frames: Sequence[Frame]) -> Counter[tuple[str, str]]:
    """Samples by (module, function) that were in itself: its own less what it called."""
    levels: dict[float, list[Frame]] = {}
    for frame in frames:
        levels.setdefault(frame.depth, []).append(frame)
    own: Counter[tuple[str, str]] = Counter()
    for callers, called in pairwise([*(levels[depth] for depth in sorted(levels)), []]):
        for frame in callers:
            within = sum(one.wide for one in called if frame.left <= one.left < frame.left + frame.wide)
            own[frame.module, frame.function] += frame.wide - within
    return own


def read(file: Path) -> list[Frame]:
    """The boxes of a flame graph that py-spy has drawn: who calls stands above what is called."""
    frames = []
    for box in ElementTree.parse(file).iter(f"{NAMESPACE}g"):
        title, area = box.find(f"{NAMESPACE}title"), box.find(f"{NAMESPACE}rect")
        found = _TITLE.fullmatch(title.text or "") if title is not None else None
        if found is None or area is None:
            continue
        left, wide = int(area.attrib[f"{INFERNO}x"]), int(area.attrib[f"{INFERNO}w"])
        frames.append(Frame(found["function"], found["file"] or "", left, wide, float(area.attrib["y"])))
    return frames


async def record(pid: int, file: Path, *, seconds: int) -> None:
    """Take the profile of a running process."""
    spy = Path(sys.executable).with_name("py-spy")
    told = ("--pid", str(pid), "--duration", str(seconds), "--rate", str(SAMPLES_A_SECOND), "--output", str(file))
    process = await asyncio.create_subprocess_exec(
        str(spy),
        "record",
        "--format",
        "flamegraph",
        *told,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    if process.returncode:
        last = said.decode(errors="replace").strip().rpartition("\n")[2]
        raise BenchmarkFailed(
            f"py-spy could not take the profile (it needs root, or kernel.yama.ptrace_scope=0): {last}"
        )


async def of_sender(stack: Stack, file: Path, *, seconds: int) -> None:
    """One sender, null channel, with a queue that lasts."""
    async with database(stack) as conn:
        one = replace(Sending(stack, conn, workload.contact_ids(MESSAGES)), processes=1)
        async with one.prepared():
            await one.fill(due=utc_now() - timedelta(minutes=1))
            async with one.senders() as running:
                await one.turn(opened=True)

                async def sends() -> bool:
                    return int(await conn.fetchval(_SENT)) > 0

                await until("the sender is at work", sends, seconds_max=READY_SECONDS_MAX)
                await record(running[0].pid, file, seconds=seconds)
                left = MESSAGES - int(await conn.fetchval(_SENT))
                await one.turn(opened=False)
        if left <= 0:
            raise BenchmarkFailed("the queue was empty before the profile was taken: ask for fewer --seconds")


async def of_reader(stack: Stack, file: Path, *, seconds: int) -> None:
    """One service that writes a row for each event, with a topic that lasts."""
    prepared = await asyncio.to_thread(raw.prepared, workload.contact_ids(EVENTS))
    async with database(stack) as conn:
        await conn.execute(rows.TABLE)
        await conn.execute(rows.GRANT)
        bench = Bench(stack, conn)
        await bench.write(prepared, kept=False)
        await conn.execute(rows.EMPTY)
        async with program("ours.consume", bench.settings()) as process:

            async def reads() -> bool:
                return int(await conn.fetchval(rows.COUNT)) > 0

            await until("the reader is at work", reads, seconds_max=READY_SECONDS_MAX)
            await record(process.pid, file, seconds=seconds)
            left = EVENTS - int(await conn.fetchval(rows.COUNT))
        if left <= 0:
            raise BenchmarkFailed("the topic was read before the profile was taken: ask for fewer --seconds")


def without_paths(file: Path) -> None:
    """Its title is the command that drew it: take the paths of this machine out of it."""
    spy = Path(sys.executable).with_name("py-spy")
    file.write_text(file.read_text().replace(str(spy), spy.name).replace(str(file), file.name))


def show(name: str, file: Path, console: Console) -> None:
    """Where its time went: functions, modules and packages by what they took themselves."""
    own = own_time(read(file))
    modules: Counter[str] = Counter()
    packages: Counter[str] = Counter()
    for (module, _), samples in own.items():
        modules[module] += samples
        packages[module.partition("/")[0]] += samples
    console.print(f"\n[bold]{name}: {own.total():,} samples, {file.name}[/bold]")
    functions = Counter({f"{function} ({module})": samples for (module, function), samples in own.items()})
    for what, counted in (("functions", functions), ("modules", modules), ("packages", packages)):
        console.print(f"  own time of {what}")
        for one, samples in counted.most_common(SHOWN):
            console.print(f"    {samples / own.total():6.1%}  {one}", markup=False)


def main() -> int:
    """0 where both were taken."""
    parser = argparse.ArgumentParser(prog="make bench-profile ARGS=…", description=__doc__)
    parser.add_argument("--seconds", type=int, default=SECONDS, metavar="S", help=f"of each profile ({SECONDS})")
    asked = parser.parse_args()
    if asked.seconds < 1:
        parser.error("--seconds must be at least 1")
    console = terminal()
    taken = Path(tempfile.mkdtemp(prefix="sluice-profiles-"))
    files = {"a sender": taken / "profile-sender.svg", "a reader": taken / "profile-reader.svg"}

    async def measure(stack: Stack) -> bool:
        await of_sender(stack, files["a sender"], seconds=asked.seconds)
        await of_reader(stack, files["a reader"], seconds=asked.seconds)
        return True

    code = run("profile", console, measure, services=False)
    if code == 0:
        for name, file in files.items():
            without_paths(file)
            shutil.copy(file, RESULTS.parent / file.name)
            show(name, file, console)
    shutil.rmtree(taken)
    return code


if __name__ == "__main__":
    sys.exit(main())
