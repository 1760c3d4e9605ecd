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
    SequenceState,
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
    version = changes.get("version", 1)
    return replace(start, **{"follow_version": version, **changes})


def saving(definition: dict[str, Any], **fields: Any) -> SaveSequence:
    return SaveSequence(sequence_id="welcome", definition=definition, **fields)


def state(decision: Decision[Sequence]) -> Sequence:
    assert decision.state is not None
    return decision.state


def only_state(decision: Decision[Sequence]) -> SequenceState:
    (said,) = [message for message in decision.messages if isinstance(message, SequenceState)]
    return said


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


@pytest.mark.parametrize("in_flight", [None, "follow"])
def test_those_inside_follow_a_version_unless_it_is_pinned(in_flight: str | None) -> None:
    decision = publishing(an_active(draft=definition(name="New")), in_flight=in_flight)

    said = only_state(decision)
    assert (said.version, said.follow_version, said.in_flight) == (2, 2, "follow")


def test_a_pinned_version_is_followed_by_nobody_inside() -> None:
    pinned = publishing(an_active(draft=definition(name="New")), in_flight="pin")
    again = publishing(replace(state(pinned), draft=definition(name="Newer")), in_flight="pin")
    followed = publishing(replace(state(again), draft=definition(name="Newest")))

    told = [(one.version, one.follow_version, one.in_flight) for one in map(only_state, (pinned, again, followed))]
    assert told == [(2, 1, "pin"), (3, 1, "pin"), (4, 4, "follow")]


def test_the_first_version_is_followed_also_where_it_is_pinned() -> None:
    assert only_state(publishing(a_draft(), in_flight="pin")).follow_version == 1


@pytest.mark.parametrize("in_flight", [None, "pin"])
def test_publishing_nothing_new_leaves_the_pin(in_flight: str | None) -> None:
    pinned = an_active(version=7, follow_version=3, in_flight="pin")

    assert publishing(pinned, in_flight=in_flight) == Decision(result={"version": 7})


def test_who_asks_that_all_follow_gets_the_same_definition_as_a_new_version() -> None:
    decision = publishing(an_active(version=7, follow_version=3, in_flight="pin"), in_flight="follow")

    assert decision.result == {"version": 8}
    said, kept = decision.messages
    assert isinstance(said, SequencePublished)
    assert isinstance(kept, VersionPublished)
    assert (said.follow_version, said.in_flight, said.published) == (8, "follow", definition())
    assert kept.definition == definition()


def test_who_asks_that_all_follow_where_all_do_changes_nothing() -> None:
    assert publishing(an_active(version=7), in_flight="follow") == Decision(result={"version": 7})


def test_publishing_an_older_definition_again_is_a_new_version() -> None:
    first, second = definition(), definition(name="New")
    edited = an_active(version=2, published=second)

    saved = save(edited, saving(first), limits=LIMITS, now=LATER)
    decision = publishing(state(saved))

    assert decision.result == {"version": 3}
    assert only_state(decision).published == first


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
            "trigger": {"on": []},
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
        "trigger.on",
        "steps",
        "steps[0].after",
        "steps[1].message.subject",
        "steps[2].message",
    }


CONDITION = {"field": "score", "op": "greater_than", "value": 3}
WINDOW = {"days": ["mon"], "from": "09:00", "to": "18:00"}


@pytest.mark.parametrize(
    "more",
    [
        {"trigger": {"on": ["created", "updated"]}, "start_when": [CONDITION]},
        {"stop_when": {"success": [CONDITION], "failure": [{**CONDITION, "value": "2026-01-01"}], "on_reply": True}},
        {"enroll_once": False},
        {"delivery": WINDOW},
        {"delivery": {**WINDOW, "timezone": "contact", "fallback_timezone": "Asia/Kolkata"}},
        {"delivery": {**WINDOW, "timezone": "Europe/Berlin", "from": "22:00", "to": "06:00"}},
        {"steps": [step(on_unknown="retry"), step("tips", message=email(sender="sales"))]},
    ],
)
def test_all_that_a_definition_can_say_may_be_published(more: dict[str, Any]) -> None:
    assert publishing(a_draft(draft=definition(**more))).result == {"version": 1}


@pytest.mark.parametrize(
    ("more", "place"),
    [
        ({"delivery": {**WINDOW, "timezone": "Europe/Atlantis"}}, "delivery.timezone"),
        ({"delivery": {**WINDOW, "timezone": "../etc/passwd"}}, "delivery.timezone"),
        ({"delivery": {**WINDOW, "fallback_timezone": "contact"}}, "delivery.fallback_timezone"),
        ({"delivery": {**WINDOW, "fallback_timezone": "Europe"}}, "delivery.fallback_timezone"),
        ({"delivery": {**WINDOW, "from": "18:00"}}, "delivery"),
        ({"delivery": {**WINDOW, "days": []}}, "delivery.days"),
        ({"delivery": {**WINDOW, "to": "24:00"}}, "delivery.to"),
        ({"start_when": [CONDITION, {**CONDITION, "value": None}]}, "start_when[1].value"),
        ({"start_when": [{**CONDITION, "value": True}]}, "start_when[0].value"),
        ({"stop_when": {"success": [{**CONDITION, "value": [3]}]}}, "stop_when.success[0].value"),
        ({"stop_when": {"failure": [{"field": "score", "op": "in", "value": 3}]}}, "stop_when.failure[0]"),
        ({"stop_when": {"failure": [{"field": "score", "op": "exists", "value": 3}]}}, "stop_when.failure[0]"),
    ],
)
def test_a_zone_a_window_or_a_condition_that_cannot_be_is_a_fault(more: dict[str, Any], place: str) -> None:
    code, faults = faults_of_publishing(definition(**more))

    assert (code, list(faults)) == ("invalid", [place])


@pytest.mark.parametrize("odd", [None, 1, [], "x", {}])
@pytest.mark.parametrize("field", ["delivery", "start_when", "stop_when"])
def test_what_is_no_window_and_no_condition_is_looked_at_without_harm(field: str, odd: Any) -> None:
    for draft in (definition(**{field: odd}), definition(**{field: [odd]}), definition(**{field: {"success": odd}})):
        findings = inspect_form(draft, LIMITS)

        assert all(fault.place.startswith(field) for fault in findings.broken)


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
