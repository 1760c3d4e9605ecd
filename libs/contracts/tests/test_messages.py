"""Messages: their keys, times, and what they leave out."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sluice_contracts.answers import CommandAccepted, CommandRef
from sluice_contracts.base import REJECTION_CODES, format_timestamp, parse_after, parse_timestamp
from sluice_contracts.contacts import ContactCreated
from sluice_contracts.definition import faults_of
from sluice_contracts.delivery import MessageSent, SuspendDelivery
from sluice_contracts.enrollment import EnrollContacts, EntryClosed, RemoveContact
from sluice_contracts.sequences import (
    PauseSequence,
    Receipts,
    SaveSequence,
    SequenceDeleted,
    SequenceSaved,
    SequenceStopped,
    VersionPublished,
)

NOON = datetime(2026, 3, 2, 12, 0, 0, 1, tzinfo=UTC)
WHOLE_SECOND = NOON.replace(microsecond=0)
INDIA = timezone(timedelta(hours=5, minutes=30))


def state(**changes: Any) -> dict[str, Any]:
    return {
        "sequence_id": "welcome",
        "state_version": 1,
        "status": "draft",
        "epoch": 0,
        "revision": 1,
        "in_flight": "follow",
        "clock_offset_seconds": 0.0,
        "updated_at": NOON,
    } | changes


@pytest.mark.parametrize("moment", [NOON, WHOLE_SECOND, NOON.astimezone(INDIA), WHOLE_SECOND.astimezone(INDIA)])
def test_every_time_is_written_in_utc_with_z_and_six_digits(moment: datetime) -> None:
    written = json.loads(EntryClosed(sequence_id="welcome", epoch=1, closed_at=moment).to_json())

    assert written["closed_at"] == format_timestamp(moment.astimezone(UTC))
    assert len(written["closed_at"]) == len("2026-03-02T12:00:00.000001Z")


def test_times_further_inside_a_state_are_written_so_too() -> None:
    receipts = Receipts(entry_closed_at=WHOLE_SECOND, halted_at=NOON.astimezone(INDIA), dropped=1, in_flight=0)

    written = json.loads(SequenceStopped(**state(), receipts=receipts).to_json())

    assert written["receipts"]["entry_closed_at"] == "2026-03-02T12:00:00.000000Z"
    assert written["receipts"]["halted_at"] == "2026-03-02T12:00:00.000001Z"


@given(
    st.datetimes(
        timezones=st.sampled_from([UTC, INDIA]),
        min_value=datetime(2, 1, 1),  # noqa: DTZ001 - hypothesis wants bounds without a zone
        max_value=datetime(9998, 1, 1),  # noqa: DTZ001
    )
)
def test_a_time_is_read_back_as_it_was(moment: datetime) -> None:
    assert parse_timestamp(format_timestamp(moment)) == moment


@pytest.mark.parametrize("text", ["2026-03-02T17:30:00.000001+05:30", "2026-03-02t12:00:00.000001z"])
def test_any_offset_is_read(text: str) -> None:
    assert EntryClosed.model_validate({"sequence_id": "a", "epoch": 1, "closed_at": text}).closed_at == NOON


@pytest.mark.parametrize("time", [1_772_000_000, "1772000000", "2026-03-02", "2026-03-02T12:00:00", None, True, [], ""])
def test_a_time_without_an_offset_or_of_another_form_is_refused(time: Any) -> None:
    with pytest.raises(ValidationError) as refusal:
        EntryClosed.model_validate({"sequence_id": "a", "epoch": 1, "closed_at": time})

    (fault,) = faults_of(refusal.value)
    assert fault.place == "closed_at"
    assert fault.rule == "must be an RFC 3339 time with an offset"


def test_optional_fields_that_are_absent_are_left_out() -> None:
    assert PauseSequence(sequence_id="a").to_json() == b'{"sequence_id":"a"}'


def test_nulls_inside_a_definition_are_kept() -> None:
    definition = {"steps": [{"message": {"json": {"manager": None}}}], "note": None}

    assert json.loads(SaveSequence(sequence_id="a", definition=definition).to_json())["definition"] == definition


def test_a_state_says_expressly_that_there_is_no_definition() -> None:
    written = json.loads(SequenceSaved(**state(draft={"name": "x"})).to_json())

    assert written["draft"] == {"name": "x"}
    assert written["version"] is None
    assert written["published"] is None
    assert "reason" not in written


def test_of_a_deleted_sequence_no_definition_is_written_whatever_the_state_holds() -> None:
    written = SequenceDeleted(
        **state(status="deleted", draft={"name": "canary"}, published={"name": "canary"})
    ).to_json()

    assert b"canary" not in written
    assert not {"draft", "published"} & json.loads(written).keys()


def test_unknown_fields_are_ignored() -> None:
    assert PauseSequence.model_validate({"sequence_id": "a", "colour": "red"}) == PauseSequence(sequence_id="a")


@pytest.mark.parametrize("bad", ["", "-a", "a b", "a" * 65, "a\n", "ä", 7, None, ["a"]])
def test_an_id_that_is_none_is_refused_without_quoting_it(bad: Any) -> None:
    with pytest.raises(ValidationError) as refusal:
        PauseSequence.model_validate({"sequence_id": bad})

    (fault,) = faults_of(refusal.value)
    assert fault.place == "sequence_id"


@pytest.mark.parametrize("number", [True, 1.0, "1", -1, 2**63])
def test_a_count_is_a_whole_number_that_a_database_can_hold(number: Any) -> None:
    with pytest.raises(ValidationError):
        EntryClosed.model_validate({"sequence_id": "a", "epoch": number, "closed_at": NOON})


def test_a_definition_with_a_nul_or_too_deep_is_refused_for_no_database_holds_it() -> None:
    deep: dict[str, Any] = {}
    for _ in range(65):
        deep = {"a": deep}

    for definition in ({"name": "a\x00"}, {"a\x00": 1}, {"steps": [{"x": ["\x00"]}]}, deep):
        with pytest.raises(ValidationError, match="NUL"):
            SaveSequence(sequence_id="a", definition=definition)


def test_each_message_has_the_key_of_its_aggregate() -> None:
    sent = {"enrollment_id": "e", "contact_id": "c", "sequence_id": "s", "version": 1, "occurred_at": NOON}
    message = {"message_id": "m", "step_id": "t", "channel": "email", "attempt": 1, "due_at": NOON, "sent_at": NOON}

    assert PauseSequence(sequence_id="s").key() == "s"
    assert MessageSent(**sent, **message).key() == "c"
    assert SuspendDelivery(scope="channel:email").key() == "channel:email"
    assert CommandAccepted(command=CommandRef(source="x", id="7", type="t"), result={}).key() == "7"
    assert VersionPublished(sequence_id="s", version=4, definition={}).key_matches("s:4")


@pytest.mark.parametrize(
    ("key", "fits"), [("a:b:1", True), ("a:b:x", True), ("a:b:", False), ("a:b", False), ("a:1", False)]
)
def test_an_import_is_keyed_by_its_sequence_and_some_chunk(key: str, *, fits: bool) -> None:
    assert EnrollContacts(sequence_id="a:b", contact_ids=["c"]).key_matches(key) is fits


def test_an_import_makes_its_key_from_the_chunk() -> None:
    chunk = EnrollContacts(sequence_id="s", contact_ids=["c"])

    assert chunk.key_of(3) == "s:3"
    with pytest.raises(NotImplementedError):
        chunk.key()


def test_a_removal_names_a_sequence_or_a_campaign_or_neither() -> None:
    with pytest.raises(ValidationError, match="not both"):
        RemoveContact(contact_id="c", sequence_id="s", campaign="x")

    assert RemoveContact(contact_id="c").allow_reentry is False


def test_a_contact_says_whether_it_opted_out() -> None:
    contact = {"contact_id": "c", "state_version": 1, "attributes": {}, "tags": [], "addresses": {}}

    with pytest.raises(ValidationError) as refusal:
        ContactCreated.model_validate(contact)

    assert [fault.place for fault in faults_of(refusal.value)] == ["opted_out"]


@pytest.mark.parametrize("scope", ["all", "channel:email", "sender:sales-1"])
def test_a_scope_is_everything_a_channel_or_a_sender(scope: str) -> None:
    assert SuspendDelivery(scope=scope).key() == scope


@pytest.mark.parametrize("scope", ["", "ALL", "channel:", "channel", "queue:x", "sender:a b"])
def test_no_other_scope_is_taken(scope: str) -> None:
    with pytest.raises(ValidationError):
        SuspendDelivery(scope=scope)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0s", 0), ("1d12h30m10s", 131_410), ("90m", 5_400), ("2d", 172_800), ("1d10s", 86_410), ("3650d", 315_360_000)],
)
def test_a_duration_is_days_hours_minutes_seconds(text: str, seconds: int) -> None:
    assert parse_after(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "1", "s", "1s1m", "1d ", "-1s", "1.5h", "1w", "3651d", "9999999999s", "١s", "1D"])
def test_nothing_else_is_a_duration(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_after(text)


def test_the_codes_of_a_rejection_are_a_closed_list() -> None:
    assert len(REJECTION_CODES) == 13
    assert len(set(REJECTION_CODES)) == 13
