"""A text of words and attributes says what Jinja2 makes of it."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jinja2 import Template
from templates.filters import TEXT_CHARACTERS_MAX, BrokenRule
from templates.sandbox import Sandbox

NAMES = ["first_name", "plan", "items", "id"]
WORDS = st.text(st.characters(exclude_characters="{}#%", exclude_categories=["Cs"]), max_size=12)
BLANKS = st.builds(
    lambda name, other: "{{ contact.%s%s }}" % (name, other),  # noqa: UP031 - braces
    st.sampled_from(NAMES),
    st.sampled_from(["", "|d('you')", ' | default("<b>")']),
)
SOURCES = st.lists(WORDS | BLANKS, max_size=8).map("".join)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.just("<i>&'\"")
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(WORDS, SCALARS, max_size=2)
CONTACTS = st.dictionaries(st.sampled_from(NAMES), VALUES)


def rendered(sandbox: Sandbox, template: Any, contact: dict[str, Any]) -> str:
    try:
        return sandbox.render_text(template, contact)
    except BrokenRule as broken:
        return f"broken: {broken}"


@given(SOURCES, CONTACTS, st.booleans())
@example(source="{{ contact.plan }}\r\n{{ contact.gone }}\n", contact={"plan": "<"}, escape_html=True)
@example(
    source="{{ contact.plan }}{{ contact.plan }}",
    contact={"plan": "x" * (TEXT_CHARACTERS_MAX // 2 + 1)},
    escape_html=False,
)
@example(source="{{ contact.plan }}", contact={"plan": "&" * (TEXT_CHARACTERS_MAX // 2)}, escape_html=True)
def test_it_is_what_jinja_renders(source: str, contact: dict[str, Any], escape_html: bool) -> None:
    sandbox = Sandbox(escape_html=escape_html)
    plain = sandbox.compile_text(source)

    assert not isinstance(plain, Template) or not source
    assert rendered(sandbox, plain, contact) == rendered(sandbox, sandbox.from_string(source), contact)


@pytest.mark.parametrize(
    "source",
    [
        "{{ contact }}",
        "{{ contact.address.city }}",
        "{{ contact.plan | upper }}",
        "{{ contact.plan | default(contact.id) }}",
        "{{ contact.plan | default('x', true) }}",
        "{{ contact.plan | upper | default('x') }}",
        "{% if contact.plan %}x{% endif %}",
        "{% set x = contact.plan %}{{ x }}",
    ],
)
def test_what_asks_for_more_is_left_to_jinja(source: str) -> None:
    assert isinstance(Sandbox(escape_html=False).compile_text(source), Template)
