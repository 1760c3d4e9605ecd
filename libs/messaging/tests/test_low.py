"""How far the relay need not look back: below that number nothing is left, whoever commits when."""

import random
from dataclasses import dataclass, field
from typing import Final

from messaging.outbox import Low, Passed

HISTORIES: Final = 2_000
MOVES: Final = ("begin", "take", "take", "take", "commit", "commit", "abort", "read", "read", "forget", "forget")
LENGTH: Final = 100


@dataclass
class Outbox:
    """What Postgres keeps: ids and numbers go up, a number needs an id, a reader sees what has committed."""

    xid: int = 10
    seq: int = 0
    open: dict[int, list[int]] = field(default_factory=dict)
    """The numbers that each transaction under way has taken, by its id."""
    rows: set[int] = field(default_factory=set)

    def begin(self) -> int:
        self.xid += 1
        self.open[self.xid] = []
        return self.xid

    def take(self, which: int) -> None:
        if self.open:
            self.seq += 1
            self.open[sorted(self.open)[which % len(self.open)]].append(self.seq)

    def end(self, which: int, *, commit: bool) -> None:
        if self.open:
            taken = self.open.pop(sorted(self.open)[which % len(self.open)])
            self.rows |= set(taken) if commit else set()

    def forget(self, seqs: list[int]) -> Passed:
        ended = min(self.open, default=self.xid + 1)
        own = self.begin()
        self.open.pop(own)
        self.rows -= set(seqs)
        return Passed(own, ended)


def say_and_publish(outbox: Outbox, low: Low) -> None:
    """The youngest transaction says one record, which is read, published and forgotten."""
    outbox.begin()
    youngest = len(outbox.open) - 1
    outbox.take(youngest)
    outbox.end(youngest, commit=True)
    (seq,) = outbox.rows
    low.published(seq, outbox.forget([seq]))


def test_nothing_ever_comes_up_to_the_number_from_which_the_relay_goes_on() -> None:
    went_on = 0
    for seed in range(HISTORIES):
        chance = random.Random(seed)
        outbox, low, read = Outbox(), Low(), list[int]()
        for _ in range(LENGTH):
            which = chance.randrange(12)
            match chance.choice(MOVES):
                case "begin":
                    outbox.begin()
                case "take":
                    outbox.take(which)
                case "commit":
                    outbox.end(which, commit=True)
                case "abort":
                    outbox.end(which, commit=False)
                case "read" if not read:
                    read = sorted(seq for seq in outbox.rows if seq > low.seq)[: 1 + which % 4]
                case "forget" if read:
                    low.published(read[-1], outbox.forget(read))
                    read = []
            under_way = [seq for taken in outbox.open.values() for seq in taken]
            assert all(seq > low.seq for seq in (*outbox.rows, *under_way)), seed
        went_on += low.seq > 0

    assert went_on > HISTORIES // 4


def test_it_is_one_reading_behind_where_nobody_is_at_work_meanwhile() -> None:
    outbox, low = Outbox(), Low()
    for _ in range(4):
        say_and_publish(outbox, low)

    assert low.seq == 3


def test_it_stays_where_it_is_while_somebody_older_is_still_at_it() -> None:
    outbox, low = Outbox(), Low()
    outbox.begin()
    outbox.take(0)
    for _ in range(4):
        say_and_publish(outbox, low)

    assert low.seq == 0
