"""The topics as `deploy/kafka/topics.yaml` has them: one file, several profiles."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

PARTITIONS_MAX: Final = 1_000

_DURATION: Final = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)")
_MILLISECONDS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


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
