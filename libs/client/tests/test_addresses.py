"""Where the client looks for Kafka."""

import json
from pathlib import Path

import pytest
from sluice import NoAddress
from sluice.addresses import VARIABLE, find


def test_what_is_given_comes_first(tmp_path: Path) -> None:
    found = find("a:1, b:2", environment={VARIABLE: "c:3"}, folder=tmp_path)

    assert found.servers == ("a:1", "b:2")


@pytest.mark.parametrize("value", ["a:1,b:2", '["a:1", "b:2"]'])
def test_then_the_environment(tmp_path: Path, value: str) -> None:
    assert find(environment={VARIABLE: value}, folder=tmp_path).servers == ("a:1", "b:2")


def test_then_the_local_stack_of_the_checkout_around_the_folder(tmp_path: Path) -> None:
    (tmp_path / ".devstack").mkdir()
    (tmp_path / ".devstack" / "ports.json").write_text(json.dumps({"postgres": 1, "kafka": 29092}))
    inside = tmp_path / "docs" / "decisions"
    inside.mkdir(parents=True)

    found = find(environment={}, folder=inside)

    assert found.servers == ("127.0.0.1:29092",)
    assert "sluice dev up" in found.hint


def test_else_it_says_the_three_ways_to_name_it(tmp_path: Path) -> None:
    with pytest.raises(NoAddress, match=VARIABLE) as unknown:
        find(environment={}, folder=tmp_path)

    assert "--bootstrap" in str(unknown.value)
    assert "sluice dev up" in str(unknown.value)


@pytest.mark.parametrize("value", ["nonsense", "host:", ":9092", "[1", ","])
def test_an_address_that_is_none_is_said_at_once(tmp_path: Path, value: str) -> None:
    with pytest.raises(NoAddress, match="host:port"):
        find(value, environment={}, folder=tmp_path)
