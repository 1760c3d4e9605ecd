"""What publishing a draft would change, shown before anybody confirms it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sluice_contracts.answers import Fault
from sluice_contracts.sequences import SequenceState

from sluice.cli.frame import Session
from sluice.console import Answer
from sluice.errors import CommandRefused

ABSENT: Final = "–"


async def ask_plan(session: Session, sequence_id: str, state: SequenceState | None, in_flight: str) -> Answer:
    """What the console says that publishing would change. Refuses what could not be published, with its faults."""
    if state is None:
        raise CommandRefused("not_found", "there is no such sequence")
    definition = state.draft if state.draft is not None else state.published
    if definition is None:
        raise CommandRefused("deleted", "the sequence has no definition any more")
    async with session.ask() as console:
        plan = await console.plan(sequence_id, definition, in_flight)
    if plan["faults"]:
        faults = [Fault(place=fault["place"], rule=fault["rule"]) for fault in plan["faults"]]
        raise CommandRefused("invalid", "the draft cannot be published", faults)
    return plan


def show_plan(session: Session, plan: Answer) -> None:
    """Each step that changes, before and after; then whom it touches."""
    screen = session.screen
    before = f"version {plan['from_version']}" if plan["from_version"] else "nothing"
    screen.say(f"{plan['sequence_id']}: {before} → version {plan['to_version']}")
    changed = [step for step in plan["steps"] if step["changes"]]
    if changed:
        screen.table(
            ["step", "change", "before", "after", "wait for it"],
            [
                [
                    step["step_id"],
                    ", ".join(step["changes"]),
                    step["before"] or ABSENT,
                    step["after"] or ABSENT,
                    f"{step['people']:,}",
                ]
                for step in changed
            ],
        )
    else:
        screen.say("No step changes.")
    if plan["settings"]:
        screen.say(f"Also changes: {', '.join(plan['settings'])}.")
    screen.say(_touched(plan))


def _touched(plan: Mapping[str, Any]) -> str:
    inside = plan["inside"]
    if not inside:
        return "Nobody is inside."
    if plan["in_flight"] == "pin":
        return f"Of {inside:,} inside nobody is touched: they finish the version that they entered."
    told: Sequence[str] = [
        f"{plan['due_at_once']:,} messages become due at once",
        f"{plan['finished_at_once']:,} have no step left",
    ]
    return f"Of {inside:,} inside {plan['touched']:,} are touched: {', '.join(told)}."
