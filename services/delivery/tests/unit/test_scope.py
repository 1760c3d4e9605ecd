"""What suspending and restoring a scope decides."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from delivery.domain.scope import Scope, Status, complete_restore, halt, restore, scopes_of, suspend, try_out
from messaging import Cause, Decision, Refused
from sluice_contracts.delivery import DeliveryRestored, DeliverySuspended, RestoreDelivery, SuspendDelivery

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=1)
CAUSE = Cause("tests", "1")
OTHER = Cause("tests", "2")
SUSPEND = SuspendDelivery(scope="channel:email", reason="bounces")
RESTORE = RestoreDelivery(scope="channel:email", reason="mended")
SUSPENDING = Scope("channel:email", Status.SUSPENDING, 1, NOON, "bounces", 3, cause=CAUSE.to_dict())
SUSPENDED = replace(SUSPENDING, status=Status.SUSPENDED, halted_at=LATER, changed_at=LATER)
WAITS = {"cause": OTHER.to_dict(), "reason": "mended"}
RUNNING = Scope("channel:email", Status.RUNNING, 2, LATER)


def test_suspending_closes_under_the_next_epoch_and_owes_a_receipt() -> None:
    first = suspend(None, SUSPEND, in_flight=3, cause=CAUSE, now=NOON)
    again = suspend(RUNNING, SUSPEND, in_flight=3, cause=CAUSE, now=NOON)

    assert (first.state, first.messages, first.result) == (SUSPENDING, (), {"epoch": 1})
    assert again.state == replace(SUSPENDING, epoch=3)


def test_suspending_what_is_suspended_keeps_the_epoch_and_repeats_the_receipt() -> None:
    again = suspend(SUSPENDED, SuspendDelivery(scope="channel:email"), in_flight=0, cause=OTHER, now=LATER)

    (receipt,) = again.messages
    assert again.result == {"epoch": 1}
    assert isinstance(receipt, DeliverySuspended)
    assert (receipt.epoch, receipt.in_flight, receipt.halted_at, receipt.reason) == (1, 3, LATER, None)


def test_suspending_again_cancels_a_restore_that_waits_and_its_receipt_stays_owed() -> None:
    asked = restore(SUSPENDING, RESTORE, cause=OTHER, now=LATER)
    assert asked.state is not None

    again = suspend(asked.state, SUSPEND, in_flight=0, cause=OTHER, now=LATER)

    assert (asked.result, asked.messages, asked.state.restore) == ({"epoch": 2}, (), WAITS)
    assert (again.state, again.messages, again.result) == (SUSPENDING, (), {"epoch": 1})


def test_a_receipt_is_given_once_and_with_it_a_restore_that_waited() -> None:
    halted = halt(SUSPENDING, halted_at=LATER)
    assert halted.state is not None

    restored = complete_restore(halted.state, WAITS, now=LATER)

    assert halted.state == SUSPENDED
    assert [type(one) for one in halted.messages] == [DeliverySuspended]
    assert restored.state == RUNNING
    assert [type(one) for one in restored.messages] == [DeliveryRestored]
    assert complete_restore(halted.state, None, now=LATER) == Decision()
    assert halt(SUSPENDED, halted_at=LATER) == halt(RUNNING, halted_at=LATER) == Decision()


def test_restoring_opens_under_a_higher_epoch() -> None:
    restored = restore(SUSPENDED, RESTORE, cause=OTHER, now=LATER)

    assert (restored.state, restored.result) == (RUNNING, {"epoch": 2})
    assert restored.messages == (DeliveryRestored(scope="channel:email", epoch=2, reason="mended", restored_at=LATER),)


def test_restoring_what_was_never_suspended_is_a_silent_success() -> None:
    assert restore(None, RESTORE, cause=OTHER, now=LATER) == Decision(result={"epoch": 0})


def test_restoring_what_runs_changes_nothing_and_says_again_since_when_it_does() -> None:
    found = restore(RUNNING, RESTORE, cause=OTHER, now=LATER)

    assert (found.state, found.result) == (None, {"epoch": 2})
    assert [(type(one), one.epoch, one.restored_at) for one in found.messages if isinstance(one, DeliveryRestored)] == [
        (DeliveryRestored, 2, RUNNING.changed_at)
    ]


@pytest.mark.parametrize("state", [SUSPENDING, SUSPENDED])
def test_a_persons_word_takes_a_scope_out_of_the_breakers_hands(state: Scope) -> None:
    found = suspend(replace(state, breaker=True), SUSPEND, in_flight=0, cause=OTHER, now=LATER)

    assert found.state is not None
    assert not found.state.breaker


def test_a_trial_opens_under_a_higher_epoch_and_a_person_ends_it_in_full() -> None:
    tried = try_out(replace(SUSPENDED, breaker=True, rest_seconds=20.0), now=LATER)
    assert tried.state is not None

    ended = restore(tried.state, RESTORE, cause=OTHER, now=LATER)

    assert (tried.state.trial, tried.state.epoch, tried.state.rest_seconds) == (True, 2, 20.0)
    assert [type(one) for one in tried.messages] == [DeliveryRestored]
    assert ended.state is not None
    assert (ended.state.trial, ended.state.epoch) == (False, 2)


def test_a_channel_that_there_is_not_is_refused() -> None:
    with pytest.raises(Refused) as suspended:
        suspend(None, SuspendDelivery(scope="channel:emial"), in_flight=0, cause=CAUSE, now=NOON)
    with pytest.raises(Refused) as restored:
        restore(None, RestoreDelivery(scope="channel:emial"), cause=CAUSE, now=NOON)

    assert suspended.value.code == restored.value.code == "not_found"


def test_a_lane_lies_in_everything_its_channel_and_its_sender() -> None:
    assert scopes_of("email:") == ("all", "channel:email")
    assert scopes_of("email:promo") == ("all", "channel:email", "sender:promo")
