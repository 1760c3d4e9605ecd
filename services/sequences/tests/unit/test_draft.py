"""Saving keeps a working copy; publishing makes it an immutable version or names every fault."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from messaging import Decision, Refused
from sequences.domain.definition import Findings, Limits, inspect_form, inspect_templates
from sequences.domain.draft import publish, save
from sequences.domain.sequence import Sequence, Status
from sluice_contracts.answers import Fault
from sluice_contracts.sequences import (
    PublishSequence,
    SaveSequence,
    SequencePublished,
    SequenceSaved,
    VersionPublished,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
LIMITS = Limits(definition_bytes_max=262_144, steps_max=1_000)


def email(**changes: Any) -> dict[str, Any]:
    return {"channel": "email", "subject": "Hello", "text": "Hi {{ contact.first_name }}", **changes}


def step(step_id: str = "welcome", **changes: Any) -> dict[str, Any]:
    return {"step_id": step_id, "after": "0s", "message": email(), **changes}


def definition(**changes: Any) -> dict[str, Any]:
    return {"name": "Onboarding", "steps": [step()], **changes}


def a_draft(**changes: Any) -> Sequence:
    start = Sequence(
        sequence_id="welcome",
        status=Status.DRAFT,
        state_version=1,
        epoch=0,
        revision=1,
        updated_at=NOON,
        draft=definition(),
    )
    return replace(start, **changes)


def an_active(**changes: Any) -> Sequence:
    start = a_draft(status=Status.ACTIVE, state_version=2, draft=None, version=1, published=definition())
    return replace(start, **changes)


def saving(definition: dict[str, Any], **fields: Any) -> SaveSequence:
    return SaveSequence(sequence_id="welcome", definition=definition, **fields)


def state(decision: Decision[Sequence]) -> Sequence:
    assert decision.state is not None
    return decision.state


def publishing(sequence: Sequence | None, **fields: Any) -> Decision[Sequence]:
    findings = Findings()
    if sequence is not None and sequence.draft is not None:
        findings = inspect_form(sequence.draft, LIMITS)
        for faults in inspect_templates(sequence.draft, LIMITS):
            findings = findings.also(faults)
    return publish(sequence, PublishSequence(sequence_id="welcome", **fields), findings=findings, now=LATER)


def faults_of_publishing(draft: dict[str, Any]) -> tuple[str, dict[str, str]]:
    with pytest.raises(Refused) as refused:
        publishing(a_draft(draft=draft))
    return refused.value.code, {fault.place: fault.rule for fault in refused.value.faults}


def test_the_first_save_makes_a_draft() -> None:
    decision = save(None, saving({"name": "half a thou"}), limits=LIMITS, now=NOON)

    assert decision.result == {"revision": 1, "status": "draft"}
    (said,) = decision.messages
    assert isinstance(said, SequenceSaved)
    assert (said.state_version, said.status, said.draft, said.published) == (1, "draft", {"name": "half a thou"}, None)


def test_saving_an_active_sequence_changes_nothing_that_runs() -> None:
    decision = save(an_active(), saving(definition(name="New")), limits=LIMITS, now=LATER)

    assert decision.result == {"revision": 2, "status": "active"}
    (said,) = decision.messages
    assert isinstance(said, SequenceSaved)
    assert (said.version, said.published, said.draft) == (1, definition(), definition(name="New"))


def test_saving_what_is_published_leaves_no_draft() -> None:
    reordered = dict(reversed(definition().items()))

    decision = save(an_active(draft={"name": "x"}), saving(reordered), limits=LIMITS, now=LATER)

    assert state(decision).draft is None
    assert state(decision).revision == 2


@pytest.mark.parametrize(("current", "expected"), [(None, 1), (a_draft(revision=3), 2), (an_active(revision=3), 4)])
def test_a_stale_revision_is_a_conflict(current: Sequence | None, expected: int) -> None:
    with pytest.raises(Refused) as refused:
        save(current, saving(definition(), expected_revision=expected), limits=LIMITS, now=LATER)

    assert refused.value.code == "conflict"


def test_an_expected_revision_of_zero_means_that_there_is_none_yet() -> None:
    assert save(None, saving({}, expected_revision=0), limits=LIMITS, now=NOON).result["revision"] == 1


def test_a_definition_past_the_limit_is_refused_as_a_whole() -> None:
    with pytest.raises(Refused) as refused:
        save(None, saving({"name": "é" * 131_072}), limits=LIMITS, now=NOON)

    assert refused.value.code == "limit"
    assert [fault.place for fault in refused.value.faults] == ["definition"]


def test_a_deleted_sequence_takes_no_draft_and_no_version() -> None:
    gone = an_active(status=Status.DELETED, published=None)

    with pytest.raises(Refused) as saved:
        save(gone, saving(definition()), limits=LIMITS, now=LATER)
    with pytest.raises(Refused) as published:
        publishing(gone)

    assert (saved.value.code, published.value.code) == ("deleted", "deleted")


def test_publishing_makes_the_draft_the_first_version() -> None:
    decision = publishing(a_draft())

    assert decision.result == {"version": 1}
    said, kept = decision.messages
    assert isinstance(said, SequencePublished)
    assert isinstance(kept, VersionPublished)
    assert (said.status, said.epoch, said.version, said.draft) == ("active", 0, 1, None)
    assert said.published == kept.definition == definition()
    assert kept.key() == "welcome:1"


def test_publishing_while_paused_updates_and_stays_paused() -> None:
    paused = an_active(status=Status.PAUSED, epoch=1, paused_at=NOON, draft=definition(name="New"))

    decision = publishing(paused)

    assert decision.result == {"version": 2}
    assert state(decision).status is Status.PAUSED
    assert state(decision).epoch == 1


def test_publishing_when_nothing_is_new_names_the_version_and_says_nothing() -> None:
    assert publishing(an_active(version=7)) == Decision(result={"version": 7})


def test_publishing_a_stale_revision_is_a_conflict() -> None:
    with pytest.raises(Refused) as refused:
        publishing(a_draft(revision=2), expected_revision=1)

    assert refused.value.code == "conflict"


def test_what_was_never_saved_cannot_be_published() -> None:
    with pytest.raises(Refused) as refused:
        publishing(None)

    assert refused.value.code == "not_found"


def test_every_fault_is_named_at_once_with_its_place() -> None:
    code, faults = faults_of_publishing(
        {
            "colour": "blue",
            "trigger": {"on": ["created"]},
            "steps": [
                step("one", after="tomorrow"),
                step("one", message=email(subject="{{ contact.")),
                step("three", message={"channel": "pigeon"}),
            ],
        }
    )

    assert code == "invalid"
    assert set(faults) == {
        "name",
        "colour",
        "trigger",
        "steps",
        "steps[0].after",
        "steps[1].message.subject",
        "steps[2].message",
    }


def test_a_sequence_without_steps_is_not_published() -> None:
    assert faults_of_publishing(definition(steps=[]))[1].keys() == {"steps"}


def test_too_many_steps_alone_are_past_the_limit() -> None:
    code, faults = faults_of_publishing(definition(steps=[step(f"s{n}") for n in range(1_001)]))

    assert (code, faults) == ("limit", {"steps": "must have at most 1000 items"})


def test_an_answer_names_no_more_faults_than_it_can_carry() -> None:
    with pytest.raises(Refused) as refused:
        publishing(a_draft(draft=definition(steps=[1] * 900)))

    assert len(refused.value.faults) == 200
    assert "900" in refused.value.detail


@pytest.mark.parametrize(
    "draft", [{}, {"steps": None}, {"steps": {"a": 1}}, {"steps": [None, [], "x"]}, {"steps": [{"message": []}]}]
)
def test_any_json_object_can_be_a_draft_and_is_refused_in_order(draft: dict[str, Any]) -> None:
    code, faults = faults_of_publishing(draft)

    assert code == "invalid"
    assert faults


def test_a_fault_never_quotes_a_value() -> None:
    with pytest.raises(Refused) as refused:
        publishing(a_draft(draft=definition(name=["secret"], steps=[step(after="secret")])))

    assert "secret" not in str([(fault.place, fault.rule) for fault in refused.value.faults])
    assert Fault(place="name", rule="must be a text") in refused.value.faults
