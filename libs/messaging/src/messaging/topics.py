"""The topics as `deploy/kafka/topics.yaml` has them, and the provisioning of a cluster from it."""

import argparse
import asyncio
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

REQUEST_MILLISECONDS_MAX: Final = 30_000
PARTITIONS_MAX: Final = 1_000

_DURATION: Final = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)")
_MILLISECONDS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_UNKNOWN_TOPIC: Final = 3
_DYNAMIC_TOPIC_SETTING: Final = 1  # ConfigSource.DYNAMIC_TOPIC_CONFIG of the protocol: set on the topic itself


class TopicsFault(Exception):
    """The file or the cluster is not as it must be; the text says where and what."""


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic of one profile; `config` is in Kafka's own words."""

    name: str
    kind: str
    key: str
    written_by: str
    partitions: int
    replication_factor: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Report:
    """What provisioning did, by topic."""

    created: tuple[str, ...] = ()
    altered: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The settings that were changed."""
    unchanged: tuple[str, ...] = ()


def load(path: Path, profile: str) -> tuple[TopicSpec, ...]:
    """Read the topics of one profile, in the file's order. TopicsFault names the place of what is wrong."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        profiles, kinds, topics = document["profiles"], document["kinds"], document["topics"]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise TopicsFault(f"{path}: cannot be read as a file of topics ({type(error).__name__})") from error
    if profile not in profiles:
        raise TopicsFault(f"{path}: there is no profile {profile}; it has {', '.join(profiles)}")
    return tuple(_spec(name, entry, profile=profile, profiles=profiles, kinds=kinds) for name, entry in topics.items())


def _spec(
    name: str, entry: Mapping[str, Any], *, profile: str, profiles: Mapping[str, Any], kinds: Mapping[str, Any]
) -> TopicSpec:
    try:
        settings = {
            **profiles[profile]["settings"],
            **kinds[entry["kind"]][profile],
            **entry.get("settings", {}).get(profile, {}),
        }
        spec = TopicSpec(
            name=name,
            kind=entry["kind"],
            key=entry["key"],
            written_by=entry["written_by"],
            partitions=entry["partitions"][profile],
            replication_factor=profiles[profile]["replication_factor"],
            config={setting: _in_kafkas_words(setting, value) for setting, value in sorted(settings.items())},
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise TopicsFault(f"topics.{name}: {error} is missing or misplaced") from error
    if not isinstance(spec.partitions, int) or not 1 <= spec.partitions <= PARTITIONS_MAX:
        raise TopicsFault(f"topics.{name}.partitions.{profile}: must be 1 to {PARTITIONS_MAX}")
    return spec


def _in_kafkas_words(setting: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not setting.endswith(".ms"):
        return str(value)
    found = _DURATION.fullmatch(str(value))
    if found is None:
        raise TopicsFault(f"{setting}: must be a duration such as 7d, 12h, 30m, 10s or 500ms")
    return str(int(found[1]) * _MILLISECONDS[found[2]])


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
