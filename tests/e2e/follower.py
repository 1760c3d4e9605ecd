"""Follows sequences from `sequences.events` alone, with a Kafka client and the published document: nothing of Sluice.

`python follower.py HOST:PORT ASYNCAPI.yaml [--until-present]` writes one JSON object a line: first what it has loaded,
then `{"key", "state"}` for each state that it takes over (null: gone), `{"ignored", "state_version"}` for each that is
not newer, and `{"present": true}` when it has come to where the topic ended at its start. It ends with 1 at a record
that is not as published.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import yaml
from aiokafka import AIOKafkaConsumer
from jsonschema import Draft202012Validator

CHANNEL = "sequences.events"


class Published:
    """What the document says of the channel: its address, and the schemas of its keys and payloads by type."""

    def __init__(self, document: dict[str, Any]) -> None:
        channel = document["channels"][CHANNEL]
        self.topic: str = channel["address"]
        self._payloads: dict[str, Draft202012Validator] = {}
        self._keys: dict[str, Draft202012Validator] = {}
        for name, reference in channel["messages"].items():
            message = _at(document, reference["$ref"])
            within = {"components": document["components"]}
            self._payloads[name] = Draft202012Validator(within | message["payload"])
            self._keys[name] = Draft202012Validator(within | message["bindings"]["kafka"]["key"])

    def check(self, key: str, payload: Any) -> None:
        """ValidationError or KeyError for a record that is not as published."""
        name = "Tombstone" if payload is None else payload["type"]
        self._keys[name].validate(key)
        self._payloads[name].validate(payload)


class Follower:
    """The states as its rules say: a tombstone forgets, an older or repeated version is passed over."""

    def __init__(self) -> None:
        self._versions: dict[str, int] = {}

    def take(self, key: str, payload: Any) -> dict[str, Any]:
        if payload is None:
            self._versions.pop(key, None)
            return {"key": key, "state": None}
        state = payload["data"]
        if state["state_version"] <= self._versions.get(key, -1):
            return {"ignored": key, "state_version": state["state_version"]}
        self._versions[key] = state["state_version"]
        return {"key": key, "state": state}


async def follow(bootstrap: str, published: Published, *, until_present: bool) -> None:
    """From the beginning, for as long as is asked."""
    consumer = AIOKafkaConsumer(published.topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        partitions = sorted(consumer.assignment())  # without a group: all of them
        ends = await consumer.end_offsets(partitions)
        follower, present = Follower(), False
        while not (present and until_present):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    key, payload = record.key.decode(), json.loads(record.value or b"null")
                    published.check(key, payload)
                    say(follower.take(key, payload))
            if not present and all([await consumer.position(one) >= ends[one] for one in partitions]):
                present = True
                say({"present": True})
    finally:
        await consumer.stop()


def _at(document: dict[str, Any], reference: str) -> dict[str, Any]:
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return dict(found)


def say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("bootstrap")
    parser.add_argument("document", type=Path)
    parser.add_argument("--until-present", action="store_true")
    given = parser.parse_args()
    published = Published(yaml.safe_load(given.document.read_text()))
    say({"loaded": sorted({name.partition(".")[0] for name in sys.modules})})
    asyncio.run(follow(given.bootstrap, published, until_present=given.until_present))


if __name__ == "__main__":
    main()
