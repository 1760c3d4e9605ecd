"""The published documents are what the code would write, and valid AsyncAPI 3."""

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from sluice_contracts import topics
from sluice_contracts.asyncapi import SERVICES as DOCUMENTED
from sluice_contracts.generate import documents, main, stale
from sluice_contracts.registry import ALL

from tests.routes import TOPICS_OF

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "docs" / "asyncapi"
OFFICIAL = Path(__file__).with_name("asyncapi-3.0.0.json")
SERVICES = ("sequences", "enrollment", "delivery", "console")


def published(service: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((PUBLISHED / f"{service}.yaml").read_text(encoding="utf-8"))
    return document


@pytest.mark.parametrize("service", SERVICES)
def test_the_document_is_valid_by_the_official_schema(service: str) -> None:
    schema = json.loads(OFFICIAL.read_text(encoding="utf-8"))

    faults = [error.message for error in jsonschema.Draft7Validator(schema).iter_errors(published(service))]

    assert faults == []


@pytest.mark.parametrize("service", SERVICES)
def test_the_official_schema_refuses_a_document_without_a_title(service: str) -> None:
    schema = json.loads(OFFICIAL.read_text(encoding="utf-8"))
    document = published(service)
    del document["info"]["title"]

    assert not jsonschema.Draft7Validator(schema).is_valid(document)


@pytest.mark.parametrize("service", SERVICES)
def test_every_reference_of_a_document_leads_somewhere(service: str) -> None:
    document = published(service)

    def follow(node: Any) -> None:
        if isinstance(node, dict):
            reference = node.get("$ref")
            if isinstance(reference, str):
                assert reference.startswith("#/"), reference
                target: Any = document
                for part in reference[2:].split("/"):
                    target = target[part.replace("~1", "/").replace("~0", "~")]
            for child in node.values():
                follow(child)
        elif isinstance(node, list):
            for child in node:
                follow(child)

    follow(document)


def test_every_topic_and_every_message_stands_in_a_document() -> None:
    found = [published(service) for service in SERVICES]

    addresses = {channel["address"] for document in found for channel in document["channels"].values()}
    named = {
        message.get("name", key) for document in found for key, message in document["components"]["messages"].items()
    }

    assert addresses >= topics.ALL_TOPICS
    assert named >= {message.TYPE for message in ALL}


def test_a_document_names_what_its_service_reads() -> None:
    assert {one.name: set(one.receives) for one in DOCUMENTED} == {name: set(t) for name, t in TOPICS_OF.items()}


def test_every_schema_is_a_valid_one_and_holds_for_its_golden_file() -> None:
    for path in sorted((PUBLISHED / "schemas").glob("*.json")):
        schema = json.loads(path.read_text(encoding="utf-8"))
        jsonschema.Draft202012Validator.check_schema(schema)
        golden = ROOT / "libs" / "contracts" / "golden" / path.name
        if golden.exists():
            document = json.loads(golden.read_text(encoding="utf-8"))
            jsonschema.validate(document.get("data", document), schema)


def test_what_is_published_is_what_the_code_would_write() -> None:
    assert stale(ROOT) == []


def test_a_stale_document_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in documents(ROOT):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    for folder in ("deploy/kafka", "libs/contracts/golden"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    edited = tmp_path / "docs" / "asyncapi" / "delivery.yaml"
    edited.write_text(edited.read_text(encoding="utf-8").replace("MessageSent", "MessageGone", 1), encoding="utf-8")

    code = main(["--check", "--root", str(tmp_path)])

    assert (code, capsys.readouterr().err) == (1, "docs/asyncapi/delivery.yaml is stale: run `make contracts`\n")
