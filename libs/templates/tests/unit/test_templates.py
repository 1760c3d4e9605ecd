"""Templates: what they say, and what they cannot do."""

from typing import Any

import orjson
import pytest
from pydantic import TypeAdapter
from sluice_contracts.definition import StepMessage
from templates import (
    Contact,
    EmailContent,
    TemplateFault,
    WebhookContent,
    WhatsAppContent,
    check_message,
    compile_message,
)

MESSAGE: TypeAdapter[Any] = TypeAdapter(StepMessage)
BIG = "x" * 60_000
ADA = Contact(
    id="c-1",
    attributes={
        "first_name": "Ada",
        "age": 36,
        "vip": True,
        "none": None,
        "items": ["a", "b"],
        "address": {"city": "London"},
        "html": "<b>&",
        "lines": "a\r\nBcc: x@example.org\u2028z",
        "big": BIG,
        "deep": [["a"], ["b"]],
    },
    tags=("new", "trial"),
)


def message(**fields: Any) -> Any:
    return MESSAGE.validate_python({"channel": "email", "subject": "s", "text": "t", **fields})


def webhook(json: dict[str, Any], url: str = "https://crm.example/hook") -> Any:
    return MESSAGE.validate_python({"channel": "webhook", "url": url, "json": json})


def text(source: str) -> str:
    content = compile_message(message(text=source)).render(ADA)
    assert isinstance(content, EmailContent)
    assert content.text is not None
    return content.text


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("Hi {{ contact.first_name }}!\n", "Hi Ada!\n"),
        ("{{ contact.id }} {{ contact.tags }}", "c-1 new, trial"),
        ("{{ contact.items | join('-') }} {{ contact.address.city }}", "a-b London"),
        ("{{ contact.age + 1 }} {{ contact.vip }} [{{ contact.none }}]", "37 true []"),
        ("{% if 'trial' in contact.tags %}try{% else %}buy{% endif %}", "try"),
        (
            "{% for i in contact['items'] %}{{ loop.index }}{{ i }}{% if not loop.last %},{% endif %}{% endfor %}",
            "1a,2b",
        ),
        ("{% for k, v in contact.address|items %}{{ k }}={{ v }}{% endfor %}", "city=London"),
        ("{% set name = contact.nick or contact.first_name %}{{ name|upper }}", "ADA"),
        ("{{ contact.html }}", "<b>&"),
        ("no template }} at all", "no template }} at all"),
        ("{% raw %}{{ as it is }}{% endraw %}{# a comment #}", "{{ as it is }}"),
        ("{{ contact.first_name[:2] ~ 1 }}{{ contact.items[-1] }}", "Ad1b"),
        ("{{ 'a' + 'b' }}{{ '%s' | replace('%s', 'c') }}{{ 7 // 2 }}{{ 7 % 4 }}{{ 2.5|round|int }}", "abc332"),
    ],
)
def test_a_text_is_rendered_for_its_contact(source: str, expected: str) -> None:
    assert check_message(message(text=source)) == []
    assert text(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        "{{ contact.nothing }}",
        "{{ contact.nothing.at.all['deep'] }}",
        "{{ contact.first_name.nothing }}",
        "{% for x in contact.nothing %}{{ x }}{% endfor %}",
        "{% for x in contact.none %}{{ x }}{% endfor %}",
        "{{ contact.none|upper }}{{ contact.nothing|default('') }}",
    ],
)
def test_what_a_contact_does_not_have_renders_as_nothing(source: str) -> None:
    assert text(source) == ""


def test_a_default_stands_for_what_is_absent_or_null() -> None:
    assert text("{{ contact.nothing|default('friend') }} {{ contact.none|d('x') }}") == "friend x"


def test_html_is_escaped_in_html_and_only_there() -> None:
    compiled = compile_message(message(subject="{{ contact.html }}", text=None, html="<p>{{ contact.html }}</p>"))

    content = compiled.render(ADA)

    assert content == EmailContent(subject="<b>&", text=None, html="<p>&lt;b&gt;&amp;</p>")


def test_a_subject_and_a_variable_stay_one_line_whatever_the_contact_holds() -> None:
    subject = compile_message(message(subject="Hi {{ contact.lines }}")).render(ADA)
    whatsapp = compile_message(
        MESSAGE.validate_python(
            {
                "channel": "whatsapp",
                "template": "welcome_1",
                "language": "en",
                "variables": {"1": "{{ contact.lines }}", "2": "{{ contact.first_name }}"},
            }
        )
    ).render(ADA)

    assert isinstance(subject, EmailContent)
    assert subject.subject == "Hi a Bcc: x@example.org z"
    assert whatsapp == WhatsAppContent("welcome_1", "en", (("1", "a Bcc: x@example.org z"), ("2", "Ada")))


