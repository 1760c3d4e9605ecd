"""What a state of a sequence opens, closes and owes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from campaign.active_clock import Stretch
from campaign.overdue import Mark
from delivery.domain.gate import Change, Gate, Pause, bury, fence, follow
from pydantic import ValidationError
from sluice_contracts.base import INTEGER_MAX
from sluice_contracts.sequences import SequenceState

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
STEP = {"step_id": "a", "after": "0s", "message": {"channel": "email", "subject": "S", "text": "T"}}
OPEN = Gate("s", state_version=5, status="active", open=True, epoch=0, version=1)
PAUSED = Gate("s", state_version=5, status="paused", open=False, epoch=1, version=1, paused_at=NOON)
RECEIPTS = {"entry_closed_at": NOON, "halted_at": NOON, "dropped": 0, "in_flight": 0}


def state(**changed: Any) -> SequenceState:
    return SequenceState.model_validate(
        {
            "sequence_id": "s",
            "state_version": 6,
            "status": "active",
            "epoch": 0,
            "revision": 1,
            "version": 1,
            "published": {"name": "W", "steps": [STEP]},
            "in_flight": "follow",
            "clock_offset_seconds": 0.0,
            "updated_at": NOON,
            **changed,
        }
    )


def change(gate: Gate | None, **changed: Any) -> Change:
    followed = follow(gate, state(**changed))
    assert followed is not None
    return followed


def test_the_first_publish_opens_and_brings_its_definition() -> None:
    found = change(None)

    assert (found.gate.open, found.gate.version, found.halts, found.replans) == (True, 1, False, False)
    assert found.definition is not None


def test_a_draft_stays_closed() -> None:
    assert not change(None, status="draft", version=None, published=None).gate.open


def test_a_pause_closes_and_owes_a_receipt_for_its_epoch() -> None:
    found = change(OPEN, status="paused", epoch=1, paused_at=NOON)

    assert (found.gate.open, found.gate.epoch, found.gate.paused_at, found.halts) == (False, 1, NOON, True)


def test_a_pause_that_is_repeated_or_already_receipted_owes_nothing() -> None:
    assert not change(PAUSED, status="paused", epoch=1, paused_at=NOON).halts
    assert not change(OPEN, status="paused", epoch=1, paused_at=NOON, receipts=RECEIPTS).halts


def test_a_resume_opens_plans_again_and_remembers_the_pause() -> None:
    found = change(PAUSED, epoch=2, paused_at=NOON, resumed_at=NOON + timedelta(hours=2), clock_offset_seconds=7_200.0)

    assert (found.gate.open, found.gate.paused_at, found.resumes) == (True, None, True)
    assert found.gate.clock_offset == timedelta(hours=2)
    assert found.pause == Pause(Stretch(NOON, NOON + timedelta(hours=2), timedelta(), timedelta(hours=2)))
    assert found.gate.expire_until is None


def test_a_newer_version_is_followed() -> None:
    found = change(OPEN, version=2)

    assert (found.gate.version, found.replans) == (2, True)


@pytest.mark.parametrize("version", [1, 5])
def test_what_is_not_newer_changes_nothing(version: int) -> None:
    assert follow(OPEN, state(state_version=version, status="paused", epoch=9)) is None


def test_a_deletion_stops_and_erases_and_is_the_end() -> None:
    found = change(OPEN, status="deleted", epoch=1, published=None)

    assert (found.gate.open, found.halts, found.erases, found.definition) == (False, True, True, None)
    assert follow(found.gate, state(state_version=99)) is None


@pytest.mark.parametrize(
    "published", [None, {}, {"name": "W", "steps": []}, {"name": "W", "steps": [{"step_id": "a"}]}]
)
def test_a_version_that_no_sender_could_read_is_refused(published: Any) -> None:
    with pytest.raises(ValidationError):
        follow(OPEN, state(version=2, published=published))


def test_a_record_that_cannot_be_read_closes_its_gate_and_its_repair_is_still_taken() -> None:
    fenced = fence(OPEN, sequence_id="s", state_version=6, status=None, epoch=None)

    assert (fenced.gate.open, fenced.gate.epoch, fenced.halts) == (False, 0, False)
    assert follow(fenced.gate, state(state_version=5)) is None
    assert change(fenced.gate, state_version=6).gate.open


def test_a_stop_in_a_record_that_cannot_be_read_holds_and_is_receipted_once() -> None:
    fenced = fence(OPEN, sequence_id="s", state_version=6, status="paused", epoch=1)

    assert (fenced.gate.status, fenced.gate.epoch, fenced.halts) == ("paused", 1, True)
    assert not change(fenced.gate, status="paused", epoch=1, paused_at=NOON).halts


@pytest.mark.parametrize("number", [-1, INTEGER_MAX + 1, 10**30])
def test_a_number_that_no_column_takes_counts_as_not_read(number: int) -> None:
    fenced = fence(None, sequence_id="s", state_version=number, status="paused", epoch=number)

    assert (fenced.gate.state_version, fenced.gate.epoch, fenced.gate.open) == (0, 0, False)


def test_a_key_that_is_gone_stops_and_erases_whatever_is_here_once() -> None:
    known, unknown = bury(PAUSED, sequence_id="s"), bury(None, sequence_id="s")

    for found in (known, unknown):
        assert found is not None
        assert (found.gate.status, found.gate.open, found.halts, found.erases) == ("deleted", False, True, True)
        assert bury(found.gate, sequence_id="s") is None
    assert known is not None
    assert known.gate.epoch == 2


LATER = NOON + timedelta(hours=2)
RESUMED: dict[str, Any] = {"epoch": 2, "paused_at": NOON, "resumed_at": LATER}


def mark(gate: Gate | None, **changed: Any) -> Mark | None:
    found = change(gate, **{**RESUMED, **changed}).pause
    assert found is not None
    return found.mark


def test_a_resume_that_skips_marks_what_is_due_by_then() -> None:
    found = change(PAUSED, **RESUMED, overdue="skip")

    assert found.gate.expire_until == LATER
    assert found.pause == Pause(Stretch(NOON, LATER, timedelta(), timedelta()), Mark(LATER, LATER, "skip"))


def test_a_bounded_lateness_marks_what_is_due_longer_ago() -> None:
    found = mark(PAUSED, overdue="send_now", max_lateness="30m", clock_offset_seconds=60.0)

    assert found == Mark(LATER - timedelta(minutes=31), LATER - timedelta(minutes=1), "max_lateness")


@pytest.mark.parametrize("overdue", [None, "shift", "send_now"])
def test_a_resume_that_sends_all_leaves_no_mark(overdue: str | None) -> None:
    assert mark(PAUSED, overdue=overdue) is None


def test_a_mark_never_moves_back() -> None:
    marked = replace(PAUSED, expire_until=LATER + timedelta(days=1))

    assert change(marked, **RESUMED, overdue="skip").gate.expire_until == LATER + timedelta(days=1)
    assert change(marked, **RESUMED).gate.expire_until == LATER + timedelta(days=1)


def test_a_version_that_is_pinned_moves_nobody() -> None:
    pinned = change(OPEN, version=2, follow_version=1, in_flight="pin")
    followed = change(pinned.gate, state_version=7, version=3, follow_version=3)

    assert (pinned.replans, followed.replans) == (False, True)
    assert [pinned.gate.effective(entered) for entered in (1, 2)] == [1, 2]
    assert [followed.gate.effective(entered) for entered in (1, 2, 4)] == [3, 3, 4]


def test_where_a_followed_version_was_missed_behind_a_pin_it_is_still_followed() -> None:
    assert change(OPEN, version=3, follow_version=2, in_flight="pin").replans


def test_a_state_that_names_no_followed_version_means_the_newest() -> None:
    assert change(None, version=4).gate.followed == 4
