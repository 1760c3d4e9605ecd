"""books · log · versions · contacts · contact · why · unknown list · scopes: what the console knows."""

import asyncio
import json
import re
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, tzinfo
from enum import StrEnum
from typing import Annotated, Any, Final, TypeVar

import typer

from sluice.cli.delivery import unknown
from sluice.cli.frame import SequenceId, Session, command
from sluice.cli.local_time import find_zone, shown, zone_name
from sluice.console import Answer
from sluice.errors import NotAnswered

app: Final = typer.Typer()

SHOWN: Final = 50
WATCH_SECONDS: Final = 1.0
NOTHING: Final = "–"
ENDS: Final = ("sent", "failed", "dropped", "expired", "unknown")
NUMBERS: Final = {
    "enrolled": "entered, ever",
    "in_progress": "inside, with at least one message sent",
    "completed": "every step done",
    "dropped": "removed, opted out, or stopped by a failure condition",
    "success": "a success condition held, or they replied",
    "failed": "a message could not be delivered",
}

Found = TypeVar("Found")

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")

ContactId = Annotated[str, typer.Argument(metavar="CONTACT", help="The id of the contact.")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="How many to show at most.")]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Show it again whenever it changes, until Ctrl-C.")]


class Status(StrEnum):
    """What has become of an enrollment."""

    ACTIVE = "active"
    COMPLETED = "completed"
    STOPPED = "stopped"
    REMOVED = "removed"
    FAILED = "failed"


@command(app, "books", needs="console", examples=["sluice books welcome", "sluice books welcome --watch"])
async def books(session: Session, sequence_id: SequenceId, watch: Watch = False) -> None:
    """Show a sequence's closed books: every planned message is pending, claimed, or has ended in one way."""
    async with session.ask() as console:
        await _shown_again(session, watch, lambda: console.books(sequence_id), _show_books)


@command(
    app, "log", needs="console", examples=["sluice log welcome", "sluice log welcome --steps", "sluice log welcome -w"]
)
async def log(
    session: Session,
    sequence_id: SequenceId,
    steps: Annotated[bool, typer.Option("--steps", help="Also what became of the messages of each step.")] = False,
    watch: Watch = False,
) -> None:
    """Show what became of the contacts of a sequence, in six numbers."""
    async with session.ask() as console:

        async def ask() -> Answer:
            found = await console.log(sequence_id)
            return found | {"steps": (await console.funnel(sequence_id))["steps"]} if steps else found

        await _shown_again(session, watch, ask, _show_log)


@command(
    app,
    "versions",
    needs="console",
    examples=["sluice versions welcome", "sluice versions welcome --definition 2 | sluice save welcome -"],
)
async def versions(
    session: Session,
    sequence_id: SequenceId,
    definition: Annotated[
        int | None,
        typer.Option("--definition", metavar="VERSION", min=1, help="Only that version's definition, as JSON."),
    ] = None,
) -> None:
    """Show every version that was published. To go back to one, save its definition and publish it."""
    async with session.ask() as console:
        found = (await console.sequence(sequence_id))["versions"]
    if definition is not None:
        _show_definition(session, found, definition)
        return
    if session.screen.as_json:
        session.screen.write_json(found)
        return
    zone = find_zone()
    session.screen.table(
        ["version", "published", "steps"],
        [[one["version"], _when(one["published_at"], zone), ", ".join(one["steps"])] for one in found],
    )


@command(
    app,
    "contacts",
    needs="console",
    examples=[
        "sluice contacts welcome",
        "sluice contacts welcome --status active --limit 500",
        "sluice contacts welcome -w",
    ],
)
async def contacts(
    session: Session,
    sequence_id: SequenceId,
    status: Annotated[Status | None, typer.Option("--status", help="Only those.")] = None,
    limit: Limit = SHOWN,
    watch: Watch = False,
) -> None:
    """Show where each contact of a sequence stands: its next step, when it leaves, and why not yet."""
    async with session.ask() as console:
        wanted = status.value if status is not None else None

        async def ask() -> list[Answer]:
            return [one async for one in console.contacts(sequence_id, status=wanted, limit=limit)]

        await _shown_again(session, watch, ask, lambda on, found: _show_standings(on, found, limit))


