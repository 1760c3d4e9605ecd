"""Records in, records out: the whole service but Kafka, on a real Postgres."""

import random
from collections.abc import Mapping
from collections.abc import Sequence as Rows
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from chassis.pool import Pool
from messaging import offsets
from messaging.pipeline import Pipeline
from pydantic import SecretStr
from sequences import routes
from sequences.handlers import erasures
from sequences.settings import SequencesSettings
from sluice_contracts import topics
from sluice_contracts.registry import BY_TYPE

pytestmark = pytest.mark.stack

CANARY = "canary-7b1f"
STEP = {"step_id": "welcome", "after": "0s", "message": {"channel": "email", "subject": "Hi", "text": "Hello"}}
DEFINITION = {"name": CANARY, "steps": [STEP]}
RECEIVED = {"closed_at": "2026-03-01T12:00:00Z", "halted_at": "2026-03-01T12:00:00Z"}


@dataclass(slots=True)
class Record:
    topic: str
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Rows[tuple[str, bytes | None]] = ()
    partition: int = 0


@dataclass(frozen=True, slots=True)
class Said:
    """One record of the outbox."""

    topic: str
    key: str
    type: str | None
    data: Mapping[str, Any]
    envelope: Mapping[str, Any]
    value: bytes | None


@dataclass
class Service:
    """Feeds records to the routes, and takes what is said from the outbox."""

    pool: Pool
    settings: SequencesSettings
    positions: dict[str, dict[int, int]] = field(default_factory=dict)
    sent: int = 0

    async def hear(self, *records: tuple[str, str, bytes | None]) -> list[Said]:
        """Handle records of one topic in one batch; what is said then."""
        topic = records[0][0]
        pipeline = Pipeline("sequences", "sequences", self.pool)
        if topic not in self.positions:
            async with self.pool.acquire() as conn:
                self.positions[topic] = await offsets.load(conn, topic, beginnings={0: 0}, partitions=1)
        start = self.positions[topic][0]
        batch = [Record(topic, start + n, key.encode(), value) for n, (_, key, value) in enumerate(records)]
        await pipeline.handle(routes.build(self.settings).topics[topic], batch, self.positions[topic])
        return await self.said()

    async def ask(self, *asked: tuple[str, Mapping[str, Any]], actor: str = "ann") -> list[Said]:
        """Messages of one topic, by type and data, in one batch."""
        return await self.hear(*[self.record(kind, data, actor=actor) for kind, data in asked])

    def record(self, kind: str, data: Mapping[str, Any], *, actor: str = "ann") -> tuple[str, str, bytes]:
        self.sent += 1
        model = BY_TYPE[f"{kind}.v1"].model_validate(data)
        envelope = {"specversion": "1.0", "id": f"c{self.sent}", "source": "tests", "type": model.TYPE, "actor": actor}
        return model.TOPIC, model.key(), orjson.dumps({**envelope, "data": data})

    async def said(self) -> list[Said]:
        """Take what is in the outbox."""
        async with self.pool.acquire() as conn:
            rows = await conn.fetch("with o as (delete from outbox returning *) select * from o order by seq")
        return [_said(row["topic"], row["key"], row["value"]) for row in rows]

    async def erase(self) -> list[Said]:
        """What the erasure loop does until nothing is left to do."""
        pipeline = Pipeline("sequences", "sequences", self.pool)
        more = True
        while more:
            async with pipeline.begin() as tx:
                more = await erasures.erase_some(tx, sequences_max=2, versions_max=2)
        return await self.said()

    async def receive(self, epoch: int, *, sequence_id: str = "welcome") -> list[Said]:
        """Both receipts of a stop."""
        common = {"sequence_id": sequence_id, "epoch": epoch}
        first = await self.ask(("EntryClosed", {**common, "closed_at": RECEIVED["closed_at"]}))
        halted = {**common, "dropped": 5, "in_flight": 1, "halted_at": RECEIVED["halted_at"]}
        return [*first, *await self.ask(("SequenceHalted", halted))]

    async def erased(self, service: str, *, sequence_id: str = "welcome") -> list[Said]:
        return await self.ask(("SequenceErased", {"sequence_id": sequence_id, "service": service, "rows": {"row": 3}}))

    async def rows(self, table: str) -> int:
        async with self.pool.acquire() as conn:
            count: int = await conn.fetchval(f"select count(*) from {table}")
        return count


def _said(topic: str, key: bytes, value: bytes | None) -> Said:
    envelope = {} if value is None or topic == topics.SEQUENCES_QUARANTINE else orjson.loads(value)
    return Said(topic, key.decode(), envelope.get("type"), envelope.get("data", {}), envelope, value)


def types(said: list[Said]) -> list[str | None]:
    return [record.type and record.type.removesuffix(".v1") for record in said]


