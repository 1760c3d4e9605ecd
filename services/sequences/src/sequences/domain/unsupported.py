"""What the contract allows and this version cannot do yet: refused with its place, never accepted and ignored.

Whoever builds one of these takes its line out here.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from messaging import Refused
from sluice_contracts.answers import Fault
from sluice_contracts.sequences import PauseSequence, PublishSequence, ResumeSequence, SequenceCommand

RULE: Final = "not supported yet"

Asks = Callable[[Any], bool]

DEFINITION_NOT_YET: Final[tuple[tuple[str, Asks], ...]] = (
    ("trigger", lambda asked: asked is not None),
    ("start_when", lambda asked: bool(asked)),
    ("stop_when", lambda asked: any(asked.values()) if isinstance(asked, Mapping) else asked is not None),
    ("enroll_once", lambda asked: asked is False),
    ("delivery", lambda asked: asked is not None),
)
"""Fields of a definition, by place."""

STEP_NOT_YET: Final[tuple[tuple[str, Asks], ...]] = (
    ("on_unknown", lambda asked: asked == "retry"),
    ("message.sender", lambda asked: asked is not None),
)
"""Fields of each step of a definition."""

COMMAND_NOT_YET: Final[tuple[tuple[type[SequenceCommand], str, Asks], ...]] = (
    (PublishSequence, "in_flight", lambda asked: asked == "pin"),
    (PauseSequence, "resume_at", lambda asked: asked is not None),
    (ResumeSequence, "overdue", lambda asked: asked not in (None, "shift")),
    (ResumeSequence, "max_lateness", lambda asked: asked is not None),
    (ResumeSequence, "admit", lambda asked: asked not in (None, "none")),
)
"""Fields of commands."""


def unsupported_in(definition: Mapping[str, Any]) -> list[Fault]:
    """The places of a definition that ask for what cannot be done yet; it need not be valid otherwise."""
    faults = [Fault(place=place, rule=RULE) for place, asks in DEFINITION_NOT_YET if asks(definition.get(place))]
    steps = definition.get("steps")
    for number, step in enumerate(steps if isinstance(steps, list) else ()):
        if isinstance(step, Mapping):
            faults += [
                Fault(place=f"steps[{number}].{place}", rule=RULE)
                for place, asks in STEP_NOT_YET
                if asks(_at(step, place))
            ]
    return faults


def _at(step: Mapping[str, Any], place: str) -> Any:
    """What stands at `a.b` of a step, which need not be valid."""
    found: Any = step
    for name in place.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def refuse_unsupported(command: SequenceCommand) -> None:
    """Refuse a command that asks for what cannot be done yet, naming each place."""
    faults = [
        Fault(place=place, rule=RULE)
        for model, place, asks in COMMAND_NOT_YET
        if isinstance(command, model) and asks(getattr(command, place))
    ]
    if faults:
        raise Refused("invalid", "the command asks for what is not supported yet", faults)