@command(app, "contact", needs="console", examples=["sluice contact ada", "sluice contact ada --limit 500 --json"])
async def contact(session: Session, contact_id: ContactId, limit: Limit = SHOWN) -> None:
    """Show one contact: where it stands in every sequence, and all that happened to it, newest first."""
    async with session.ask() as console:
        found = await console.contact(contact_id, limit=limit)
    if session.screen.as_json:
        session.screen.write_json(found)
        return
    _show_contact(session, found)


@command(
    app,
    "why",
    needs="console",
    examples=[
        "sluice why ada welcome",
        "sluice why ada welcome --step tips",
        "sluice why ada welcome --json | jq .code",
    ],
)
async def why(
    session: Session,
    contact_id: ContactId,
    sequence_id: SequenceId,
    step: Annotated[str | None, typer.Option("--step", metavar="STEP", help="Only about this step.")] = None,
) -> None:
    """Say why a contact got something or did not, with every decision that led to it."""
    async with session.ask() as console:
        found = await console.why(contact_id, sequence_id, step)
    if session.screen.as_json:
        session.screen.write_json(found)
        return
    screen, zone = session.screen, find_zone()
    screen.say(f"{_local(found['answer'], zone)}  ({found['code']})")
    if found["decisions"]:
        screen.say("")
        screen.table(
            ["when", "what", "because"],
            [
                [_when(one["at"], zone), _local(one["what"], zone), _local(one["cause"], zone)]
                for one in found["decisions"]
            ],
        )
    _note_since(session, found, zone)


@command(app, "scopes", needs="console", examples=["sluice scopes", "sluice scopes --watch"])
async def scopes(session: Session, watch: Watch = False) -> None:
    """Show what was ever suspended: everything, a channel or a sender; and whether it is now."""
    async with session.ask() as console:

        async def ask() -> list[Answer]:
            found: list[Answer] = (await console.scopes())["items"]
            return found

        await _shown_again(session, watch, ask, _show_scopes)


@command(unknown, "list", needs="console", examples=["sluice unknown list", "sluice unknown list --sequence welcome"])
async def list_unknown(
    session: Session,
    sequence: Annotated[str | None, typer.Option("--sequence", help="Only of this sequence.")] = None,
    limit: Limit = SHOWN,
) -> None:
    """Show the messages that may or may not have arrived: they wait for a report, their step's policy, or you."""
    async with session.ask() as console:
        found: list[Answer] = []
        async for one in console.unknown():
            if sequence is None or one["sequence_id"] == sequence:
                found.append(one)
            if len(found) == limit:
                break
    if session.screen.as_json:
        session.screen.write_json(found)
        return
    if not found:
        session.screen.say("No message is unknown.")
        return
    zone = find_zone()
    session.screen.table(
        ["message", "contact", "sequence", "step", "channel", "attempt", "since", "why"],
        [
            [
                one["message_id"],
                one["contact_id"],
                one["sequence_id"],
                one["step_id"],
                one["channel"],
                one["attempt"],
                _when(one["at"], zone),
                one["reason"],
            ]
            for one in found
        ],
    )
    session.screen.note("Decide one with `sluice unknown assume-sent MESSAGE` or `sluice unknown retry MESSAGE`.")


async def _shown_again(
    session: Session, watch: bool, ask: Callable[[], Awaitable[Found]], show: Callable[[Session, Found], None]
) -> None:
    """Show it once, or again and again: a program gets a line for every change."""
    before: Found | None = None
    session.endless = watch
    while True:
        found = await ask()
        if found != before:
            if session.screen.as_json:
                session.screen.write_json(found)
            else:
                if watch:
                    session.screen.clear()
                show(session, found)
        if not watch:
            return
        before = found
        await asyncio.sleep(WATCH_SECONDS)


def _show_books(session: Session, found: Answer) -> None:
    screen = session.screen
    if not found["books_version"]:
        screen.say("Nothing has been planned in this sequence yet.")
        return
    screen.say(f"{'planned':<9} {found['planned']:>11,}")
    for name in ("pending", "claimed", *ENDS):
        screen.say(f"{name:<9} {found[name]:>11,}")
    closed = "they close" if found["closed"] else "THEY DO NOT CLOSE"
    screen.note(f"As of {_when(found['as_of'], find_zone())}; {closed}.")


