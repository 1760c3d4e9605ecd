"""`make bench-profile`: where one sender and one reader at full load spend their time, as flame graphs and numbers."""

import argparse
import asyncio
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

import orjson
from chassis.clock import utc_now
from devstack.stack import Stack
from rich.console import Console

from benchmarks import machine, raw, workload
from benchmarks.arena import BenchmarkFailed, database, run, terminal, until
from benchmarks.figures import RESULTS
from benchmarks.loops.process import program
from benchmarks.ratios import rows
from benchmarks.ratios.messaging import Bench
from benchmarks.sending import Sending

SECONDS: Final = 10
MESSAGES: Final = 300_000
EVENTS: Final = 700_000
SAMPLES_A_SECOND: Final = 200
SHOWN: Final = 12
SHARE_KEPT_MIN: Final = 0.002
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


@dataclass(frozen=True, slots=True)
class Shares:
    """Where the time of a process went: what took a share of it itself, the largest first."""

    file: str
    samples: int
    busy: float
    """The share of the whole time in which it was at work: what follows are shares of that."""
    functions: dict[str, float]
    modules: dict[str, float]
    packages: dict[str, float]

    @classmethod
    def of(cls, file: Path, *, seconds: int) -> "Shares":
        """As they stand in the flame graph."""
        own = own_time(read(file))
        functions, modules, packages = Counter[str](), Counter[str](), Counter[str]()
        for (module, function), samples in own.items():
            functions[f"{function} ({module})"] += samples
            modules[module] += samples
            packages[module.partition("/")[0]] += samples
        busy = round(own.total() / (seconds * SAMPLES_A_SECOND), 3)
        return cls(file.name, own.total(), busy, _shares(functions), _shares(modules), _shares(packages))


def _shares(samples: Counter[str]) -> dict[str, float]:
    """Without the least: there are hundreds of them."""
    shares = {name: round(count / samples.total(), 4) for name, count in samples.most_common()}
    return {name: share for name, share in shares.items() if share >= SHARE_KEPT_MIN}


def show(name: str, taken: Shares, console: Console) -> None:
    """Functions, modules and packages by what they took themselves."""
    console.print(f"\n[bold]{name}: {taken.samples:,} samples, at work {taken.busy:.0%}, {taken.file}[/bold]")
    for what in ("functions", "modules", "packages"):
        console.print(f"  own time of {what}")
        for one, share in islice(getattr(taken, what).items(), SHOWN):
            console.print(f"    {share:6.1%}  {one}", markup=False)


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
    found: dict[str, Any] = {"seconds": asked.seconds, "samples a second": SAMPLES_A_SECOND}

    async def measure(stack: Stack) -> bool:
        async with database(stack) as conn:
            found["machine"] = await machine.described(conn)
        await of_sender(stack, files["a sender"], seconds=asked.seconds)
        await of_reader(stack, files["a reader"], seconds=asked.seconds)
        return True

    code = run("profile", console, measure, services=False)
    if code == 0:
        for name, file in files.items():
            without_paths(file)
            shutil.copy(file, RESULTS.parent / file.name)
            shares = Shares.of(file, seconds=asked.seconds)
            found[name] = asdict(shares)
            show(name, shares, console)
        (RESULTS.parent / "profile.json").write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2) + b"\n")
    shutil.rmtree(taken)
    return code


if __name__ == "__main__":
    sys.exit(main())
