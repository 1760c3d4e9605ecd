"""Log lines are JSON with fields; what is personal or secret is not in them, whoever wrote the line."""

import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

import asyncpg
import pytest
import structlog
from chassis import clock
from chassis.logging import configure
from pydantic import BaseModel, SecretStr, ValidationError

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stdout", written)
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    structlog.reset_defaults()
    configure("sequences", "info")

    def read() -> list[dict[str, Any]]:
        text = written.getvalue()
        written.seek(0)
        written.truncate()
        return [json.loads(line) for line in text.splitlines()]

    yield read
    root.handlers = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


class Contact(BaseModel):
    email: int


def test_a_line_says_what_when_and_which_service(lines: Lines) -> None:
    structlog.get_logger().info("message_handled", outcome="accepted", count=3)

    [line] = lines()
    assert line["event"] == "message_handled"
    assert (line["service"], line["level"], line["outcome"], line["count"]) == ("sequences", "info", "accepted", 3)
    assert line["time"].endswith("Z")


def test_lines_below_the_level_are_not_written(lines: Lines) -> None:
    structlog.get_logger().debug("detail")
    logging.getLogger("library").debug("detail")

    assert lines() == []


def test_the_standard_librarys_loggers_write_the_same_lines(lines: Lines) -> None:
    structlog.contextvars.bind_contextvars(topic="sequences.commands")
    logging.getLogger("library.part").warning("retrying %d times", 3)
    structlog.contextvars.clear_contextvars()

    [line] = lines()
    assert line["event"] == "retrying 3 times"
    assert (line["logger"], line["level"], line["topic"]) == ("library.part", "warning", "sequences.commands")


def test_bodies_and_secrets_are_withheld_whoever_passes_them(lines: Lines) -> None:
    structlog.get_logger().info("sent", body="Hi Ada", addresses={"email": "ada@x"}, key=SecretStr("hunter2"), what={1})

    [line] = lines()
    assert "Ada" not in str(line)
    assert "ada@x" not in str(line)
    assert "hunter2" not in str(line)


def _raise_postgres() -> None:
    raise asyncpg.PostgresError.new({"C": "23505", "M": "duplicate ada@x", "D": "Key (email)=(ada@x) already exists."})


def _raise_validation() -> None:
    Contact.model_validate({"email": "ada@x"})


def _raise_value() -> None:
    int("ada@x")


def _raise_lookup() -> None:
    nobody: dict[str, int] = {}
    nobody["ada@x"] += 1


@pytest.mark.parametrize("fault", [_raise_postgres, _raise_validation, _raise_value, _raise_lookup])
@pytest.mark.parametrize("through", ["structlog", "stdlib"])
def test_an_exception_that_quotes_data_is_told_by_type_and_place(
    fault: Callable[[], None], through: str, lines: Lines
) -> None:
    try:
        fault()
    except Exception:
        if through == "structlog":
            structlog.get_logger().exception("message_failed")
        else:
            logging.getLogger("library").exception("message failed")

    [line] = lines()
    assert line["error"]["type"]
    assert fault.__name__ in "".join(line["error"]["at"])
    assert "ada@x" not in str(line)


def test_an_outage_is_told_with_its_text_its_sqlstate_and_its_cause(lines: Lines) -> None:
    try:
        try:
            raise ConnectionRefusedError("127.0.0.1:5432")
        except OSError as error:
            raise asyncpg.PostgresError.new({"C": "57P01", "M": "terminating connection"}) from error
    except asyncpg.PostgresError:
        structlog.get_logger().exception("database_lost")

    [line] = lines()
    assert line["error"]["text"] == "terminating connection"
    assert line["error"]["sqlstate"] == "57P01"
    assert line["error"]["from"]["text"] == "127.0.0.1:5432"


def test_a_wrong_field_is_named_by_its_place(lines: Lines) -> None:
    try:
        _raise_validation()
    except ValidationError:
        structlog.get_logger().exception("refused")

    assert lines()[0]["error"]["text"] == "email: int_parsing"


def test_a_storm_of_one_kind_of_line_from_aiokafka_is_counted_instead_of_written(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(clock, "monotonic", lambda: now)
    noisy = logging.getLogger("aiokafka.conn")
    for node in range(1000):
        noisy.error("Unable to connect to node %d", node)
    noisy.error("another kind")
    during = lines()
    now += 11.0
    noisy.error("Unable to connect to node %d", 7)

    assert [line["event"] for line in during] == [f"Unable to connect to node {n}" for n in range(5)] + ["another kind"]
    [later] = lines()
    assert later["suppressed"] == 995


def test_our_own_lines_are_never_limited(lines: Lines) -> None:
    for number in range(50):
        structlog.get_logger().info("message_handled", number=number)

    assert len(lines()) == 50


def test_a_library_that_writes_to_the_terminal_by_itself_writes_through_us(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, ours = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", ours)
    logger = logging.getLogger("stubborn")
    logger.addHandler(logging.StreamHandler(own))
    logger.propagate = False

    configure("sequences", "info")
    logger.warning("hello")

    assert json.loads(ours.getvalue())["event"] == "hello"
    assert own.getvalue() == ""
