"""`make bench-peers`: our senders and other task queues, in turns, at the same work on the same servers."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from devstack.stack import Stack
from rich.console import Console

from benchmarks import bench, figures, machine, workload
from benchmarks.arena import database, run, terminal
from benchmarks.figures import Measured, in_turns
from benchmarks.peers import work
from benchmarks.peers.installed import Missing
from benchmarks.peers.on_postgres import PGQUEUER, PROCRASTINATE, RIVER
from benchmarks.peers.on_redis import CELERY
from benchmarks.peers.peer import Peer, Settings
from benchmarks.plot import drawn
from benchmarks.sending import Sending

PEERS: Final = (PGQUEUER, PROCRASTINATE, RIVER, CELERY)
MESSAGES: Final = 100_000
ROUNDS: Final = 5
EXAMPLES: Final = """
examples:
  make bench-peers                                       everything; 5 rounds
  make bench-peers ARGS="--only R2 --messages 10000"     a short look at one peer; nothing is kept
"""


@dataclass(slots=True)
class Benchmark:
    """One run on one stack."""

    stack: Stack
    console: Console
    contacts: list[str]
    rounds: int
    kept: Callable[[Measured], None]

    async def measure(self, peers: Sequence[Peer]) -> list[Measured]:
        """In turns with each, set as it was fastest; the queue of either is filled and vacuumed before its turn."""
        measured: list[Measured] = []
        async with database(self.stack) as conn:
            sending = Sending(self.stack, conn, self.contacts)
            async with sending.prepared():
                for peer in peers:
                    try:
                        measured.append(await self._in_turns(peer, sending))
                        self.kept(measured[-1])
                    except Missing as why:
                        self.console.print(f"{peer.name}: skipped, because {why}")
        return measured

    async def _in_turns(self, peer: Peer, sending: Sending) -> Measured:
        tried = [(await self._tried(peer, settings), number) for number, settings in enumerate(peer.settings)]
        chosen = peer.settings[max(tried)[1]]
        measured = Measured(peer.figure, [], "messages a second", machine=await machine.described(sending.conn))
        for number in range(self.rounds):
            [one] = await in_turns(number, sending.fill_and_send, lambda: self._of(peer, chosen))
            measured.rounds.append(one)
            self.console.print(f"  {peer.figure.name}: {one.ours:,.0f} messages/s, {peer.name} {one.other:,.0f}")
        measured.settings = {
            "messages": len(self.contacts),
            "processes": sending.processes,
            peer.name: dict(chosen) | {"jobs": self._jobs(peer)},
            **({"with": peer.found(self.console)} if peer.found else {}),
            "tried before": {in_words(peer.settings[number]): round(rate) for rate, number in tried},
        }
        if peer.asides:
            measured.settings["aside"] = {in_words(one): await self._aside(peer, chosen, one) for one in peer.asides}
        return measured

    async def _tried(self, peer: Peer, settings: Settings) -> float:
        rate = await self._of(peer, settings)
        self.console.print(f"  {peer.name}, {in_words(settings)}: {rate:,.0f} a second")
        return rate

    async def _aside(self, peer: Peer, chosen: Settings, change: Settings) -> int:
        rate = await self._of(peer, {**chosen, **change})
        self.console.print(f"  {peer.name} with {in_words(change)}, which does not count: {rate:,.0f}")
        return round(rate)

    def _jobs(self, peer: Peer) -> int:
        return min(peer.jobs, len(self.contacts))

    async def _of(self, peer: Peer, settings: Settings) -> float:
        messages = work.messages(self.contacts[: self._jobs(peer)])
        return await peer.measure(self.stack, self.console, messages, settings)


def in_words(settings: Settings) -> str:
    """Settings as one reads them."""
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def main() -> int:
    """0 where every figure is there and reaches what it must, 1 where one does not, 2 where an argument is wrong."""
    asked = _asked()
    peers = [peer for peer in PEERS if peer.figure.name in asked.only]
    console = terminal()
    kept = keep if (asked.messages, asked.rounds) == (MESSAGES, ROUNDS) else lambda _: None

    async def measured(stack: Stack) -> bool:
        benchmark = Benchmark(stack, console, workload.contact_ids(asked.messages), asked.rounds, kept)
        found = await benchmark.measure(peers)
        if found:
            bench.show(found, console, repeats=command)
        return len(found) == len(peers) and all(one.holds for one in found)

    return run("peers", console, measured, services=False)


def keep(measured: Measured) -> None:
    """The figure, and the table and the picture of those that were measured last."""
    figures.keep(measured)
    write(figures.kept([peer.figure.name for peer in PEERS]))


def command(name: str) -> str:
    """What measures a figure again."""
    return f'make bench-peers ARGS="--only {name}"'


def write(kept: Sequence[Measured]) -> None:
    """The table and the picture for the repository."""
    (figures.RESULTS.parent / "peers.md").write_text(bench.as_text(kept, repeats=command))
    (figures.RESULTS.parent / "peers.svg").write_text(drawn(kept))


def _asked() -> argparse.Namespace:
    names = [peer.figure.name for peer in PEERS]
    parser = argparse.ArgumentParser(
        prog="make bench-peers ARGS=…",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", default=",".join(names), metavar="R2,R4", help="these peers")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help=f"turns of each pair ({ROUNDS})")
    parser.add_argument("--messages", type=int, default=MESSAGES, metavar="N", help=f"how many ({MESSAGES:,})")
    asked = parser.parse_args()
    asked.only = asked.only.split(",")
    if unknown := sorted(set(asked.only) - set(names)):
        parser.error(f"there is no figure {', '.join(unknown)}: there are {', '.join(names)}")
    if min(asked.rounds, asked.messages) < 1:
        parser.error("--rounds and --messages must be at least 1")
    return asked


if __name__ == "__main__":
    sys.exit(main())