def _show_log(session: Session, found: Answer) -> None:
    screen = session.screen
    for name, meaning in NUMBERS.items():
        screen.say(f"{name:<12} {found[name]:>11,}   {meaning}")
    steps: Sequence[Answer] | None = found.get("steps")
    if steps is not None:
        names = ("waiting", *ENDS[:2], "expired", "unknown", "delivered", "read", "bounced", "replied")
        screen.say("")
        screen.table(
            ["step", "channel", *names],
            [
                [one["step_id"], one["channel"] or NOTHING, *(f"{one.get(name) or 0:,}" for name in names)]
                for one in steps
            ],
        )
    _note_since(session, found, find_zone())


def _show_definition(session: Session, found: Sequence[Answer], version: int) -> None:
    definition = next((one["definition"] for one in found if one["version"] == version), None)
    if definition is None:
        raise NotAnswered("not_found", "There is no such version.")
    if session.screen.as_json:
        session.screen.write_json(definition)
    else:
        sys.stdout.write(json.dumps(definition, indent=2, ensure_ascii=False) + "\n")


def _show_standings(session: Session, found: Sequence[Answer], limit: int) -> None:
    screen, zone = session.screen, find_zone()
    if not found:
        screen.say("Nobody is in it.")
        return
    screen.table(
        ["contact", "status", "version", "done", "next", "leaves", "why"],
        [
            [
                one["contact_id"],
                _status(one),
                one["effective_version"] or one["version"] or NOTHING,
                len(one["ended_steps"]),
                one["next"]["step_id"] if one["next"] else NOTHING,
                _when(one["next"]["leaves_at"], zone) if one["next"] else NOTHING,
                _local(one["answer"], zone),
            ]
            for one in found
        ],
    )
    if len(found) == limit:
        screen.note(f"The first {limit:,}; --limit shows more.")


def _show_contact(session: Session, found: Answer) -> None:
    screen, zone = session.screen, find_zone()
    channels = ", ".join(found["opted_out_channels"])
    opted_out = "from all channels" if found["opted_out"] else f"from {channels}" if channels else "no"
    for name, value in (
        ("contact", found["contact_id"] if found["known"] else f"{found['contact_id']} (not known to the account)"),
        ("timezone", found["timezone"] or NOTHING),
        ("opted out", opted_out),
    ):
        screen.say(f"{name:<10} {value}")
    if found["enrollments"]:
        screen.say("")
        screen.table(
            ["sequence", "status", "entered", "next", "leaves", "why"],
            [
                [
                    one["sequence_id"],
                    _status(one),
                    _when(one["enrolled_at"], zone),
                    one["next"]["step_id"] if one["next"] else NOTHING,
                    _when(one["next"]["leaves_at"], zone) if one["next"] else NOTHING,
                    _local(one["answer"], zone),
                ]
                for one in found["enrollments"]
            ],
        )
    if found["timeline"]:
        screen.say("")
        screen.table(
            ["when", "sequence", "step", "what"],
            [
                [
                    _when(one["at"], zone),
                    one["sequence_id"] or NOTHING,
                    one["step_id"] or NOTHING,
                    _local(one["what"], zone),
                ]
                for one in found["timeline"]
            ],
        )
    _note_since(session, found, zone)


def _show_scopes(session: Session, found: Sequence[Answer]) -> None:
    screen, zone = session.screen, find_zone()
    if not found:
        screen.say("Nothing was ever suspended.")
        return
    screen.table(
        ["scope", "state", "since", "had left", "reason"],
        [
            [
                one["scope"],
                "suspended" if one["suspended"] else "sends",
                _when(one["at"], zone),
                NOTHING if one["in_flight"] is None else f"{one['in_flight']:,}",
                one["reason"] or NOTHING,
            ]
            for one in found
        ],
    )


def _status(enrollment: Mapping[str, Any]) -> str:
    reason = enrollment.get("reason")
    return f"{enrollment['status']} ({reason})" if reason else str(enrollment["status"])


def _when(text: str | None, zone: tzinfo) -> str:
    """A time of the console by the wall clock here."""
    return NOTHING if text is None else shown(datetime.fromisoformat(text), zone)


def _local(sentence: str, zone: tzinfo) -> str:
    """A sentence of the console, its times by the wall clock here."""
    return _TIME.sub(lambda found: _when(found[0], zone), sentence)


def _note_since(session: Session, found: Mapping[str, Any], zone: tzinfo) -> None:
    since = found.get("since")
    known = f"The console knows what happened since {_when(since, zone)}. " if since else ""
    session.screen.note(f"{known}Times are those of {zone_name(zone)}.")
