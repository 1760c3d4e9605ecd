"""A step's message, compiled."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
from pydantic import TypeAdapter, ValidationError
from sluice_contracts.answers import Fault
from sluice_contracts.definition import EmailMessage, StepMessage, WebhookMessage, WhatsAppMessage

from templates.content import (
    MESSAGE_BYTES_MAX,
    Contact,
    Content,
    EmailContent,
    TemplateFault,
    WebhookContent,
    WhatsAppContent,
)
from templates.filters import BrokenRule
from templates.sandbox import Sandbox

_MESSAGE: Final[TypeAdapter[StepMessage]] = TypeAdapter(StepMessage)
_MARK: Final = re.compile(r"\{[{%#]")
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_NO_TEMPLATE: Final = "must stand as it is: templates are not rendered here"
_PLAIN: Final = Sandbox(escape_html=False)
_HTML: Final = Sandbox(escape_html=True)

_Data = Mapping[str, Any]
_Text = Callable[[_Data], str]
_Json = Callable[[_Data], Any]


@dataclass(frozen=True, slots=True)
class CompiledMessage:
    """Renders one step's message; made once per (sequence, version, step)."""

    channel: str
    _content: Callable[[_Data], Content]

    def render(self, contact: Contact) -> Content:
        """The content for one contact; TemplateFault where it cannot be made or is too long."""
        content = self._content({**contact.attributes, "id": contact.id, "tags": list(contact.tags)})
        if _size(content) > MESSAGE_BYTES_MAX:
            raise TemplateFault("message", f"becomes longer than {MESSAGE_BYTES_MAX} bytes")
        return content


class _Compilation:
    """Compiles the texts of a message. Faults are gathered, so that all of them are told at once."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def text(self, place: str, source: str, *, html: bool = False, one_line: bool = False) -> _Text:
        """One text; what has no mark of a template in it is not compiled."""
        rendered = self._render(place, source, _HTML if html else _PLAIN)
        if one_line:
            return lambda data: _line(rendered(data))
        return rendered

    def _render(self, place: str, source: str, sandbox: Sandbox) -> _Text:
        if not _MARK.search(source):
            return lambda data: source
        try:
            template = sandbox.compile_text(source)
        except BrokenRule as broken:
            self.fault(place, str(broken))
            return lambda data: ""

        def render(data: _Data) -> str:
            try:
                return sandbox.render_text(template, data)
            except BrokenRule as broken:
                raise TemplateFault(place, str(broken)) from None

        return render

    def json(self, place: str, value: Any) -> _Json:
        """A JSON value of which every text is a template; its keys are not."""
        match value:
            case str():
                return self.text(place, value)
            case dict():
                for key in value:
                    self.untouched(f"{place}.?", key)
                members = [(key, self.json(f"{place}.{_named(key)}", member)) for key, member in value.items()]
                return lambda data: {key: member(data) for key, member in members}
            case list():
                elements = [self.json(f"{place}[{number}]", element) for number, element in enumerate(value)]
                return lambda data: [element(data) for element in elements]
            case _:
                return lambda data: value

    def untouched(self, place: str, source: str) -> str:
        """A text that is sent as it stands; a mark of a template in it is a mistake."""
        if _MARK.search(source):
            self.fault(place, _NO_TEMPLATE)
        return source

    def fault(self, place: str, rule: str) -> None:
        """Note what is wrong."""
        self.faults.append(Fault(place=place, rule=rule))


def compile_message(message: StepMessage) -> CompiledMessage:
    """Compile the message of a step; TemplateFault, the first one, where `check_message` would find any."""
    compilation = _Compilation()
    compiled = CompiledMessage(message.channel, _content(message, compilation))
    for fault in compilation.faults:
        raise TemplateFault(fault.place, fault.rule)
    return compiled


def check_message(message: StepMessage) -> list[Fault]:
    """Every fault of a message's templates, with its place in the message (`subject`, `json.items[0].name`)."""
    compilation = _Compilation()
    _content(message, compilation)
    return compilation.faults


def step_faults(number: int, step: Any) -> list[Fault]:
    """Every fault of the templates of a step as it stands in a definition; none where its message is none."""
    if not isinstance(step, Mapping):
        return []
    try:
        message = _MESSAGE.validate_python(step.get("message"))
    except ValidationError:
        return []  # told by the definition's model already
    return [Fault(place=f"steps[{number}].message.{one.place}", rule=one.rule) for one in check_message(message)]


def _content(message: StepMessage, compilation: _Compilation) -> Callable[[_Data], Content]:
    match message:
        case EmailMessage():
            return _email(message, compilation)
        case WhatsAppMessage():
            return _whatsapp(message, compilation)
        case WebhookMessage():
            return _webhook(message, compilation)


def _email(message: EmailMessage, compilation: _Compilation) -> Callable[[_Data], Content]:
    subject = compilation.text("subject", message.subject, one_line=True)
    text = None if message.text is None else compilation.text("text", message.text)
    html = None if message.html is None else compilation.text("html", message.html, html=True)
    return lambda data: EmailContent(subject=subject(data), text=text and text(data), html=html and html(data))


def _whatsapp(message: WhatsAppMessage, compilation: _Compilation) -> Callable[[_Data], Content]:
    template = compilation.untouched("template", message.template)
    language = compilation.untouched("language", message.language)
    variables = [
        (name, compilation.text(f"variables.{_named(name)}", source, one_line=True))
        for name, source in message.variables.items()
    ]
    return lambda data: WhatsAppContent(
        template=template, language=language, variables=tuple((name, value(data)) for name, value in variables)
    )


def _webhook(message: WebhookMessage, compilation: _Compilation) -> Callable[[_Data], Content]:
    url = compilation.untouched("url", message.url)
    try:
        parts = urlsplit(url)
        if parts.username is not None or parts.password is not None:
            compilation.fault("url", "must hold no user name and no password")
        if not parts.hostname or parts.port == 0:
            compilation.fault("url", "must name a host")
    except ValueError:
        compilation.fault("url", "must be an http or https address")
    body = compilation.json("json", message.json_)
    return lambda data: WebhookContent(url=url, body=orjson.dumps(body(data)))


def _named(key: str) -> str:
    """A key as part of a place; one that is long or odd might be a value, and is not told."""
    return key if re.fullmatch(r"[A-Za-z0-9_.:-]{1,64}", key) else "?"


def _line(text: str) -> str:
    """All of it on one line. What can be printed holds nothing that would break one."""
    return (text if text.isprintable() else _CONTROL.sub(" ", text)).strip()


def _size(content: Content) -> int:
    match content:
        case EmailContent():
            return _bytes(content.subject) + _bytes(content.text or "") + _bytes(content.html or "")
        case WhatsAppContent():
            return sum(_bytes(value) for _, value in content.variables)
        case WebhookContent():
            return len(content.body)


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
