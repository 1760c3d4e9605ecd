"""What conditions say of a contact."""

from typing import Any

import pytest
from campaign.conditions import Condition, Facts, StopWhen, all_hold, read_stop_when
from campaign.rules import Rules
from hypothesis import given
from hypothesis import strategies as st

ADA = Facts(
    attributes={"stage": "Won", "score": 7, "vip": True, "langs": ["en", "fr"], "nick": None, "home": {"city": "Pune"}},
    tags=("new", "beta"),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)
NEGATED = {"equals": "not_equals", "contains": "not_contains", "exists": "not_exists"}


@pytest.mark.parametrize(
    ("field", "op", "value", "holds"),
    [
        ("stage", "equals", "Won", True),
        ("stage", "equals", "won", False),
        ("score", "equals", 7.0, True),
        ("score", "equals", "7", False),
        ("vip", "equals", True, True),
        ("vip", "equals", 1, False),
        ("home", "equals", {"city": "Pune"}, True),
        ("langs", "equals", ["en", "fr"], True),
        ("langs", "equals", ["fr", "en"], False),
        ("langs", "contains", "fr", True),
        ("langs", "not_contains", "de", True),
        ("stage", "contains", "Wo", True),
        ("score", "contains", 7, False),
        ("score", "not_contains", 7, True),
        ("stage", "in", ["Lost", "Won"], True),
        ("score", "in", ["7"], False),
        ("score", "greater_than", 6, True),
        ("score", "greater_than", "6", False),
        ("score", "less_than", "8", False),
        ("vip", "greater_than", 0, False),
        ("stage", "less_than", "Z", True),
        ("stage", "exists", None, True),
        ("nick", "exists", None, False),
        ("nick", "not_exists", None, True),
        ("gone", "equals", None, False),
        ("gone", "not_equals", "x", True),
        ("gone", "not_contains", "x", True),
        ("gone", "contains", "x", False),
        ("gone", "in", ["x"], False),
        ("gone", "less_than", 3, False),
        ("tags", "contains", "beta", True),
        ("tags", "contains", "old", False),
        ("opted_out", "equals", False, True),
        ("opted_out", "exists", None, True),
    ],
)
def test_each_operator(field: str, op: str, value: Any, holds: bool) -> None:
    assert Condition(field, op, value).holds(ADA) is holds


@given(op=st.sampled_from(sorted(NEGATED)), found=VALUES, value=VALUES)
def test_an_operator_and_its_negation_never_agree(op: str, found: Any, value: Any) -> None:
    facts = Facts({"field": found})

    assert Condition("field", op, value).holds(facts) is not Condition("field", NEGATED[op], value).holds(facts)


@given(found=VALUES, value=VALUES)
def test_nothing_is_both_less_and_greater_and_no_two_types_are_either(found: Any, value: Any) -> None:
    facts = Facts({"field": found})
    less = Condition("field", "less_than", value).holds(facts)
    greater = Condition("field", "greater_than", value).holds(facts)

    assert not (less and greater)
    assert not ((less or greater) and Condition("field", "equals", value).holds(facts))


def test_conditions_hold_all_at_once() -> None:
    won, low = Condition("stage", "equals", "Won"), Condition("score", "less_than", 5)

    assert all_hold([won], ADA)
    assert not all_hold([won, low], ADA)
    assert all_hold([], ADA)


def test_an_opt_out_stops_before_success_and_success_before_failure() -> None:
    won = (Condition("stage", "equals", "Won"),)
    both = StopWhen(success=won, failure=won)

    assert both.met(ADA) == "success"
    assert StopWhen(failure=won).met(ADA) == "failure"
    assert both.met(Facts(ADA.attributes, opted_out=True)) == "opted_out"


def test_an_opt_out_neither_keeps_from_qualifying_nor_helps_to_it() -> None:
    opted_out = Facts(ADA.attributes, opted_out=True)

    assert Rules().qualifies(opted_out)
    assert not Rules(stop_when=StopWhen(failure=(Condition("stage", "equals", "Won"),))).qualifies(opted_out)


def test_a_list_that_is_empty_stops_nobody() -> None:
    assert StopWhen().met(ADA) is None
    assert read_stop_when(None) == read_stop_when({}) == StopWhen()


def test_stop_conditions_are_read_from_a_published_definition() -> None:
    found = read_stop_when({"success": [{"field": "stage", "op": "equals", "value": "Won"}], "on_reply": True})

    assert found == StopWhen(success=(Condition("stage", "equals", "Won"),), on_reply=True)
