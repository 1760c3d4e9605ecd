"""The console, on the real topics: what it tells is what happened."""

from typing import Any

import aiohttp
import pytest
from chassis.clock import monotonic, sleep

from tests.e2e.campaign import Campaign

pytestmark = pytest.mark.stack

SECONDS_MAX = 30.0


async def ask(campaign: Campaign, path: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession(campaign.stack.addresses.console_http) as session, session.get(path) as answer:
        return answer.status, await answer.json()


async def told(campaign: Campaign, path: str, **wanted: object) -> Any:
    """The answer, once it has what is wanted."""
    deadline = monotonic() + SECONDS_MAX
    while True:
        status, body = await ask(campaign, path)
        if status == 200 and wanted.items() <= body.items():
            return body
        assert monotonic() < deadline, f"{path}: not {wanted}, but {status} {body}"
        await sleep(0.2)


async def test_the_console_tells_what_was_sent_what_waits_and_what_was_erased(campaign: Campaign) -> None:
    contacts = await campaign.introduce(3)
    await campaign.launch(campaign.email("first"), campaign.email("later", "1d"))
    await campaign.enroll(contacts)
    await campaign.until_sent(contacts, "first")
    name = campaign.sequence_id

    log = await told(campaign, f"/sequences/{name}/log", enrolled=3, in_progress=3)
    why = await told(campaign, f"/contacts/{contacts[0]}/why?sequence={name}&step=later", code="not_yet_due")
    _, funnel = await ask(campaign, f"/sequences/{name}/funnel")
    await campaign.sluice.delete(name)
    gone = await told(campaign, f"/sequences/{name}", status="deleted", erased=True)

    assert (log["completed"], log["dropped"], log["failed"]) == (0, 0, 0)
    assert [(one["step_id"], one["sent"], one["waiting"]) for one in funnel["steps"]] == [
        ("first", 3, 0),
        ("later", 0, 3),
    ]
    assert "later" in why["answer"]
    assert (gone["versions"], gone["draft"], gone["published"]) == ([], None, None)
    assert (await ask(campaign, f"/sequences/{name}/log"))[0] == 404
