"""Derived ids."""

from uuid import UUID

from chassis.clock import new_id
from hypothesis import given
from hypothesis import strategies as st
from messaging import derive

WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
IDS = st.uuids().map(str)


@given(st.lists(WORDS | IDS, min_size=1, max_size=5))
def test_the_same_parts_make_the_same_uuid_and_it_says_that_it_is_made(parts: list[str]) -> None:
    made = UUID(derive(*parts))

    assert derive(*parts) == str(made)
    assert made.version == 8


@given(st.lists(WORDS | IDS, min_size=1, max_size=4), st.lists(WORDS | IDS, min_size=1, max_size=4))
def test_other_parts_make_another_id(some: list[str], others: list[str]) -> None:
    assert (derive(*some) == derive(*others)) == (some == others)


@given(IDS, st.lists(WORDS, max_size=3), st.lists(WORDS | IDS, max_size=3))
def test_what_follows_from_an_id_stands_beside_it(cause: str, before: list[str], after: list[str]) -> None:
    assert derive(*(f"no id: {one}" for one in before), cause, *after)[:13] == cause[:13]


def test_all_that_comes_of_a_command_stands_together() -> None:
    command = new_id()
    enrollments = [derive("crm", command, "welcome", contact) for contact in ("ada", "bob")]
    messages = [derive(one, "day-1") for one in enrollments]
    events = [derive("delivery", one, "MessageSent.v1") for one in messages]
    handled = [derive("delivery", one) for one in events]

    assert len({*enrollments, *messages, *events, *handled}) == 8
    assert {one[:13] for one in (*enrollments, *messages, *events, *handled)} == {command[:13]}


def test_who_numbers_a_uuid_or_writes_it_in_capitals_has_its_followers_together_too() -> None:
    run = "0192F3A4-5B6C-7D8E-9FA0-B1C2D3E4F5A6"

    assert [derive("crm", f"{run}:{number}")[:13] for number in range(3)] == ["0192f3a4-5b6c"] * 3


def test_ids_of_another_form_are_spread() -> None:
    made = {derive("crm", f"import-{number}")[:13] for number in range(100)}

    assert len(made) == 100
