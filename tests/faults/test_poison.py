"""Poison is poison: each service's own routes say of each record what the scene says that becomes of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from messaging.inbound import Inbound, read
from testkit.checker.invariants.poison import READERS

from tests.faults.poison import TYPES, Bad, of
from tests.faults.scenes.records import STOPPING
from tests.routes import TOPICS_OF

UNBEARABLE = "a definition that is none"
"""It can be read, and handlers fail on it."""
CASES = [(topic, bad) for topic in TYPES for bad in of(topic, name="poison")]


@dataclass
class Given:
    """A record of Kafka."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    partition: int = 0
    offset: int = 0


def read_by(service: str, topic: str, bad: Bad) -> Inbound:
    routes = TOPICS_OF[service][topic]
    record = Given(topic, bad.key, bad.value, bad.headers)
    return read(record, routes.models, known=routes.known, fenced=routes.fence is not None)


def test_every_topic_that_is_read_is_poisoned() -> None:
    assert TYPES.keys() == READERS.keys()


@pytest.mark.parametrize(
    ("topic", "bad"), [pytest.param(topic, bad, id=f"{topic}: {bad.what}") for topic, bad in CASES]
)
def test_what_becomes_of_a_record_is_what_its_readers_make_of_it(topic: str, bad: Bad) -> None:
    found = {service: read_by(service, topic, bad) for service in READERS[topic]}

    broken = {service for service, one in found.items() if one.broken is not None}
    troubled = {service for service in found if bad.kind == "poison" and service not in bad.untroubled}
    assert broken == (set() if bad.what == UNBEARABLE else troubled)
    assert all(one.message is None for one in found.values()) or bad.what == UNBEARABLE
    assert {one.refused is not None for one in found.values()} == {bad.kind == "refused"}


def test_only_what_may_be_a_stop_stops() -> None:
    stopping = {topic for topic, bad in CASES if bad.stops}

    assert stopping == set(STOPPING)
    assert all(bad.kind == "poison" for _, bad in CASES if bad.stops)


def test_no_id_stands_twice() -> None:
    numbers = [bad.id for _, bad in CASES]

    assert len(numbers) == len(set(numbers))
