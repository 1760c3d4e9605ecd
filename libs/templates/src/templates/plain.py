"""Texts of words and `{{ contact.name }}` alone: most are, and filling them in costs a fraction of a rendering."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jinja2 import nodes
from markupsafe import escape

from templates.filters import TEXT_CHARACTERS_MAX, BrokenRule, printed


class Blank(NamedTuple):
    """What a contact fills in: an attribute, or what stands there where it has none."""

    attribute: str
    other: str


Part = str | Blank


def parts_of(tree: nodes.Template) -> list[Part] | None:
    """The parts of a text that has passed inspection; None where it asks for more."""
    parts: list[Part] = []
    for output in tree.body:
        if not isinstance(output, nodes.Output):
            return None
        for node in output.nodes:
            part = node.data if isinstance(node, nodes.TemplateData) else _blank(node)
            if part is None:
                return None
            parts.append(part)
    return parts


def _blank(node: nodes.Node) -> Blank | None:
    match node:
        case nodes.Getattr(node=nodes.Name(name="contact"), attr=attribute):
            return Blank(attribute, "")
        case nodes.Filter(name="default" | "d", node=inner, args=[nodes.Const(value=str(other))], kwargs=[]) if inner:
            blank = _blank(inner) if isinstance(inner, nodes.Getattr) else None
            return blank and blank._replace(other=other)
    return None


def fill_in(parts: Sequence[Part], data: Mapping[str, Any], *, escape_html: bool) -> str:
    """What the sandbox would render; BrokenRule where it would raise that."""
    texts: list[str] = []
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
            continue
        attribute, other = part
        value = data.get(attribute)
        text = value if type(value) is str else other if value is None else printed(value)
        texts.append(escape(text) if escape_html else text)
    text = "".join(texts)
    if len(text) > TEXT_CHARACTERS_MAX:
        raise BrokenRule(f"becomes longer than {TEXT_CHARACTERS_MAX} characters")
    return text