def of(said: list[Said], kind: str) -> Said:
    (found,) = [record for record in said if record.type == f"{kind}.v1"]
    return found


@pytest.fixture
def service(pool: Pool) -> Service:
    settings = SequencesSettings(
        database_url=SecretStr("postgresql://unused@127.0.0.1/unused"), kafka_bootstrap_servers=["127.0.0.1:1"]
    )
    return Service(pool, settings)


async def published(service: Service, sequence_id: str = "welcome") -> None:
    one = {"sequence_id": sequence_id}
    await service.ask(("SaveSequence", {**one, "definition": DEFINITION}), ("PublishSequence", one))


async def stopped(service: Service) -> None:
    await published(service)
    await service.ask(("PauseSequence", {"sequence_id": "welcome"}))
    await service.receive(1)


WELCOME = {"sequence_id": "welcome"}


async def test_saving_and_publishing_in_one_batch_keep_their_order(service: Service) -> None:
    said = await service.ask(("SaveSequence", {**WELCOME, "definition": DEFINITION}), ("PublishSequence", WELCOME))

    assert types(said) == [
        "SequenceSaved",
        "CommandAccepted",
        "SequencePublished",
        "VersionPublished",
        "CommandAccepted",
    ]
    assert [said[1].data["result"], said[4].data["result"]] == [{"revision": 1, "status": "draft"}, {"version": 1}]
    assert (said[2].data["draft"], said[2].data["published"], said[2].data["state_version"]) == (None, DEFINITION, 2)
    assert (said[3].topic, said[3].key) == ("sequences.versions", "welcome:1")
    assert {record.envelope["actor"] for record in said} == {"ann"}


async def test_a_definition_comes_back_as_it_was_saved(service: Service) -> None:
    odd = {"b": 1.0, "a": [None, True, {"z": "é\u2028", "y": {}}], "n": 9007199254740993}
    await service.ask(("SaveSequence", {**WELCOME, "definition": odd}))

    said = await service.ask(("PublishSequence", WELCOME), ("SaveSequence", {**WELCOME, "definition": DEFINITION}))
    again = await service.ask(
        ("DeleteSequence", {"sequence_id": "other"}), ("SaveSequence", {**WELCOME, "definition": odd})
    )

    assert of(said, "CommandRejected").data["code"] == "invalid"
    assert orjson.dumps(of(again, "SequenceSaved").data["draft"]) == orjson.dumps(odd)


async def test_a_stale_revision_overwrites_nothing(service: Service) -> None:
    await service.ask(("SaveSequence", {**WELCOME, "definition": DEFINITION}))

    stale = {**WELCOME, "definition": {"name": "mine"}, "expected_revision": 0}
    said = await service.ask(("SaveSequence", stale))
    after = await service.ask(("PublishSequence", WELCOME))

    assert of(said, "CommandRejected").data["code"] == "conflict"
    assert of(after, "SequencePublished").data["published"] == DEFINITION


async def test_a_refused_draft_names_its_faults_and_publishes_nothing(service: Service) -> None:
    await service.ask(("SaveSequence", {**WELCOME, "definition": {"steps": [], "delivery": {}}}))

    said = await service.ask(("PublishSequence", WELCOME))

    assert types(said) == ["CommandRejected"]
    places = {fault["place"] for fault in said[0].data["faults"]}
    assert {"name", "steps", "delivery"} <= places
    assert await service.rows("version") == 0


async def test_the_same_command_again_gets_the_same_answer_and_changes_nothing(service: Service) -> None:
    record = service.record("SaveSequence", {**WELCOME, "definition": DEFINITION})

    first = await service.hear(record)
    again = await service.hear(record)

    assert types(again) == ["CommandAccepted"]
    assert again[0].value == of(first, "CommandAccepted").value


async def test_a_pause_is_stopped_once_both_receipts_are_in(service: Service) -> None:
    await published(service)

    paused = await service.ask(("PauseSequence", {**WELCOME, "reason": "typo"}))
    before = await service.receive(0)
    said = await service.receive(1)

    assert of(paused, "CommandAccepted").data["result"] == {"epoch": 1}
    assert types(before) == []
    assert types(said) == ["SequenceStopped"]
    assert said[0].data["receipts"] == {
        "entry_closed_at": "2026-03-01T12:00:00.000000Z",
        "halted_at": "2026-03-01T12:00:00.000000Z",
        "dropped": 5,
        "in_flight": 1,
    }
    assert (said[0].data["state_version"], said[0].data["reason"]) == (4, "typo")


