"""From the fence to the tombstone."""

from typing import Any

import pytest
from messaging.pipeline import Pipeline
from sequences.handlers import erasures
from sluice_contracts import topics

pytestmark = pytest.mark.stack

Service = Any
Said = Any

WELCOME = {"sequence_id": "welcome"}
CANARY = "canary-7b1f"
STEP = {"step_id": "welcome", "after": "0s", "message": {"channel": "email", "subject": "Hi", "text": "Hello"}}
DEFINITION = {"name": CANARY, "steps": [STEP]}


def types(said: list[Said]) -> list[str]:
    return [record.type for record in said]


async def test_a_deletion_goes_from_fence_to_tombstone(service: Service) -> None:
    await service.stopped()
    for number in range(2, 5):
        named = {**DEFINITION, "name": f"{CANARY}-{number}"}
        await service.ask(("SaveSequence", {**WELCOME, "definition": named}), ("PublishSequence", WELCOME))

    deleted = await service.ask(("DeleteSequence", WELCOME), actor="bob")
    assert types(deleted) == ["SequenceDeleted", "CommandAccepted"]
    assert await service.erase() == []

    assert await service.receive(2) == []
    erased = await service.erase()
    assert [(r.topic, r.key, r.value) for r in erased[:-1]] == [
        (topics.SEQUENCES_VERSIONS, f"welcome:{n}", None) for n in range(1, 5)
    ]
    assert erased[-1].data == {**WELCOME, "service": "sequences", "rows": {"sequence": 1, "version": 4}}
    assert erased[-1].envelope["actor"] == "bob"

    assert await service.hear((erased[-1].topic, "welcome", erased[-1].value)) == []
    assert await service.erased("enrollment") == []
    last = await service.erased("delivery")
    assert types(last) == ["SequenceErasureCompleted", ""]
    assert last[0].data["rows"] == {
        "sequences": {"sequence": 1, "version": 4},
        "enrollment": {"row": 3},
        "delivery": {"row": 3},
    }
    assert (last[0].data["epoch"], last[0].envelope["actor"]) == (2, "bob")
    assert (last[1].topic, last[1].key, last[1].value) == (topics.SEQUENCES_EVENTS, "welcome", None)
    counts = [await service.rows(table) for table in ("sequence", "version", "erasure_receipt", "deleted_sequence")]
    assert counts == [0, 0, 0, 1]


async def gone(service: Service) -> None:
    await service.published()
    await service.ask(("DeleteSequence", WELCOME))
    await service.receive(1)
    (receipt,) = [record for record in await service.erase() if record.value is not None]
    await service.hear((receipt.topic, "welcome", receipt.value))
    await service.erased("enrollment")
    assert types(await service.erased("delivery")) == ["SequenceErasureCompleted", ""]


async def test_an_erased_sequence_takes_no_command_and_comes_back_by_nothing(service: Service) -> None:
    await gone(service)

    said = await service.ask(
        ("SaveSequence", {**WELCOME, "definition": DEFINITION}),
        ("PublishSequence", WELCOME),
        ("PauseSequence", WELCOME),
        ("ResumeSequence", WELCOME),
        ("DeleteSequence", WELCOME),
    )
    late = [*await service.receive(1), *await service.erased("delivery")]

    assert [record.data.get("code") for record in said] == ["deleted"] * 4 + [None]
    assert said[4].data["result"] == {"epoch": 1}
    assert late == []
    assert await service.rows("sequence") == 0


async def test_receipts_of_erasure_before_the_fence_count_and_strangers_do_not_complete_it(service: Service) -> None:
    await service.published()
    assert await service.erased("delivery") == []
    await service.ask(("DeleteSequence", WELCOME))

    for name in ("delivery", "enrollment", "warehouse", "sequences"):
        assert await service.erased(name) == []

    assert await service.rows("erasure_receipt") == 4
    assert await service.rows("version") == 1


async def test_a_deletion_no_longer_waits_for_a_service_that_settings_do_not_name(service: Service) -> None:
    await service.published()
    await service.ask(("DeleteSequence", WELCOME))
    await service.receive(1)
    (receipt,) = [record for record in await service.erase() if record.value is not None]
    await service.hear((receipt.topic, "welcome", receipt.value))

    async with Pipeline("sequences", "sequences", service.pool).begin() as tx:
        after = await erasures.complete_waiting(tx, after="", sequences_max=10, services=["sequences"])

    assert after is None
    assert types(await service.said()) == ["SequenceErasureCompleted", ""]


async def test_no_table_holds_the_canary_after_the_completion(service: Service) -> None:
    await service.published()
    await service.ask(("PauseSequence", {**WELCOME, "reason": CANARY}))
    await service.ask(("DeleteSequence", WELCOME))
    await service.receive(2)
    (receipt,) = [record for record in await service.erase() if record.value is not None]
    await service.hear((receipt.topic, "welcome", receipt.value))
    await service.erased("enrollment")
    await service.erased("delivery")

    async with service.pool.acquire() as conn:
        for table in ("sequence", "version", "erasure_receipt", "deleted_sequence", "inbox", "outbox"):
            text = await conn.fetchval(f"select string_agg(t::text, '') from {table} t") or ""
            assert CANARY not in text
            assert CANARY.encode().hex() not in text
