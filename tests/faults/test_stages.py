"""What is not to be played ends in time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from devstack.stack import StackError
from rich.console import Console

from tests.faults import __main__ as faults
from tests.faults.report import Report
from tests.faults.scenes import SCENES


class Unplantable:
    """A stage on which the processes do not come back with a bug in them."""

    async def plant(self, name: str | None) -> None:
        raise StackError(f"not ready again with {name}")


async def test_where_a_bug_cannot_be_planted_it_is_tried_a_few_times_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Unplantable] = []

    @asynccontextmanager
    async def staged(*_: object, **__: object) -> AsyncIterator[Unplantable]:
        started.append(Unplantable())
        yield started[-1]

    monkeypatch.setattr(faults, "staged", staged)
    report = Report(Console(quiet=True), seed=1, kept=tmp_path)

    await faults.run([SCENES["no-fault"]], [], report, seed=1, kept=tmp_path, bug="gate-ignored")

    assert len(started) == faults.STARTS_MAX
    assert report.failures == ["no-fault"]
