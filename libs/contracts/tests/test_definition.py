"""Definitions: every fault at once, by place and rule."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sluice_contracts.definition import (
    Definition,
    EmailMessage,
    WebhookMessage,
    WhatsAppMessage,
    faults_of,
    parse_definition,
)

WHOLE: dict[str, Any] = {
    "name": "Trial onboarding",
    "campaign": "onboarding-2026",
    "trigger": {"on": ["created", "updated"]},
    "start_when": [{"field": "status", "op": "equals", "value": "New"}],
    "stop_when": {"success": [{"field": "stage", "op": "exists"}], "failure": [], "on_reply": True},
    "enroll_once": True,
    "delivery": {
        "days": ["mon"],
        "from": "09:00",
        "to": "18:00",
        "timezone": "contact",
        "fallback_timezone": "Asia/Kolkata",
    },
    "steps": [
        {
            "step_id": "welcome",
            "after": "0s",
            "message": {
                "channel": "whatsapp",
                "template": "w1",
                "language": "en",
                "variables": {"1": "{{ contact.first_name }}"},
            },
        },
        {
            "step_id": "tips",
            "after": "2d",
            "message": {"channel": "email", "sender": "sales", "subject": "Tips", "text": "Hi"},
        },
        {
            "step_id": "crm",
            "after": "1h",
            "message": {"channel": "webhook", "url": "https://crm.example/hook", "json": {"a": None}},
        },
    ],
}


def changed(path: list[str | int], value: Any) -> dict[str, Any]:
    definition = deepcopy(WHOLE)
    place: Any = definition
    for part in path[:-1]:
        place = place[part]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return definition


def faults(definition: Any) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as refusal:
        parse_definition(definition)
    return [(fault.place, fault.rule) for fault in faults_of(refusal.value)]


def test_a_whole_definition_is_read_with_its_messages_by_channel() -> None:
    definition = parse_definition(WHOLE)

    assert [type(step.message) for step in definition.steps] == [WhatsAppMessage, EmailMessage, WebhookMessage]
    assert definition.delivery is not None
    assert definition.delivery.from_ == "09:00"
    assert definition.steps[1].message.sender == "sales"


def test_the_least_definition_has_a_name_and_a_step() -> None:
    definition = parse_definition({"name": "x", "steps": WHOLE["steps"][:1]})

    assert definition.enroll_once
    assert definition.trigger is None
    assert definition.steps[0].on_unknown == "assume_sent"


@pytest.mark.parametrize(
    ("path", "value", "place", "rule"),
    [
        (["name"], ..., "name", "is required"),
        (["name"], 5, "name", "must be a text"),
        (["steps"], [], "steps", "must have at least 1 items"),
        (["steps", 1, "step_id"], "welcome", "steps", "step ids must be unique"),
        (["steps", 2, "after"], "1x", "steps[2].after", "must be a duration such as 1d12h30m10s"),
        (["steps", 2, "after"], 5, "steps[2].after", "must be a text"),
        (["steps", 1, "message", "subject"], ..., "steps[1].message.subject", "is required"),
        (["steps", 1, "message", "subject"], "a\nBcc: x", "steps[1].message.subject", "must be one line"),
        (["steps", 1, "message", "text"], ..., "steps[1].message", "needs text or html"),
        (["steps", 1, "message", "channel"], "fax", "steps[1].message", "the channel must be"),
        (["steps", 1, "message", "channel"], ..., "steps[1].message", "needs a channel"),
        (["steps", 1, "message"], [], "steps[1].message", "must be an object"),
        (["steps", 2, "message", "url"], "ftp://x", "steps[2].message.url", "must be an http or https address"),
        (["steps", 0, "message", "variables"], {"1": 7}, "steps[0].message.variables.1", "must be a text"),
        (["stpes"], [], "stpes", "is not a known field"),
        (["steps", 1, "message", "html_body"], "x", "steps[1].message.html_body", "is not a known field"),
        (["delivery", "to"], "09:00", "delivery", "from and to must differ"),
        (["delivery", "to"], "25:00", "delivery.to", "must be a time of day, HH:MM"),
        (["delivery", "days"], ["monday"], "delivery.days[0]", "must be one of 'mon'"),
        (["start_when", 0, "op"], "like", "start_when[0].op", "must be one of 'equals'"),
        (["start_when", 0, "value"], ..., "start_when[0]", "this operator needs a value"),
        (["stop_when", "success", 0, "value"], 1, "stop_when.success[0]", "this operator takes no value"),
        (["start_when", 0], {"field": "a", "op": "in", "value": "b"}, "start_when[0]", "needs a list"),
        (["enroll_once"], "yes", "enroll_once", "must be true or false"),
    ],
)
def test_a_fault_is_named_by_place_and_rule(path: list[str | int], value: Any, place: str, rule: str) -> None:
    ((found_place, found_rule),) = faults(changed(path, value))

    assert found_place == place
    assert rule in found_rule


def test_every_fault_is_named_at_once() -> None:
    definition = changed(["steps", 1, "message", "subject"], ...)
    definition["steps"][2]["after"] = "soon"
    del definition["name"]

    assert {place for place, _ in faults(definition)} == {"name", "steps[1].message.subject", "steps[2].after"}


@pytest.mark.parametrize("thing", [None, [], "text", 5])
def test_what_is_no_object_is_no_definition(thing: Any) -> None:
    ((place, rule),) = faults(thing)

    assert (place, rule) == ("data", "must be an object")


def test_a_reader_of_what_is_published_ignores_what_it_does_not_know() -> None:
    newer = changed(["steps", 1, "priority"], "high")

    assert Definition.model_validate(newer).steps[1].step_id == "tips"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.just("canary"),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from([*WHOLE, "canary {}", "channel", "message"]), inner)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from([*WHOLE, "canary {}"]), json_values))
def test_no_definition_makes_a_fault_quote_a_value(definition: dict[str, Any]) -> None:
    try:
        parse_definition(definition)
    except ValidationError as refusal:
        for fault in faults_of(refusal):
            assert "canary" not in fault.place + fault.rule
            assert "{" not in fault.rule
