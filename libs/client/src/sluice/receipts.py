"""What each command promises: the event to wait for after its answer."""

from collections.abc import Mapping
from typing import Any

from sluice_contracts import topics
from sluice_contracts.delivery import ContactHalted, DeliveryRestored, DeliverySuspended
from sluice_contracts.sequences import SequenceErasureCompleted

from sluice.asking import Receipt
from sluice.event import Event


def stopped(sequence_id: str) -> Receipt:
    """The proof of a pause."""
    return Receipt("SequenceStopped", topics.SEQUENCES_EVENTS, sequence_id, _has_stopped)


def resumed(sequence_id: str) -> Receipt:
    """It runs again; it may have done so before it was asked."""
    return Receipt("SequenceResumed", topics.SEQUENCES_EVENTS, sequence_id, _has_resumed, may_precede=True)


def erased(sequence_id: str) -> Receipt:
    """No service holds a row of it."""
    name, topic = "SequenceErasureCompleted", topics.SEQUENCES_CONTROL
    return Receipt(name, topic, sequence_id, _is_erased, may_precede=True)


def halted(contact_id: str) -> Receipt:
    """The proof of a removal."""
    return Receipt("ContactHalted", topics.DELIVERY_CONTROL, contact_id, _is_halted)


def suspended(scope: str) -> Receipt:
    """The proof that nothing leaves in a scope."""
    return Receipt("DeliverySuspended", topics.DELIVERY_CONTROL, scope, _is_suspended, may_precede=True)


def restored(scope: str) -> Receipt:
    """It sends again there; of a scope that was never suspended nothing is said."""
    name, topic = "DeliveryRestored", topics.DELIVERY_CONTROL
    return Receipt(name, topic, scope, _is_restored, may_precede=True, needless=_was_never_suspended)


def _epoch(event: Event) -> int:
    found = event.data.get("epoch")
    return found if isinstance(found, int) else -1


def _has_stopped(event: Event, result: Mapping[str, Any]) -> bool:
    """The receipts of this epoch are in, or a higher epoch has replaced it, or the sequence is gone."""
    if event.gone or _epoch(event) > result["epoch"]:
        return True
    return _epoch(event) == result["epoch"] and event.data.get("receipts") is not None


def _has_resumed(event: Event, result: Mapping[str, Any]) -> bool:
    """The coming epoch has come, by this resume or by what replaced it, or the sequence is gone."""
    return event.gone or _epoch(event) >= result["epoch"]


def _is_erased(event: Event, result: Mapping[str, Any]) -> bool:
    return event.type == SequenceErasureCompleted.TYPE and _epoch(event) >= result["epoch"]


def _is_halted(event: Event, result: Mapping[str, Any]) -> bool:
    return event.type == ContactHalted.TYPE and event.data.get("removal_id") == result["removal_id"]


def _is_suspended(event: Event, result: Mapping[str, Any]) -> bool:
    """The receipt of this epoch, or what has replaced it."""
    if event.type == DeliverySuspended.TYPE:
        return _epoch(event) >= int(result["epoch"])
    return event.type == DeliveryRestored.TYPE and _epoch(event) > result["epoch"]


def _is_restored(event: Event, result: Mapping[str, Any]) -> bool:
    """The coming epoch has come, by this restore or by what replaced it."""
    said = event.type in (DeliveryRestored.TYPE, DeliverySuspended.TYPE)
    return said and _epoch(event) >= int(result["epoch"])


def _was_never_suspended(result: Mapping[str, Any]) -> bool:
    never: bool = result["epoch"] == 0
    return never
