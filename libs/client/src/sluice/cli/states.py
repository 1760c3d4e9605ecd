"""list · show"""

import json
import sys
from typing import Annotated, Any, Final

import typer
from sluice_contracts.sequences import SequenceState

from sluice.cli.frame import SequenceId, Session, command
from sluice.errors import NotAnswered
from sluice.state import ERASING_SERVICES

app: Final = typer.Typer()


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
            ["sequence", "status", "version", "draft", "epoch", "since (UTC)"],
            [
                [
                    state.sequence_id,
                    status(state),
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
            raise NotAnswered("not_found", "There is no such sequence.")
        erased = sorted(await sluice.erased_by(sequence_id)) if state.status == "deleted" else []
    if definition:
        _show_definition(session, state)
        return
    waiting = [service for service in ERASING_SERVICES if service not in erased] if state.status == "deleted" else []
    if session.screen.as_json:
        session.screen.write_json(state_json(state) | ({"waits_for": waiting} if waiting else {}))
        return
    for name, value in _facts(state, waiting):
        session.screen.say(f"{name:<10} {value}")


def _show_definition(session: Session, state: SequenceState) -> None:
    found = state.draft if state.draft is not None else state.published
    if found is None:
        raise NotAnswered("deleted", "The sequence has no definition any more.")
    if session.screen.as_json:
        session.screen.write_json(found)
    else:
        sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")


def _facts(state: SequenceState, waiting: list[str]) -> list[tuple[str, object]]:
    facts: list[tuple[str, object]] = [("sequence", state.sequence_id), ("status", status(state))]
    definition = state.draft if state.draft is not None else state.published
    if definition is not None:
        steps = definition.get("steps")
        facts.append(("name", definition.get("name", "–")))
        facts.append(("steps", len(steps) if isinstance(steps, list) else 0))
    facts.append(("version", state.version or "– (never published)"))
    facts.append(("draft", f"revision {state.revision}" if state.draft is not None else "– (what is published)"))
    if state.follow_version is not None and state.follow_version != state.version:
        facts.append(("inside", f"follow version {state.follow_version}; who entered a later one keeps that"))
    facts.append(("epoch", state.epoch))
    if state.reason:
        facts.append(("reason", state.reason))
    if state.resume_at:
        facts.append(("resumes", f"by itself at {state.resume_at:%Y-%m-%d %H:%M:%S} UTC"))
    if state.status == "active" and state.resumed_at:
        facts.append(("resumed", f"at {state.resumed_at:%Y-%m-%d %H:%M:%S} UTC, {_mode(state)}"))
    if state.receipts:
        receipts = state.receipts
        facts.append(("entry", f"closed at {receipts.entry_closed_at:%Y-%m-%d %H:%M:%S.%f}"))
        facts.append(("sending", f"halted at {receipts.halted_at:%Y-%m-%d %H:%M:%S.%f}"))
        facts.append(("dropped", f"{receipts.dropped:,} pending, {receipts.in_flight:,} had already left"))
    if waiting:
        facts.append(("waits for", ", ".join(waiting)))
    facts.append(("since", f"{state.updated_at:%Y-%m-%d %H:%M:%S} UTC"))
    return facts


def _mode(state: SequenceState) -> str:
    """How it was resumed last."""
    told = [(state.overdue or "shift").replace("_", " ")]
    if state.max_lateness:
        told.append(f"at most {state.max_lateness} late")
    if state.admit == "qualifying":
        told.append("letting in who qualifies still")
    return ", ".join(told)


def status(state: SequenceState) -> str:
    """Its status, and of a paused one whether it has stopped."""
    if state.status == "paused":
        return "paused, stopped" if state.receipts else "paused, stopping"
    return "being deleted" if state.status == "deleted" else state.status


def described(sequence_id: str, state: SequenceState | None) -> str:
    """A sequence in a few words, for a question."""
    if state is None:
        return f"{sequence_id} (not heard of yet)"
    definition = state.draft if state.draft is not None else state.published
    steps = definition.get("steps") if definition else None
    count = len(steps) if isinstance(steps, list) else 0
    return f"{sequence_id} ({status(state)}, revision {state.revision}, {count} steps)"


def state_json(state: SequenceState) -> dict[str, Any]:
    """As it stands on the topic."""
    found: dict[str, Any] = json.loads(state.to_json())
    return found


def _without_definitions(state: SequenceState) -> dict[str, Any]:
    shown = state_json(state)
    has_draft = shown.pop("draft", None) is not None
    shown.pop("published", None)
    return shown | {"has_draft": has_draft}