async def test_a_resume_that_waited_follows_from_who_asked_for_it(service: Service) -> None:
    await published(service)
    await service.ask(("PauseSequence", WELCOME))

    accepted = await service.ask(("ResumeSequence", WELCOME), actor="bob")
    said = await service.receive(1)

    assert types(accepted) == ["CommandAccepted"]
    assert accepted[0].data["result"] == {"epoch": 2}
    assert types(said) == ["SequenceStopped", "SequenceResumed"]
    assert said[1].envelope["actor"] == "bob"
    assert said[1].envelope["correlationid"] == accepted[0].data["command"]["id"]
    assert (said[1].data["status"], said[1].data["epoch"], said[1].data["state_version"]) == ("active", 2, 5)


async def test_the_active_clock_keeps_its_offset_over_many_pauses(service: Service) -> None:
    await stopped(service)
    first = of(await service.ask(("ResumeSequence", WELCOME)), "SequenceResumed").data
    await service.ask(("PauseSequence", WELCOME))
    await service.receive(3)
    second = of(await service.ask(("ResumeSequence", WELCOME)), "SequenceResumed").data

    assert 0 < first["clock_offset_seconds"] < second["clock_offset_seconds"]


async def test_a_deletion_goes_from_fence_to_tombstone(service: Service) -> None:
    await stopped(service)
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
    assert types(last) == ["SequenceErasureCompleted", None]
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
    await published(service)
    await service.ask(("DeleteSequence", WELCOME))
    await service.receive(1)
    (receipt,) = [record for record in await service.erase() if record.value is not None]
    await service.hear((receipt.topic, "welcome", receipt.value))
    await service.erased("enrollment")
    assert types(await service.erased("delivery")) == ["SequenceErasureCompleted", None]


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
    await published(service)
    assert await service.erased("delivery") == []
    await service.ask(("DeleteSequence", WELCOME))

    for name in ("delivery", "enrollment", "warehouse", "sequences"):
        assert await service.erased(name) == []

    assert await service.rows("erasure_receipt") == 4
    assert await service.rows("version") == 1


async def test_a_deletion_no_longer_waits_for_a_service_that_settings_do_not_name(service: Service) -> None:
    await published(service)
    await service.ask(("DeleteSequence", WELCOME))
    await service.receive(1)
    (receipt,) = [record for record in await service.erase() if record.value is not None]
    await service.hear((receipt.topic, "welcome", receipt.value))

    async with Pipeline("sequences", "sequences", service.pool).begin() as tx:
        after = await erasures.complete_waiting(tx, after="", sequences_max=10, services=["sequences"])

    assert after is None
    assert types(await service.said()) == ["SequenceErasureCompleted", None]


async def test_an_older_state_that_lands_late_is_answered_with_the_current_one(service: Service) -> None:
    save = ("SaveSequence", {**WELCOME, "definition": DEFINITION})
    saved = of(await service.ask(save), "SequenceSaved")
    second = of(await service.ask(("PublishSequence", WELCOME)), "SequencePublished")
    own = topics.SEQUENCES_EVENTS

    in_order = await service.hear((own, "welcome", saved.value), (own, "welcome", second.value))
    late = await service.hear((own, "welcome", saved.value))
    echo = await service.hear((own, "welcome", late[0].value))

    assert in_order == []
    assert types(late) == ["SequencePublished"]
    assert late[0].data == second.data
    assert late[0].envelope["id"] != second.envelope["id"]
    assert echo == []


async def test_a_tombstone_that_is_not_ours_is_answered_with_the_current_state(service: Service) -> None:
    await stopped(service)

    said = await service.hear((topics.SEQUENCES_EVENTS, "welcome", None), (topics.SEQUENCES_EVENTS, "other", None))

    assert types(said) == ["SequenceStopped"]


async def test_what_nobody_can_read_is_answered_with_the_state_as_a_newer_one(service: Service) -> None:
    await service.ask(("SaveSequence", {**WELCOME, "definition": DEFINITION}))
    published = of(await service.ask(("PublishSequence", WELCOME)), "SequencePublished")
    own = topics.SEQUENCES_EVENTS

    said = await service.hear((own, "welcome", b"no JSON"), (own, "other", b"no JSON"))

    again = of(said, "SequencePublished")
    assert [record.key for record in said if record.topic == topics.SEQUENCES_QUARANTINE] == ["welcome", "other"]
    assert len(said) == 3
    assert again.data["state_version"] == published.data["state_version"] + 1
    assert again.data["published"] == published.data["published"]


async def test_a_state_of_our_own_that_cannot_be_read_is_not_said_again_and_again(service: Service) -> None:
    saved = of(await service.ask(("SaveSequence", {**WELCOME, "definition": DEFINITION})), "SequenceSaved")
    broken = orjson.dumps({**saved.envelope, "data": {**saved.data, "epoch": "one"}})

    said = await service.hear((topics.SEQUENCES_EVENTS, "welcome", broken))

    assert [record.topic for record in said] == [topics.SEQUENCES_QUARANTINE]


