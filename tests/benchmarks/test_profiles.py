"""What is said of a profile follows from the boxes of its flame graph."""

from pathlib import Path

from benchmarks.profiles import SAMPLES_A_SECOND, Shares

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:fg="http://github.com/jonhoo/inferno">'
BOX = '<g><title>{what} ({wide} samples, 1.0%)</title><rect y="{depth}" fg:x="{left}" fg:w="{wide}"/></g>'


def test_a_function_has_the_time_that_none_it_called_has_and_packages_have_the_time_of_their_functions(
    tmp_path: Path,
) -> None:
    boxes = [
        ("all", 0, 100, 10),
        ("main (delivery/app.py:1)", 0, 100, 20),
        ("work (delivery/loops/sender.py:5)", 0, 60, 30),
        ("poll (asyncio/events.py:9)", 60, 30, 30),
    ]
    file = tmp_path / "profile.svg"
    drawn = "".join(BOX.format(what=what, left=left, wide=wide, depth=depth) for what, left, wide, depth in boxes)
    file.write_text(f"{HEAD}{drawn}</svg>")

    shares = Shares.of(file, seconds=1)

    assert shares.functions == {
        "work (delivery/loops/sender.py)": 0.6,
        "poll (asyncio/events.py)": 0.3,
        "main (delivery/app.py)": 0.1,
    }
    assert shares.packages == {"delivery": 0.7, "asyncio": 0.3}
    assert (shares.samples, shares.busy) == (100, 100 / SAMPLES_A_SECOND)