def test_every_text_of_a_webhooks_json_is_a_template_and_its_quotes_stay_quoted() -> None:
    contact = Contact(id="c-1", attributes={"name": 'A "quoted" \\ name\n'})

    content = compile_message(webhook({"a": ["{{ contact.name }}", 1, None, {"b": "{{ contact.id }}"}]})).render(
        contact
    )

    assert isinstance(content, WebhookContent)
    assert content.url == "https://crm.example/hook"
    assert orjson.loads(content.body) == {"a": ['A "quoted" \\ name\n', 1, None, {"b": "c-1"}]}


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ contact.__class__ }}",
        "{{ contact.tags.append('x') }}",
        "{{ contact.first_name.upper() }}",
        "{{ '{0.__class__}'.format(contact) }}",
        "{{ '%s'|format(contact) }}",
        "{{ contact|attr('__class__') }}",
        "{{ self }}",
        "{{ self.__init__.__globals__ }}",
        "{{ loop.__init__ }}",
        "{{ cycler }}",
        "{{ namespace() }}",
        "{{ range.__call__ }}",
        "{{ lipsum() }}",
        "{{ first_name }}",
        "{{ _work }}",
        "{{ [1]|map(attribute='__class__')|list }}",
        "{{ contact.html|safe }}",
        "{{ 2 ** 999999 }}",
        "{% include 'x' %}",
        "{% import 'x' as y %}",
        "{% extends 'x' %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% block b %}{% endblock %}",
        "{% filter upper %}x{% endfilter %}",
        "{% set x %}y{% endset %}",
        "{% set contact = 1 %}",
        "{% with a = 1 %}{% endwith %}",
        "{% autoescape false %}{{ contact.html }}{% endautoescape %}",
        "{% for x in contact.items recursive %}{{ loop(x) }}{% endfor %}",
        "{% for a in range(2) %}" * 4 + "{% endfor %}" * 4,
        "{{ contact.first_name",
        "{% if %}",
        "{{ 'x'|nothing }}",
        "{{ range(*contact.items) }}",
        "{{ " + "(" * 5_000 + "1" + ")" * 5_000 + " }}",
        "{{ " + "9" * 5_000 + " }}",
        "{{ " + " ~ ".join(["contact.big"] * 60) + " }}",
        "{% if contact.id %}" * 200 + "{% endif %}" * 200,
        "{{ contact.id }}" * 4_300,
    ],
)
def test_what_is_not_allowed_is_found_before_it_is_published(source: str) -> None:
    faults = check_message(message(text=source))

    assert [fault.place for fault in faults] == ["text"]
    with pytest.raises(TemplateFault):
        compile_message(message(text=source))


@pytest.mark.parametrize(
    "source",
    [
        "{{ range(2000) }}",
        "{% for a in range(1000) %}{% for b in range(1000) %}.{% endfor %}{% endfor %}",
        "{% for a in contact.big %}{{ contact.id }}{% endfor %}",
        "{% for a in range(100) %}{{ contact.big }}{% endfor %}",
        "{{ contact.big }}{{ contact.big }}",
        "{{ contact.big * 10 }}",
        "{{ 'a' * 1000000000 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ contact.big|replace('x', 'xxxxxxxxxx') }}",
        "{{ range(1000)|join(contact.big) }}",
        "{{ [contact.big, contact.big]|join }}",
        "{{ contact.big + contact.big }}",
        "{% set a = contact.big ~ contact.big %}",
        "{% set a = [contact.big] %}",
        "{{ 999999999999 * 999999999999 * 999999999999 }}",
        "{{ contact.age / 0 }}",
        "{{ contact.first_name + 1 }}",
        "{{ contact.address }}",
        "{{ contact.deep }}",
        "{{ contact.age|round(9999999) }}",
        "{% for a in contact.age %}{% endfor %}",
    ],
)
def test_what_would_grow_or_go_wrong_is_refused_for_the_contact(source: str) -> None:
    compiled = compile_message(message(text=source))

    with pytest.raises(TemplateFault) as fault:
        compiled.render(ADA)

    assert fault.value.place == "text"
    assert "x" * 10 not in fault.value.rule


def test_a_message_is_bounded_as_a_whole() -> None:
    compiled = compile_message(message(text="{{ contact.big }}", html="{{ contact.big }}"))

    with pytest.raises(TemplateFault, match="longer than 65536 bytes"):
        compiled.render(ADA)


def test_a_message_of_one_characters_many_bytes_is_bounded_in_bytes() -> None:
    with pytest.raises(TemplateFault, match="longer than 65536 bytes"):
        compile_message(message(text="{{ contact.x }}")).render(Contact(id="c", attributes={"x": "ü" * 40_000}))


def test_every_fault_is_told_at_once_with_its_place() -> None:
    faults = check_message(webhook({"a": "{{", "b": [{"c": "{% if %}"}], "{{ x }}": 1, "d": "{{ contact.id }}"}))

    assert [fault.place for fault in faults] == ["json.?", "json.a", "json.b[0].c"]


@pytest.mark.parametrize(
    "url",
    [
        "https://{{contact.host}}/hook",
        "https://user:secret@crm.example/hook",
        "https://user@crm.example/",
        "http:///x",
        "http://[::1/",
        "http://host:99999/",
    ],
)
def test_an_address_is_no_template_and_holds_no_credentials(url: str) -> None:
    assert {fault.place for fault in check_message(webhook({}, url))} == {"url"}
    assert not any("secret" in fault.rule for fault in check_message(webhook({}, url)))


def test_what_is_compiled_keeps_nothing_of_one_contact_for_the_next() -> None:
    compiled = compile_message(message(text="{% set n = contact.first_name %}{{ n }}{{ contact.nick }}"))

    first = compiled.render(ADA)
    second = compiled.render(Contact(id="c-2", attributes={"nick": "Bo"}))

    assert (first, second) == (EmailContent("s", "Ada", None), EmailContent("s", "Bo", None))


def test_what_is_personal_is_in_no_repr() -> None:
    assert "Ada" not in repr(ADA)
    assert "Ada" not in repr(compile_message(message(text="{{ contact.first_name }}")).render(ADA))
