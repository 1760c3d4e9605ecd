"""Envelopes: what is read, what is refused, and that nothing else can happen."""

import contextlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sluice_contracts.envelope import HEADERS, Envelope, InvalidEnvelope, actor_of, decode, encode

NOON = datetime(2026, 3, 2, 12, 0, 0, 1, tzinfo=UTC)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def document(**changes: Any) -> bytes:
    whole = {"specversion": "1.0", "id": "1", "source": "here", "type": "PauseSequence.v1", "data": {"a": 1}} | changes
    return json.dumps({name: value for name, value in whole.items() if value is not ...}).encode()


def binary(**changes: bytes) -> list[tuple[str, bytes | None]]:
    whole = {"ce_specversion": b"1.0", "ce_id": b"1", "ce_source": b"here", "ce_type": b"PauseSequence.v1"} | changes
    return list(whole.items())


@pytest.mark.parametrize("headers", [HEADERS, [], [("Content-Type", b"application/cloudevents+json; charset=utf-8")]])
def test_structured_mode_is_read_with_and_without_its_content_type(headers: list[tuple[str, bytes | None]]) -> None:
    found = decode(document(), headers)

    assert found == Envelope(id="1", source="here", type="PauseSequence.v1", data={"a": 1})


def test_binary_mode_is_read_from_the_headers() -> None:
    headers = [
        *binary(ce_subject=b"s", ce_actor=b"me", ce_time=b"2026-03-02T12:00:00.000001Z"),
        ("traceparent", TRACE.encode()),
    ]

    found = decode(b'{"a": 1}', headers)

    assert found == Envelope(
        id="1",
        source="here",
        type="PauseSequence.v1",
        subject="s",
        time=NOON,
        actor="me",
        traceparent=TRACE,
        data={"a": 1},
    )


def test_a_structured_content_type_wins_over_binary_headers() -> None:
    found = decode(document(id="in the value"), [*binary(), *HEADERS])

    assert found.id == "in the value"


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (None, "value"),
        (b"", "value"),
        (b"[]", "value"),
        (b"\xff\xfe", "value"),
        (b"[" * 100_000, "value"),
        (b'{"a":' * 100_000, "value"),
        (document(specversion=...), "specversion"),
        (document(specversion="0.3"), "specversion"),
        (document(id=...), "id"),
        (document(id=""), "id"),
        (document(id=7), "id"),
        (document(id="x" * 257), "id"),
        (document(id="secret\x00"), "id"),
        (document(source=...), "source"),
        (document(type=None), "type"),
        (document(data=...), "data"),
        (document(data=[]), "data"),
        (document(data="secret"), "data"),
    ],
)
def test_what_is_no_event_is_refused_by_place_and_rule_without_its_values(value: bytes | None, place: str) -> None:
    with pytest.raises(InvalidEnvelope) as refusal:
        decode(value, HEADERS)

    assert refusal.value.reason.startswith(f"{place}: must ")
    assert "secret" not in refusal.value.reason


@pytest.mark.parametrize("name", ["ce_id", "ce_source", "ce_type"])
def test_a_binary_event_needs_its_attributes(name: str) -> None:
    with pytest.raises(InvalidEnvelope, match=name.removeprefix("ce_")):
        decode(b"{}", binary(**{name: b""}))


def test_header_bytes_that_are_not_utf_8_are_replaced() -> None:
    found = decode(b"{}", [*binary(ce_source=b"caf\xe9"), ("x-junk", b"\xff"), ("x-null", None)])

    assert found.source == "caf�"


@pytest.mark.parametrize(
    "time", ["yesterday", "2026-03-02", "2026-03-02T12:00:00", 5, None, "0001-01-01T00:00:00+23:00"]
)
def test_a_time_that_is_none_is_left_out(time: Any) -> None:
    assert decode(document(time=time), HEADERS).time is None


@pytest.mark.parametrize("trace", ["junk", 5, TRACE.upper(), TRACE + "\n"])
def test_a_traceparent_that_is_none_is_left_out(trace: Any) -> None:
    assert decode(document(traceparent=trace), HEADERS).traceparent is None


def test_the_actor_is_the_source_where_nobody_is_named() -> None:
    assert actor_of(decode(document(), HEADERS)) == "here"
    assert actor_of(decode(document(actor="me"), HEADERS)) == "me"


attributes = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=256)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=10,
)
objects = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), json_values)
envelopes = st.builds(
    Envelope,
    id=attributes,
    source=attributes,
    type=attributes,
    subject=st.none() | attributes,
    time=st.none() | st.datetimes(timezones=st.just(UTC)),
    actor=st.none() | attributes,
    correlation_id=st.none() | attributes,
    causation_id=st.none() | attributes,
    data=objects,
)


@given(envelopes)
def test_what_is_written_is_read_back(envelope: Envelope) -> None:
    value = encode(envelope, json.dumps(envelope.data).encode())

    assert decode(value, HEADERS) == envelope


@given(envelopes)
def test_a_time_is_always_written_with_z_and_six_digits(envelope: Envelope) -> None:
    written = json.loads(encode(envelope, b"{}"))

    if envelope.time is not None:
        assert len(written["time"]) == len("2026-03-02T12:00:00.000001Z")
        assert written["time"].endswith("Z")


header_names = (
    st.sampled_from(["content-type", "ce_id", "ce_source", "ce_type", "ce_specversion", "ce_time"]) | st.text()
)
headers = st.lists(
    st.tuples(header_names, st.none() | st.binary() | st.sampled_from([b"1.0", b"application/cloudevents"]))
)
nearly = objects.map(
    lambda value: json.dumps({"specversion": "1.0", "id": "1", "source": "s", "type": "t"} | value).encode()
)


@given(st.none() | st.binary() | objects.map(lambda value: json.dumps(value).encode()) | nearly, headers)
def test_no_bytes_raise_anything_but_a_refusal(value: bytes | None, found: list[tuple[str, bytes | None]]) -> None:
    with contextlib.suppress(InvalidEnvelope):
        assert decode(value, found).id
