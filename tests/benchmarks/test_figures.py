"""What stands in the table of the benchmarks follows from the rounds that were measured."""

import subprocess
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import figures
from benchmarks.bench import as_text, command, keep, settings_of
from benchmarks.figures import Figure, Measured, Rate, Round, in_turns
from benchmarks.machine import commit
from benchmarks.peers import __main__ as peers
from benchmarks.plot import drawn

RATIO = Figure("R", "ours ÷ other", 0.5, 1.0)
LATENCY = Figure("R", "late by", 100, 20, "less", " ms")
NEVER = Figure("R", "lost", 0, 0, "less")
MACHINE = {
    "cores": 2,
    "processor": "AMD EPYC",
    "memory_gb": 25.3,
    "system": "Linux 6.18",
    "python": "3.11.7",
    "postgres": "18.4",
    "postgres_settings": {"fsync": "on"},
    "load_before": [1.5, 1.3, 1.3],
}


def measured(figure: Figure, *values: float) -> Measured:
    return Measured(figure, [Round(value, value) for value in values])


@pytest.mark.parametrize(
    ("others", "order"),
    [([4.0], [4.0, 3.0, 3.0, 4.0, 4.0, 3.0]), ([4.0, 6.0], [6.0, 4.0, 3.0, 3.0, 4.0, 6.0, 6.0, 4.0, 3.0])],
)
async def test_the_order_is_turned_round_with_each_round(others: list[float], order: list[float]) -> None:
    ran: list[float] = []

    def side(rate: float) -> Rate:
        async def measure() -> float:
            ran.append(rate)
            return rate

        return measure

    rounds = [await in_turns(number, side(3.0), *map(side, others)) for number in range(3)]

    assert ran == order
    assert rounds == [[Round(3.0 / other, 3.0, other) for other in others]] * 3


@pytest.mark.parametrize(
    ("of", "value", "holds"),
    [
        (measured(RATIO, 0.4, 0.6, 0.5), 0.5, True),
        (measured(RATIO, 0.4, 0.9, 0.4), 0.4, False),
        (measured(LATENCY, 20, 101, 90), 90, True),
        (measured(LATENCY, 20, 101, 120), 101, False),
        (measured(NEVER, 0, 0, 0), 0, True),
    ],
)
def test_a_figure_is_the_median_of_its_rounds_and_holds_where_that_reaches_what_it_must(
    of: Measured, value: float, holds: bool
) -> None:
    assert (of.value, of.holds) == (value, holds)


def test_what_may_never_be_is_not_hidden_by_rounds_in_which_it_was_not() -> None:
    once = measured(NEVER, 0, 1, 0)

    assert (once.value, once.holds, once.spread) == (1, False, (0, 1))


def test_the_table_says_on_which_side_of_a_bound_a_figure_must_be_how_many_rounds_are_and_when_it_was_taken() -> None:
    ratio, latency, never = measured(RATIO, 0.4, 0.6, 0.5), measured(LATENCY, 101), measured(NEVER, 0)
    ratio.machine = MACHINE | {"measured_at": "2026-11-27T09:30:00+00:00", "commit": "69e8096+"}
    latency.machine = never.machine = MACHINE | {"measured_at": "2026-11-26T22:25:57+00:00"}

    first, second, third = [line for line in as_text([ratio, latency, never]).splitlines() if line.startswith("| R")]

    assert first == (
        "| R | ours ÷ other | ≥ 0.5 | ≥ 1 | 0.5 | 0.4-0.6 | 2 of 3 | 0.500 |  | reached | 2026-11-27 69e8096+ |"
    )
    assert second == (
        "| R | late by | ≤ 100 ms | ≤ 20 ms | 101 ms | 101-101 | 0 of 1 | 101 |  | not reached | 2026-11-26 |"
    )
    assert third == "| R | lost | ≤ 0 | ≤ 0 | 0 | 0-0 | 1 of 1 | 0 |  | reached | 2026-11-26 |"