async def test_a_value_that_lands_after_the_tombstone_is_answered_with_the_tombstone(service: Service) -> None:
    saved = await service.ask(("SaveSequence", {**WELCOME, "definition": DEFINITION}), ("PublishSequence", WELCOME))
    await service.ask(("DeleteSequence", WELCOME))
    await service.receive(1)
    (receipt,) = [record for record in await service.erase() if record.value is not None]
    await service.hear((receipt.topic, "welcome", receipt.value))
    await service.erased("enrollment")
    await service.erased("delivery")

    state = await service.hear((topics.SEQUENCES_EVENTS, "welcome", of(saved, "SequenceSaved").value))
    version = await service.hear((topics.SEQUENCES_VERSIONS, "welcome:1", of(saved, "VersionPublished").value))
    tombstones = await service.hear((topics.SEQUENCES_EVENTS, "welcome", None))

    assert [(r.topic, r.key, r.value) for r in state] == [(topics.SEQUENCES_EVENTS, "welcome", None)]
    assert [(r.topic, r.key, r.value) for r in version] == [(topics.SEQUENCES_VERSIONS, "welcome:1", None)]
    assert tombstones == []


async def test_a_version_that_lands_amid_the_erasure_is_answered_with_the_tombstone(service: Service) -> None:
    first = await service.ask(("SaveSequence", {**WELCOME, "definition": DEFINITION}), ("PublishSequence", WELCOME))
    await service.ask(("SaveSequence", {**WELCOME, "definition": {**DEFINITION, "name": "2"}}))
    second = await service.ask(("PublishSequence", WELCOME))
    await service.ask(("DeleteSequence", WELCOME))
    await service.receive(1)
    async with Pipeline("sequences", "sequences", service.pool).begin() as tx:
        await erasures.erase_some(tx, sequences_max=1, versions_max=1)
    erased = await service.said()

    stale = [(topics.SEQUENCES_VERSIONS, one.key, one.value) for one in (of(first, "VersionPublished"), *second[1:2])]
    said = await service.hear(*stale)

    assert [(r.key, r.value) for r in erased] == [("welcome:1", None)]
    assert [(r.topic, r.key, r.value) for r in said] == [(topics.SEQUENCES_VERSIONS, "welcome:1", None)]


def last_of(log: list[Said]) -> dict[str, Said]:
    return {record.key: record for record in log}


@pytest.mark.parametrize("seed", range(3))
async def test_a_frozen_relay_never_has_the_last_word(service: Service, seed: int) -> None:
    chance = random.Random(seed)
    log: dict[str, list[Said]] = {topics.SEQUENCES_EVENTS: [], topics.SEQUENCES_VERSIONS: []}

    def publish(said: list[Said]) -> list[Said]:
        for record in said:
            log.get(record.topic, []).append(record)
        return said

    async def read_back(*, late: int) -> None:
        """The service reads what was published, and what a relay that was frozen publishes once more."""
        for topic, records in log.items():
            start = service.positions.get(topic, {0: 0})[0]
            records += chance.sample(records, min(late, len(records)))
            if records[start:]:
                publish(await service.hear(*[(topic, one.key, one.value) for one in records[start:]]))

    lives = ((1, ("PauseSequence", "ResumeSequence")), (3, ("PauseSequence",)), (4, ("DeleteSequence",)))
    for epoch, kinds in lives:
        for number in range(2):
            definition = {**DEFINITION, "name": f"{epoch}.{number}"}
            publish(await service.ask(("SaveSequence", {**WELCOME, "definition": definition})))
            publish(await service.ask(("PublishSequence", WELCOME)))
            await read_back(late=2)
        for kind in kinds:
            publish(await service.ask((kind, WELCOME)))
            await read_back(late=2)
        publish(await service.receive(epoch))
        await read_back(late=2)
        await read_back(late=0)
        newest = max(one.data["state_version"] for one in log[topics.SEQUENCES_EVENTS])
        assert last_of(log[topics.SEQUENCES_EVENTS])["welcome"].data["state_version"] == newest
    for _ in range(4):  # two versions at a time, then the receipt
        async with Pipeline("sequences", "sequences", service.pool).begin() as tx:
            await erasures.erase_some(tx, sequences_max=1, versions_max=2)
        erased = publish(await service.said())
        await read_back(late=3)
    publish(await service.hear((erased[-1].topic, "welcome", erased[-1].value)))
    for name in ("enrollment", "delivery"):
        publish(await service.erased(name))
        await read_back(late=3)
    await read_back(late=0)

    assert await service.rows("sequence") == 0
    for records in log.values():
        assert {one.value for one in last_of(records).values()} == {None}


async def test_no_table_holds_the_canary_after_the_completion(service: Service) -> None:
    await published(service)
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
