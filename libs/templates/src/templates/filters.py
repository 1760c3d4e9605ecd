"""The filters of templates. Each takes any JSON value, or nothing, and gives no more than a message may hold."""

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

from jinja2.filters import do_title
from jinja2.runtime import Undefined
from markupsafe import Markup, escape

TEXT_CHARACTERS_MAX: Final = 64 * 1024
PRECISION_MAX: Final = 10


class BrokenRule(Exception):
    """A rule of the sandbox, in words that go on behind the place (`text: becomes longer than …`)."""


def printed(value: Any) -> str:
    """A value as it is printed: nothing for what is absent or null, `true` and `false`, lists with commas."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, Undefined):
        return ""
    if isinstance(value, list | tuple | range):
        return join(value, ", ")
    return _scalar(value)


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, Undefined):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        try:
            return str(value)
        except ValueError:
            raise BrokenRule("prints a number that is too large") from None
    raise BrokenRule("prints an object: name the part of it that is meant")


def join(value: Any, between: Any = "") -> str:
    """The elements of a list as one text."""
    separator = _scalar(between)
    parts: list[str] = []
    left = TEXT_CHARACTERS_MAX
    for element in _elements(value):
        part = _scalar(element)
        left -= len(part) + len(separator)
        if left < -len(separator):
            raise BrokenRule(f"becomes longer than {TEXT_CHARACTERS_MAX} characters")
        parts.append(part)
    return separator.join(parts)


def _elements(value: Any) -> Any:
    if value is None or isinstance(value, Undefined):
        return ()
    if isinstance(value, list | tuple | str | range | Mapping):
        return value
    raise BrokenRule("treats as a list what is none")


def _default(value: Any, other: Any = "", boolean: bool = False) -> Any:
    absent = value is None or isinstance(value, Undefined)
    return other if absent or (boolean and not value) else value


def _replace(value: Any, old: Any, new: Any) -> str:
    text, old, new = printed(value), printed(old), printed(new)
    if not old:
        return text
    if len(text) + text.count(old) * (len(new) - len(old)) > TEXT_CHARACTERS_MAX:
        raise BrokenRule(f"becomes longer than {TEXT_CHARACTERS_MAX} characters")
    return str(text).replace(old, new)


def _truncate(value: Any, length: int = 255, end: Any = "…") -> str:
    text = printed(value)
    return text if len(text) <= length else text[: max(0, length)] + printed(end)


def _length(value: Any) -> int:
    return len(_elements(value))


def _first(value: Any) -> Any:
    elements = _elements(value)
    return next(iter(elements), None)


def _last(value: Any) -> Any:
    elements = list(_elements(value))
    return elements[-1] if elements else None


def _reverse(value: Any) -> Any:
    return value[::-1] if isinstance(value, str) else list(_elements(value))[::-1]


def _items(value: Any) -> list[tuple[Any, Any]]:
    if value is None or isinstance(value, Undefined):
        return []
    if not isinstance(value, Mapping):
        raise BrokenRule("treats as an object what is none")
    return list(value.items())


def _number(value: Any) -> int | float:
    if isinstance(value, int | float):
        return value
    raise BrokenRule("reckons with what is no number")


def _round(value: Any, precision: int = 0) -> float:
    if not 0 <= precision <= PRECISION_MAX:
        raise BrokenRule(f"rounds to more than {PRECISION_MAX} places")
    return round(float(_number(value)), precision)


def _int(value: Any, default: Any = 0) -> Any:
    try:
        return int(value) if isinstance(value, str) else int(_number(value))
    except (ValueError, OverflowError, BrokenRule):
        return default


def _float(value: Any, default: Any = 0.0) -> Any:
    try:
        return float(value) if isinstance(value, str) else float(_number(value))
    except (ValueError, OverflowError, BrokenRule):
        return default


def _escape(value: Any) -> Markup:
    return value if isinstance(value, Markup) else escape(printed(value))


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "abs": lambda value: abs(_number(value)),
    "capitalize": lambda value: printed(value).capitalize(),
    "count": _length,
    "d": _default,
    "default": _default,
    "e": _escape,
    "escape": _escape,
    "first": _first,
    "float": _float,
    "int": _int,
    "items": _items,
    "join": join,
    "last": _last,
    "length": _length,
    "lower": lambda value: printed(value).lower(),
    "replace": _replace,
    "reverse": _reverse,
    "round": _round,
    "string": printed,
    "title": lambda value: do_title(printed(value)),
    "trim": lambda value: printed(value).strip(),
    "truncate": _truncate,
    "upper": lambda value: printed(value).upper(),
    "urlencode": lambda value: quote(printed(value), safe=""),
}
