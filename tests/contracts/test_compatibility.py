"""A message version only grows: what is on the wire once is read for ever."""

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sluice_contracts import compatibility
from sluice_contracts.compatibility import breaks, edited, faults
from sluice_contracts.registry import ALL, BY_TYPE
from sluice_contracts.schemas import schemas

CONTRACTS = Path(__file__).parents[2] / "libs" / "contracts"
BASELINE, GOLDEN = CONTRACTS / "baseline", CONTRACTS / "golden"
Change = Callable[[dict[str, Any]], None]


def test_the_models_break_nothing_that_was_published() -> None:
    assert faults(BASELINE, GOLDEN) == []


def test_every_message_and_the_definition_have_a_baseline() -> None:
    assert {path.stem for path in BASELINE.glob("*.json")} == set(schemas())


def test_every_message_version_has_one_golden_file() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == {message.TYPE for message in ALL}


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_a_golden_file_is_read_and_written_as_it_stands(path: Path) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    data = document.get("data", document)

    read = BY_TYPE[path.stem].model_validate(data)

    assert json.loads(read.to_json()) == data


def test_an_edited_a_removed_and_an_unrecorded_golden_file_are_each_named(tmp_path: Path) -> None:
    golden = tmp_path / "golden"
    shutil.copytree(GOLDEN, golden)
    (golden / "MessageSent.v1.json").write_text("{}")
    (golden / "EntryClosed.v1.json").unlink()
    (golden / "Strange.v1.json").write_text("{}")

    assert edited(golden) == [
        "EntryClosed.v1.json: the golden file was removed",
        "MessageSent.v1.json: the golden file was edited",
        "Strange.v1.json: the golden file is not in SHA256SUMS",
    ]


def _remove(schema: dict[str, Any]) -> None:
    del schema["properties"]["reason"]


def _require(schema: dict[str, Any]) -> None:
    schema["required"].append("reason")


def _narrow_type(schema: dict[str, Any]) -> None:
    schema["properties"]["epoch"] = {"type": "string"}


def _shorten(schema: dict[str, Any]) -> None:
    schema["properties"]["reason"] = {"type": "string", "maxLength": 3}


def _narrow_values(schema: dict[str, Any]) -> None:
    schema["properties"]["status"]["enum"].remove("paused")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_remove, "data.reason: was removed"),
        (_require, "data.reason: became required"),
        (_narrow_type, "data.epoch: its type was narrowed"),
        (_shorten, "data.reason: "),
        (_narrow_values, "data.status: its list of values was narrowed"),
    ],
)
def test_a_removed_field_or_a_narrowed_type_is_refused(change: Change, sentence: str) -> None:
    old = schemas()["SequencePaused.v1"]
    new = copy.deepcopy(old)
    change(new)

    found = [str(one) for one in breaks(old, new, written_by_others=False)]

    assert any(one.startswith(sentence) for one in found), found


def test_a_new_optional_field_is_no_break() -> None:
    old = schemas()["SequencePaused.v1"]
    new = copy.deepcopy(old)
    new["properties"]["colour"] = {"type": "string"}

    assert breaks(old, new, written_by_others=False) == []


def test_what_others_write_may_be_widened_and_what_we_write_may_not() -> None:
    old = schemas()["PauseSequence.v1"]
    new = copy.deepcopy(old)
    new["properties"]["sequence_id"] = {"type": ["string", "integer"]}

    assert breaks(old, new, written_by_others=True) == []
    assert breaks(old, new, written_by_others=False) != []


def test_the_command_says_what_is_broken_and_ends_with_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compatibility, "__file__", str(tmp_path / "src" / "sluice_contracts" / "compatibility.py"))
    shutil.copytree(BASELINE, tmp_path / "baseline")
    shutil.copytree(GOLDEN, tmp_path / "golden")
    (tmp_path / "golden" / "MessageSent.v1.json").write_text("{}")

    code = compatibility.main([])

    assert (code, capsys.readouterr().err) == (1, "MessageSent.v1.json: the golden file was edited\n")