def test_below_the_table_stands_what_measures_a_figure_again_with_what_and_on_what_it_was_measured() -> None:
    receipts, reads, usual, kept = measured(NEVER, 0), measured(RATIO, 1), measured(RATIO, 6), measured(NEVER, 0)
    receipts.figure = replace(NEVER, name="R13")
    reads.figure, usual.figure, kept.figure = (replace(RATIO, name=name) for name in ("R7", "R8", "R8b"))
    receipts.of, reads.of, usual.of, kept.of = (
        "sends after a receipt, halts",
        "events a second",
        "events a second",
        "rows",
    )
    for one in (receipts, reads, usual, kept):
        one.settings = {"events": 200_000}
        one.machine = MACHINE | {"measured_at": "2026-11-27T09:30:00+00:00"}
    receipts.machine["measured_at"] = "2026-11-26T22:25:57+00:00"

    text = as_text([reads, usual, kept, receipts])

    about = "on 2 cores (AMD EPYC), 25.3 GB, Linux 6.18, Python 3.11.7, PostgreSQL 18.4 (fsync=on), load before: 1.5"
    assert text.partition("</summary>\n\n")[2].splitlines()[:6] == [
        '- **R7, R8** (events a second), **R8b** (rows): `make bench ARGS="--only R7"`',
        "  - with events: 200,000",
        f"  - 2026-11-27T09:30:00+00:00 {about}",
        "- **R13** (sends after a receipt, halts): `make bench-halts`",
        "  - with events: 200,000",
        f"  - 2026-11-26T22:25:57+00:00 {about}",
    ]
    assert '- **R7** (events a second): `make bench-peers ARGS="--only R7"`' in as_text([reads], repeats=peers.command)


def test_a_figure_whose_measuring_failed_is_no_longer_kept_and_the_table_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "RESULTS", tmp_path / "figures")
    before = measured(RATIO, 1)
    before.machine = MACHINE | {"measured_at": "2026-11-27T09:30:00+00:00"}
    keep([before], [], ["R", "R2"])
    first = (tmp_path / "bench.md").read_text()

    keep([], ["R"], ["R", "R2"])

    assert "\nThere is no figure of R2: never measured, or measuring it failed.\n" in first
    assert (
        "\nThere is no figure of R, R2: never measured, or measuring it failed.\n"
        in (tmp_path / "bench.md").read_text()
    )
    assert figures.kept(["R"]) == []


def test_the_command_and_settings_are_said_once_for_the_figures_that_share_them() -> None:
    one, other, last, bare = measured(RATIO, 1), measured(LATENCY, 1), measured(NEVER, 1), measured(RATIO, 1)
    one.figure, other.figure = replace(RATIO, name="R5"), replace(LATENCY, name="R6")
    one.settings = other.settings = {"messages": 40_000, "connections": {"http": 64, "smtp": 16}}
    last.settings = {"rates": [1, 2_000], "validated": True}

    assert settings_of([one, other, last, bare], command) == [
        'R5, R6: make bench ARGS="--only R5"; messages: 40,000; connections: (http: 64; smtp: 16)',
        'R: make bench ARGS="--only R"; rates: 1, 2,000; validated: True',
        'R: make bench ARGS="--only R"',
    ]


def test_the_picture_has_a_row_for_each_figure_and_says_what_was_measured_and_what_must_be() -> None:
    drawing = drawn([measured(RATIO, 0.4, 0.6, 0.5), measured(NEVER, 0)])

    words = [text.text for text in ElementTree.fromstring(drawing).iter("{http://www.w3.org/2000/svg}text")]

    assert words[-4:] == ["R  ours ÷ other", "0.5 (0.5)", "R  lost", "0 (0)"]


def test_a_figure_names_the_commit_and_whether_anything_but_figures_was_changed_since(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        who = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
        return subprocess.check_output(("git", "-C", str(tmp_path), *who, *words), text=True).strip()

    outside = commit(tmp_path)
    figures, code = tmp_path / "benchmarks" / "results" / "R1.json", tmp_path / "code.py"
    figures.parent.mkdir(parents=True)
    figures.write_text("1")
    code.write_text("1")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "First")
    name = git("rev-parse", "--short", "HEAD")

    figures.write_text("2")
    kept = commit(tmp_path)
    code.write_text("2")
    changed = commit(tmp_path)

    assert (outside, kept, changed) == ({}, {"commit": name}, {"commit": f"{name}+"})
