"""What FastStream does by default loses records: none of its defaults is left where it matters."""

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from chassis.health import Health
from faststream import AckPolicy
from messaging import Routes, Service
from prometheus_client import CollectorRegistry
from sluice_contracts import topics

from libs.messaging.tests.bench import NAME, ROOT, Bench, Recorder, everything

pytestmark = pytest.mark.stack


async def test_every_subscriber_is_at_least_once_from_the_earliest_and_creates_no_topic(bench: Bench) -> None:
    health = Health(registry=CollectorRegistry())
    service = Service(routes=everything(Recorder()), pool=bench.pool, kafka=bench.servers.kafka, health=health)
    subscribers = [reader._subscriber for reader in service._readers]

    assert len(service._broker.subscribers) == len(subscribers)
    assert {tuple(one.topic_names) for one in subscribers} == {
        (topics.SEQUENCES_COMMANDS,),
        (topics.SEQUENCES_EVENTS,),
        (topics.CONTACTS_EVENTS,),
        (topics.DELIVERY_EVENTS,),
    }
    assert {one.ack_policy for one in subscribers} == {AckPolicy.NACK_ON_ERROR}
    assert {one._connection_args["auto_offset_reset"] for one in subscribers} == {"earliest"}
    assert {one._connection_args["enable_auto_commit"] for one in subscribers} == {False}
    assert len({one.group_id for one in subscribers}) == len(subscribers)
    assert service._broker.config.broker_config.allow_auto_create_topics is False


def test_subscribers_are_made_in_one_place() -> None:
    makers = [
        file.relative_to(ROOT).as_posix()
        for folder in ("libs", "services")
        for file in (ROOT / folder).rglob("src/**/*.py")
        if ".subscriber(" in file.read_text()
    ]

    assert makers == ["libs/messaging/src/messaging/consume.py"]


def test_a_topic_that_is_not_of_the_contract_is_refused() -> None:
    routes = Routes(NAME)

    with pytest.raises(ValueError, match="not a topic of the contract"):
        routes.on_tombstone("made.up", Recorder().bury)


async def test_a_service_makes_no_topics(bench: Bench) -> None:
    async def names() -> set[str]:
        admin = AIOKafkaAdminClient(bootstrap_servers=bench.servers.kafka)
        await admin.start()
        try:
            return {name for name in await admin.list_topics() if not name.startswith("__")}
        finally:
            await admin.close()

    before = await names()
    async with bench.service(everything(Recorder())):
        after = await names()

    assert after == before == topics.ALL_TOPICS
