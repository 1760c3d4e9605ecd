"""What the contract allows and this version cannot do is refused with its place. Later work empties these lists."""

from typing import Any

import pytest
from messaging import Refused
from sequences.domain.unsupported import (
    COMMAND_NOT_YET,
    DEFINITION_NOT_YET,
    STEP_NOT_YET,
    refuse_unsupported,
    unsupported_in,
)
from sluice_contracts.sequences import PauseSequence, PublishSequence, ResumeSequence, SequenceCommand

CONDITION = {"field": "status", "op": "equals", "value": "New"}
WINDOW = {"days": ["mon"], "from": "09:00", "to": "18:00"}


def test_the_lists_are_these() -> None:
    assert [place for place, _ in DEFINITION_NOT_YET] == [
        "trigger",
        "start_when",
        "stop_when",
        "enroll_once",
        "delivery",
    ]
    assert [place for place, _ in STEP_NOT_YET] == ["on_unknown", "message.sender"]
    assert [(model.TYPE, place) for model, place, _ in COMMAND_NOT_YET] == [
        ("PublishSequence.v1", "in_flight"),
        ("PauseSequence.v1", "resume_at"),
        ("ResumeSequence.v1", "overdue"),
        ("ResumeSequence.v1", "max_lateness"),
        ("ResumeSequence.v1", "admit"),
    ]


@pytest.mark.parametrize(
    ("definition", "place"),
    [
        ({"trigger": {"on": ["created"]}}, "trigger"),
        ({"start_when": [CONDITION]}, "start_when"),
        ({"stop_when": {"success": [CONDITION]}}, "stop_when"),
        ({"stop_when": {"failure": [CONDITION]}}, "stop_when"),
        ({"stop_when": {"on_reply": True}}, "stop_when"),
        ({"stop_when": "never"}, "stop_when"),
        ({"enroll_once": False}, "enroll_once"),
        ({"delivery": WINDOW}, "delivery"),
        ({"steps": [{}, {"on_unknown": "retry"}]}, "steps[1].on_unknown"),
        ({"steps": [{"message": "none"}, {"message": {"sender": "sales"}}]}, "steps[1].message.sender"),
    ],
)
def test_what_a_definition_may_not_ask_for_yet_is_named(definition: dict[str, Any], place: str) -> None:
    assert [(fault.place, fault.rule) for fault in unsupported_in(definition)] == [(place, "not supported yet")]


def test_asking_for_what_is_done_anyway_is_no_fault() -> None:
    definition = {
        "trigger": None,
        "start_when": [],
        "stop_when": {"success": [], "failure": [], "on_reply": False},
        "enroll_once": True,
        "delivery": None,
        "steps": [{"on_unknown": "assume_sent"}],
    }

    assert unsupported_in(definition) == []


@pytest.mark.parametrize(
    ("command", "places"),
    [
        (PublishSequence(sequence_id="a", in_flight="pin"), ["in_flight"]),
        (PauseSequence.model_validate({"sequence_id": "a", "resume_at": "2026-03-01T12:00:00Z"}), ["resume_at"]),
        (ResumeSequence(sequence_id="a", overdue="skip", admit="qualifying"), ["overdue", "admit"]),
        (ResumeSequence(sequence_id="a", overdue="send_now", max_lateness="1h"), ["overdue", "max_lateness"]),
    ],
)
def test_what_a_command_may_not_ask_for_yet_is_refused(command: SequenceCommand, places: list[str]) -> None:
    with pytest.raises(Refused) as refused:
        refuse_unsupported(command)

    assert refused.value.code == "invalid"
    assert [fault.place for fault in refused.value.faults] == places


@pytest.mark.parametrize(
    "command",
    [
        PublishSequence(sequence_id="a", in_flight="follow"),
        PauseSequence(sequence_id="a", reason="lunch"),
        ResumeSequence(sequence_id="a", overdue="shift", admit="none"),
    ],
)
def test_what_is_the_default_may_be_asked_for(command: SequenceCommand) -> None:
    refuse_unsupported(command)
