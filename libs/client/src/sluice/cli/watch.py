"""watch"""

from datetime import datetime
from typing import Annotated, Any, Final

import typer
from sluice_contracts import topics
from sluice_contracts.base import format_timestamp

from sluice.cli.frame import Session, command
from sluice.event import Event

app: Final = typer.Typer()

LIFECYCLE: Final = (
    topics.SEQUENCES_EVENTS,
    topics.SEQUENCES_CONTROL,
    topics.ENROLLMENT_CONTROL,
    topics.DELIVERY_CONTROL,
    topics.ERASURE_RECEIPTS,
)
EACH_CONTACT: Final = (topics.ENROLLMENT_EVENTS, topics.DELIVERY_EVENTS)
SHOWN: Final = (
    "status",
    "version",
    "revision",
    "epoch",
    "reason",
    "resume_at",
    "overdue",
    "max_lateness",
    "admit",
    "service",
    "scope",
    "contact_id",
    "via",
    "step_id",
    "channel",
    "code",
    "report",
    "outcome",
    "dropped",
    "in_flight",
    "entry_closed_at",
    "closed_at",
    "halted_at",
)


@command(
    app,
    "watch",
    examples=["sluice watch", "sluice watch welcome spring --messages", "sluice watch welcome --from-start --json"],
)
async def watch(
    session: Session,
    sequences: Annotated[
        list[str] | None, typer.Argument(metavar="[SEQUENCE]...", help="Only what is about these.", show_default=False)
    ] = None,
    messages: Annotated[bool, typer.Option("--messages", help="Also each enrollment and each message sent.")] = False,
    from_start: Annotated[bool, typer.Option("--from-start", help="Begin with what is still in the topics.")] = False,
) -> None:
    """Show what happens, as it happens, until Ctrl-C."""
    names = LIFECYCLE + (EACH_CONTACT if messages else ())
    async with session.open() as sluice:
        stream = sluice.events(*names, start="earliest" if from_start else "latest")
        async with stream:
            session.screen.note("Watching; Ctrl-C ends it.")
            session.endless = True
            async for event in stream:
                if not sequences or event.sequence_id in sequences:
                    _show(session, event)


def _show(session: Session, event: Event) -> None:
    if session.screen.as_json:
        session.screen.write_json(_as_json(event))
        return
    time = f"{event.time:%H:%M:%S.%f}"[:-3] if event.time else " " * 12
    about = event.sequence_id or event.key
    session.screen.say(f"{time}  {event.name:<24} {about:<24} {_described(event)}".rstrip())


def _described(event: Event) -> str:
    found: dict[str, Any] = {**event.data, **_receipts(event)}
    return "  ".join(f"{name} {found[name]}" for name in SHOWN if found.get(name) not in (None, ""))


def _receipts(event: Event) -> dict[str, Any]:
    """Of a sequence's state the receipts; its `in_flight` is a word there, and not shown."""
    if event.topic != topics.SEQUENCES_EVENTS:
        return {}
    receipts = event.data.get("receipts")
    return {"in_flight": None, **(receipts if isinstance(receipts, dict) else {})}


def _as_json(event: Event) -> dict[str, Any]:
    time: datetime | None = event.time
    return {
        "topic": event.topic,
        "key": event.key,
        "type": event.type or None,
        "id": event.id or None,
        "source": event.source or None,
        "actor": event.actor,
        "time": format_timestamp(time) if time else None,
        "data": dict(event.data) if not event.gone else None,
    }
