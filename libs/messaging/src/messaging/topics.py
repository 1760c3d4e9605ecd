"""The provisioning of a cluster from `deploy/kafka/topics.yaml`."""

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from sluice_contracts.topics_file import TopicsFault, TopicSpec, load

__all__ = ["Report", "TopicSpec", "TopicsFault", "load", "main", "provision"]

REQUEST_MILLISECONDS_MAX: Final = 30_000

_UNKNOWN_TOPIC: Final = 3
_DYNAMIC_TOPIC_SETTING: Final = 1  # ConfigSource.DYNAMIC_TOPIC_CONFIG of the protocol: set on the topic itself


@dataclass(frozen=True, slots=True)
class Report:
    """What provisioning did, by topic."""

    created: tuple[str, ...] = ()
    altered: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The settings that were changed."""
    unchanged: tuple[str, ...] = ()


async def provision(bootstrap: Sequence[str], specs: Sequence[TopicSpec]) -> Report:
    """Make the cluster have these topics: create what is missing, set what differs, delete nothing.

    Settings that are on a topic and not in its spec stay. A different number of partitions is refused (TopicsFault)
    before anything is changed. Safe to run at the same time twice, and again.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=list(bootstrap), request_timeout_ms=REQUEST_MILLISECONDS_MAX)
    try:
        await admin.start()
        partitions = await _partitions(admin, [spec.name for spec in specs])
        _refuse_other_partitions(specs, partitions)
        missing = [spec for spec in specs if spec.name not in partitions]
        created = await _create(admin, missing)
        present = [spec for spec in specs if spec.name not in created]
        altered = await _alter(admin, present)
    finally:
        await admin.close()
    unchanged = tuple(spec.name for spec in present if spec.name not in altered)
    return Report(created=created, altered=altered, unchanged=unchanged)


async def _partitions(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, int]:
    """How many partitions each of these topics has; those that do not exist are left out."""
    existing = await admin.list_topics()
    wanted = [name for name in names if name in set(existing)]
    if not wanted:
        return {}
    return {
        topic["topic"]: len(topic["partitions"])
        for topic in await admin.describe_topics(wanted)
        if topic["error_code"] != _UNKNOWN_TOPIC
    }


def _refuse_other_partitions(specs: Sequence[TopicSpec], partitions: Mapping[str, int]) -> None:
    different = [
        f"{spec.name} has {partitions[spec.name]} partitions and should have {spec.partitions}"
        for spec in specs
        if spec.name in partitions and partitions[spec.name] != spec.partitions
    ]
    if different:
        raise TopicsFault(f"partition counts are never changed in place: {'; '.join(different)}")


async def _create(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> tuple[str, ...]:
    """Create these topics; those that somebody else has just created are not in the answer."""
    if not specs:
        return ()
    response = await admin.create_topics(
        [
            NewTopic(spec.name, spec.partitions, spec.replication_factor, topic_configs=dict(spec.config))
            for spec in specs
        ]
    )
    created = []
    for name, code, reason, *_ in response.topic_errors:
        if code == 0:
            created.append(name)
        elif for_code(code) is not TopicAlreadyExistsError:
            raise TopicsFault(f"{name}: the broker did not create it: {for_code(code).__name__} {reason or ''}".strip())
    return tuple(created)


async def _alter(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> dict[str, tuple[str, ...]]:
    """Set what differs. The request replaces all that is set on a topic, so what is there already goes with it."""
    actual = await _settings(admin, [spec.name for spec in specs])
    altered: dict[str, tuple[str, ...]] = {}
    resources = []
    for spec in specs:
        effective, own = actual[spec.name]
        different = tuple(setting for setting, value in spec.config.items() if effective.get(setting) != value)
        if different:
            altered[spec.name] = different
            resources.append(ConfigResource(ConfigResourceType.TOPIC, spec.name, {**own, **spec.config}))
    if resources:
        for response in await admin.alter_configs(resources):
            for code, reason, _, name, *_ in response.resources:
                if code:
                    raise TopicsFault(f"{name}: the broker did not take its settings: {reason or for_code(code)}")
    return altered


async def _settings(
    admin: AIOKafkaAdminClient, names: Sequence[str]
) -> dict[str, tuple[dict[str, str], dict[str, str]]]:
    """Per topic: the settings in force, and those of them that are set on the topic itself."""
    if not names:
        return {}
    settings = {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    for response in await admin.describe_configs(resources):
        for code, reason, _, name, entries, *_ in response.resources:
            if code:
                raise TopicsFault(f"{name}: the broker did not tell its settings: {reason or for_code(code)}")
            effective = {entry[0]: entry[1] for entry in entries}
            own = {entry[0]: entry[1] for entry in entries if entry[3] == _DYNAMIC_TOPIC_SETTING}
            settings[name] = (effective, own)
    return settings


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m messaging.topics`: provision a cluster; 0 when it is as the file says, 1 with a sentence if not."""
    parser = argparse.ArgumentParser(prog="python -m messaging.topics", description=main.__doc__)
    parser.add_argument("--file", type=Path, required=True, help="deploy/kafka/topics.yaml")
    parser.add_argument("--profile", required=True, help="production or local")
    parser.add_argument("--bootstrap", required=True, help="host:port, several with commas")
    options = parser.parse_args(arguments)
    try:
        specs = load(options.file, options.profile)
        report = asyncio.run(provision(options.bootstrap.split(","), specs))
    except TopicsFault as fault:
        sys.stderr.write(f"{fault}\n")
        return 1
    except KafkaError as error:
        sys.stderr.write(f"no Kafka cluster answered at {options.bootstrap}: {type(error).__name__}\n")
        return 1
    for name in report.created:
        sys.stdout.write(f"created {name}\n")
    for name, settings in report.altered.items():
        sys.stdout.write(f"changed {name}: {', '.join(settings)}\n")
    sys.stdout.write(
        f"topics: {len(report.created)} created, {len(report.altered)} changed, {len(report.unchanged)} as they were\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
