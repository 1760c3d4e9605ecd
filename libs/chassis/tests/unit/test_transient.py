"""What is retried and what is not, told by type and SQLSTATE alone."""

import asyncio
import ssl

import asyncpg
import pytest
from chassis.pool import is_transient

OUTSIDE = [
    "08000", "08001", "08003", "08004", "08006", "08P01", "25006", "25P03", "40001", "40003", "40P01",
    "53000", "53100", "53200", "53300", "55P03", "57014", "57P01", "57P02", "57P03", "57P05", "58000", "58030",
]  # fmt: skip
IN_THE_DATA_OR_THE_CODE = [
    "22001",
    "22021",
    "22P02",
    "23502",
    "23505",
    "23514",
    "28P01",
    "3F000",
    "42501",
    "42601",
    "42P01",
]


@pytest.mark.parametrize("sqlstate", OUTSIDE)
def test_an_outage_by_its_sqlstate_is_transient(sqlstate: str) -> None:
    assert is_transient(asyncpg.PostgresError.new({"C": sqlstate, "M": "told by the state alone"}))


@pytest.mark.parametrize("sqlstate", IN_THE_DATA_OR_THE_CODE)
def test_a_fault_in_the_data_or_the_code_is_not(sqlstate: str) -> None:
    assert not is_transient(asyncpg.PostgresError.new({"C": sqlstate, "M": "connection is closed, timeout, deadlock"}))


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError("reset"),
        OSError("no route"),
        TimeoutError(),
        ssl.SSLError("torn"),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.InternalClientError("got result for unknown protocol state"),
        ExceptionGroup("all of them", [OSError("one"), TimeoutError()]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_lost_connection_is_transient(error: Exception) -> None:
    assert is_transient(error)


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.exceptions._base.DataError("invalid input for query argument $1"),
        asyncpg.exceptions._base.ClientConfigurationError("bad address"),
        ValueError("x"),
        KeyError("x"),
        TypeError("x"),
        asyncio.CancelledError(),
        ExceptionGroup("not all", [OSError("one"), ValueError("other")]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_bug_or_a_cancellation_is_not(error: BaseException) -> None:
    assert not is_transient(error)
