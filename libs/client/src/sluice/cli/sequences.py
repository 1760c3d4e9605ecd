"""save · publish · pause · resume · delete · list · show"""

import json
import signal
import sys
from enum import StrEnum
from typing import Annotated, Any, Final

import typer
from sluice_contracts.sequences import SequenceState

from sluice.cli.documents import read_document
from sluice.cli.frame import Session, Usage, command
from sluice.cli.screen import is_terminal
from sluice.errors import CommandRefused
from sluice.state import ERASING_SERVICES

app: Final = typer.Typer()

SequenceId = Annotated[str, typer.Argument(metavar="SEQUENCE", help="The id of the sequence.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
ExpectedRevision = Annotated[
    int | None,
    typer.Option("--expected-revision", metavar="N", min=0, help="Refuse if the draft is not at this revision."),
]


class PauseWait(StrEnum):
    """What a pause waits for."""

    ACCEPTED = "accepted"
    STOPPED = "stopped"


class ResumeWait(StrEnum):
    """What a resume waits for."""

    ACCEPTED = "accepted"
    RESUMED = "resumed"


class DeleteWait(StrEnum):
    """What a deletion waits for."""

    ACCEPTED = "accepted"
    ERASED = "erased"


@command(
    app,
    "save",
    asks=True,
    one_command=True,
    examples=["sluice save welcome welcome.json", "cat welcome.json | sluice save welcome -"],
)
async def save(
    session: Session,
    sequence_id: SequenceId,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The definition as JSON; - reads stdin.")],
    expected_revision: ExpectedRevision = None,
) -> None:
    """Keep a definition as the draft of a sequence. Nothing that runs changes."""
    definition = read_document(file)
    async with session.open() as sluice:
        saved = await sluice.save(sequence_id, definition, expected_revision, command_id=session.command_id)
    session.screen.result(
        f"Saved {sequence_id}: revision {saved.revision} ({saved.status}).",
        {
            "sequence_id": sequence_id,
            "revision": saved.revision,
            "status": saved.status,
            "command_id": saved.command_id,
        },
    )


@command(
    app, "publish", asks=True, one_command=True, examples=["sluice publish welcome", "sluice publish welcome --yes"]
)
async def publish(
    session: Session, sequence_id: SequenceId, expected_revision: ExpectedRevision = None, yes: Yes = False
) -> None:
    """Make the draft the next version: whoever is inside goes on with it at the next step."""
    _require_confirmation_possible(yes, "publish")
    async with session.open() as sluice:
        if not yes:
            found = await sluice.sequence(sequence_id)
            _confirm(f"Publish {_described(sequence_id, found)}?")
            expected_revision = found.revision if found and expected_revision is None else expected_revision
        published = await sluice.publish(sequence_id, expected_revision, command_id=session.command_id)
    session.screen.result(
        f"Published {sequence_id}: version {published.version}.",
        {"sequence_id": sequence_id, "version": published.version, "command_id": published.command_id},
    )


@command(
    app,
    "pause",
    asks=True,
    one_command=True,
    examples=["sluice pause welcome --wait stopped", "sluice pause welcome --reason 'wrong price'"],
)
async def pause(
    session: Session,
    sequence_id: SequenceId,
    reason: Annotated[str | None, typer.Option("--reason", help="Why; everyone who subscribes reads it.")] = None,
    wait: Annotated[PauseWait, typer.Option("--wait", help="stopped: until both receipts prove it.")] = (
        PauseWait.ACCEPTED
    ),
) -> None:
    """Stop a sequence: nobody enters and nothing is sent, until it is resumed."""
    async with session.open() as sluice:
        paused = await sluice.pause(sequence_id, reason, wait=wait.value, command_id=session.command_id)
    values: dict[str, Any] = {"sequence_id": sequence_id, "epoch": paused.epoch, "command_id": paused.command_id}
    if wait is PauseWait.ACCEPTED:
        session.screen.result(f"The pause of {sequence_id} is under way (epoch {paused.epoch}).", values)
        return
    values |= {"stopped": paused.stopped, "state": _state_json(paused.state) if paused.state else None}
    session.screen.result(_stopped_sentence(sequence_id, paused.stopped, paused.state), values)


@command(app, "resume", asks=True, one_command=True, examples=["sluice resume welcome --wait resumed"])
async def resume(
    session: Session,
    sequence_id: SequenceId,
    wait: Annotated[ResumeWait, typer.Option("--wait", help="resumed: until it has taken effect.")] = (
        ResumeWait.ACCEPTED
    ),
) -> None:
    """Let a paused sequence run again; what was still to wait is still to wait."""
    async with session.open() as sluice:
        resumed = await sluice.resume(sequence_id, wait=wait.value, command_id=session.command_id)
    values: dict[str, Any] = {"sequence_id": sequence_id, "epoch": resumed.epoch, "command_id": resumed.command_id}
    if wait is ResumeWait.ACCEPTED:
        session.screen.result(f"The resume of {sequence_id} is under way (epoch {resumed.epoch}).", values)
        return
    values |= {"running": resumed.running, "state": _state_json(resumed.state) if resumed.state else None}
    sentence = (
        f"{sequence_id} runs again."
        if resumed.running
        else f"{sequence_id} does not run: something newer came between."
    )
    session.screen.result(sentence, values)


@command(app, "delete", asks=True, one_command=True, examples=["sluice delete welcome --wait erased --yes"])
async def delete(
    session: Session,
    sequence_id: SequenceId,
    wait: Annotated[DeleteWait, typer.Option("--wait", help="erased: until no service holds a row of it.")] = (
        DeleteWait.ACCEPTED
    ),
    yes: Yes = False,
) -> None:
    """Stop a sequence and erase it everywhere, for good."""
    _require_confirmation_possible(yes, "delete")
    async with session.open() as sluice:
        if not yes:
            found = await sluice.sequence(sequence_id)
            _confirm(f"Delete {_described(sequence_id, found)}, and all that is kept of it? There is no way back.")
        deleted = await sluice.delete(sequence_id, wait=wait.value, command_id=session.command_id)
    values: dict[str, Any] = {"sequence_id": sequence_id, "epoch": deleted.epoch, "command_id": deleted.command_id}
    if deleted.erasure is None:
        session.screen.result(f"The deletion of {sequence_id} is under way (epoch {deleted.epoch}).", values)
        return
    rows = {service: sum(tables.values()) for service, tables in deleted.erasure.rows.items()}
    session.screen.result(
        f"{sequence_id} is erased: " + ", ".join(f"{service} {count:,} rows" for service, count in rows.items()) + ".",
        values | {"rows": deleted.erasure.rows},
    )


@command(app, "list", examples=["sluice list", "sluice list --json"])
async def list_sequences(session: Session) -> None:
    """Show every sequence there is."""
    async with session.open() as sluice:
        found = await sluice.sequences()
    if session.screen.as_json:
        session.screen.write_json([_without_definitions(state) for state in found.values()])
    elif not found:
        session.screen.say("There is no sequence yet: `sluice save` makes one.")
    else:
        session.screen.table(
            ["sequence", "status", "version", "draft", "epoch", "since"],
            [
                [
                    state.sequence_id,
                    _status(state),
                    state.version or "–",
                    f"revision {state.revision}" if state.draft is not None else "–",
                    state.epoch,
                    f"{state.updated_at:%Y-%m-%d %H:%M:%S}",
                ]
                for state in found.values()
            ],
        )


@command(app, "show", examples=["sluice show welcome", "sluice show welcome --definition > welcome.json"])
async def show(
    session: Session,
    sequence_id: SequenceId,
    definition: Annotated[
        bool, typer.Option("--definition", help="Only the definition as JSON: the draft, else what is published.")
    ] = False,
) -> None:
    """Show one sequence; of one that is being deleted also for whom the deletion waits."""
    async with session.open() as sluice:
        state = await sluice.sequence(sequence_id)
        if state is None:
            raise CommandRefused("not_found", "there is no such sequence")
        erased = sorted(await sluice.erased_by(sequence_id)) if state.status == "deleted" else []
    if definition:
        _show_definition(session, state)
        return
    waiting = [service for service in ERASING_SERVICES if service not in erased] if state.status == "deleted" else []
    if session.screen.as_json:
        session.screen.write_json(_state_json(state) | ({"waits_for": waiting} if waiting else {}))
        return
    for name, value in _facts(state, waiting):
        session.screen.say(f"{name:<10} {value}")


def _show_definition(session: Session, state: SequenceState) -> None:
    found = state.draft if state.draft is not None else state.published
    if found is None:
        raise CommandRefused("deleted", "the sequence has no definition any more")
    if session.screen.as_json:
        session.screen.write_json(found)
    else:
        sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")


def _facts(state: SequenceState, waiting: list[str]) -> list[tuple[str, object]]:
    facts: list[tuple[str, object]] = [("sequence", state.sequence_id), ("status", _status(state))]
    definition = state.draft if state.draft is not None else state.published
    if definition is not None:
        steps = definition.get("steps")
        facts.append(("name", definition.get("name", "–")))
        facts.append(("steps", len(steps) if isinstance(steps, list) else 0))
    facts.append(("version", state.version or "– (never published)"))
    facts.append(("draft", f"revision {state.revision}" if state.draft is not None else "– (what is published)"))
    facts.append(("epoch", state.epoch))
    if state.reason:
        facts.append(("reason", state.reason))
    if state.receipts:
        receipts = state.receipts
        facts.append(("entry", f"closed at {receipts.entry_closed_at:%Y-%m-%d %H:%M:%S.%f}"))
        facts.append(("sending", f"halted at {receipts.halted_at:%Y-%m-%d %H:%M:%S.%f}"))
        facts.append(("dropped", f"{receipts.dropped:,} pending, {receipts.in_flight:,} had already left"))
    if waiting:
        facts.append(("waits for", ", ".join(waiting)))
    facts.append(("since", f"{state.updated_at:%Y-%m-%d %H:%M:%S} UTC"))
    return facts


def _status(state: SequenceState) -> str:
    if state.status == "paused":
        return "paused, stopped" if state.receipts else "paused, stopping"
    return "being deleted" if state.status == "deleted" else state.status


def _stopped_sentence(sequence_id: str, stopped: bool, state: SequenceState | None) -> str:
    if not stopped or state is None or state.receipts is None:
        return f"{sequence_id} has moved on: something newer replaced this pause."
    receipts = state.receipts
    return (
        f"{sequence_id} has stopped. Nobody entered after {receipts.entry_closed_at:%H:%M:%S.%f}, nothing left after "
        f"{receipts.halted_at:%H:%M:%S.%f} (UTC); {receipts.dropped:,} pending messages dropped, "
        f"{receipts.in_flight:,} had already left."
    )


def _described(sequence_id: str, state: SequenceState | None) -> str:
    if state is None:
        return f"{sequence_id} (not heard of yet)"
    definition = state.draft if state.draft is not None else state.published
    steps = definition.get("steps") if definition else None
    count = len(steps) if isinstance(steps, list) else 0
    return f"{sequence_id} ({_status(state)}, revision {state.revision}, {count} steps)"


def _state_json(state: SequenceState) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(state.to_json())
    return found


def _without_definitions(state: SequenceState) -> dict[str, Any]:
    shown = _state_json(state)
    has_draft = shown.pop("draft", None) is not None
    shown.pop("published", None)
    return shown | {"has_draft": has_draft}


def _require_confirmation_possible(yes: bool, verb: str) -> None:
    if not yes and not is_terminal(sys.stdin):
        raise Usage(f"There is no terminal to ask on: pass --yes to {verb} without being asked.")


def _confirm(question: str) -> None:
    """Ask on the terminal. While it waits, Ctrl-C is Python's own again: the event loop would only note it."""
    of_the_loop = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        agreed = typer.confirm(question, err=True)
    except typer.Abort:
        raise KeyboardInterrupt from None
    finally:
        signal.signal(signal.SIGINT, of_the_loop)
    if not agreed:
        raise Usage("Nothing was sent.")
