"""The races in small, and that they can be lost. `make races` runs them in full."""

from pathlib import Path

import pytest
from testkit.stack import Servers

from tests.races.__main__ import run
from tests.races.sabotage import KINDS, sabotage

pytestmark = pytest.mark.stack

ROLES = Path(__file__).parents[2] / "deploy/postgres/roles.sql"


async def test_nothing_leaves_after_a_receipt_and_every_receipt_adds_up(running: Servers) -> None:
    report = await run(running, removals=200, roles=ROLES.read_text())

    assert report.broken == []
    assert report.counts["removals"] == 200
    assert report.counts["… that met a claim"] > 0
    assert report.counts["… that met a message waiting"] > 0


@pytest.mark.parametrize("kind", KINDS)
async def test_the_races_are_lost_where_stops_and_claims_do_not_meet(running: Servers, kind: str) -> None:
    with sabotage(kind):
        report = await run(running, removals=400, roles=ROLES.read_text())

    assert report.broken
