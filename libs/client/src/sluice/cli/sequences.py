"""save · publish · pause · resume · delete"""

import sys
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final

import typer
from sluice_contracts import sequences as contract
from sluice_contracts.base import format_timestamp
from sluice_contracts.sequences import InFlight, SequenceState

from sluice._clock import utc_now
from sluice.cli.documents import faults_in, read_document
from sluice.cli.frame import SequenceId, Session, Usage, command
from sluice.cli.moments import FORM, read_moment
from sluice.cli.planning import ask_plan, show_plan
from sluice.cli.screen import is_terminal
from sluice.cli.states import described, state_json
from sluice.client import Sluice
from sluice.errors import SluiceError
from sluice.program import interruptible
from sluice.results import Resumed

app: Final = typer.Typer()

FAULTS_SHOWN_MAX: Final = 20
IN_FLIGHT: Final[Mapping[InFlight | None, str]] = {
    None: "",
    "pin": " Whoever is inside keeps the version that they have.",
    "follow": " Whoever is inside goes on with it, also those who were pinned.",
}
OVERDUE: Final[Mapping[str, contract.Overdue]] = {"shift": "shift", "send-now": "send_now", "skip": "skip"}

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


class Overdue(StrEnum):
    """What a resume does with what became due meanwhile."""

    SHIFT = "shift"
    SEND_NOW = "send-now"
    SKIP = "skip"


class Admit(StrEnum):
    """Whom a resume lets in."""

    NONE = "none"
    QUALIFYING = "qualifying"


class DeleteWait(StrEnum):
    """What a deletion waits for."""

    ACCEPTED = "accepted"
    ERASED = "erased"


@command(
    app,
    "save",
    asks=True,
    one_command=True,
    examples=["sluice save welcome examples/welcome.json", "sluice save welcome - < examples/welcome.json"],
)
async def save(
    session: Session,
    sequence_id: SequenceId,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The definition as JSON; - reads stdin.")],
    expected_revision: ExpectedRevision = None,
) -> None:
    """Keep a definition as the draft of a sequence. Nothing that runs changes.

    A draft may be unfinished: what would keep it from being published is said, and it is kept all the same.
    """
    definition = read_document(file)
    async with session.open() as sluice:
        saved = await sluice.save(sequence_id, definition, expected_revision, command_id=session.command_id)
    faults = faults_in(definition)
    session.screen.result(
        f"Saved {sequence_id}: revision {saved.revision} ({saved.status}).",
        {
            "sequence_id": sequence_id,
            "revision": saved.revision,
            "status": saved.status,
            "command_id": saved.command_id,
            "faults": [{"place": fault.place, "rule": fault.rule} for fault in faults],
        },
    )
    if faults:
        session.screen.note(f"It cannot be published yet; faults: {len(faults):,}")
        for fault in faults[:FAULTS_SHOWN_MAX]:
            session.screen.note(f"  {fault.place}: {fault.rule}")


@command(
    app,
    "publish",
    asks=True,
    one_command=True,
    needs="both",
    examples=[
        "sluice publish welcome --plan",
        "sluice publish welcome",
        "sluice publish welcome --yes",
        "sluice publish welcome --pin",
    ],
)
async def publish(
    session: Session,
    sequence_id: SequenceId,
    expected_revision: ExpectedRevision = None,
    pin: Annotated[
        bool | None,
        typer.Option(
            "--pin/--follow",
            help="--pin: whoever is inside keeps the version that they have. --follow: also those who were pinned.",
            show_default=False,
        ),
    ] = None,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="First show what changes and whom it touches; without a terminal, only that."),
    ] = False,
    yes: Yes = False,
) -> None:
    """Make the draft the next version: whoever is inside goes on with it at the next step.

    An older definition that is saved and published again is a rollback.
    """
    only_shows = plan and not yes and not is_terminal(sys.stdin)
    if not only_shows:
        _require_confirmation_possible(yes, "publish")
    in_flight: InFlight | None = None if pin is None else "pin" if pin else "follow"
    changes: dict[str, Any] = {}
    async with session.open() as sluice:
        if plan or not yes:
            found = await sluice.sequence(sequence_id)
            expected_revision = found.revision if found and expected_revision is None else expected_revision
        if plan:
            changes = await ask_plan(session, sequence_id, found, in_flight or "follow")
            if not session.screen.as_json:
                show_plan(session, changes)
        if only_shows:
            session.screen.note("Nothing was published: there is no terminal to ask on, and no --yes.")
            if session.screen.as_json:
                session.screen.write_json({"plan": changes})
            return
        if not yes:
            _confirm(f"Publish {described(sequence_id, found)}?{IN_FLIGHT[in_flight]}")
        published = await sluice.publish(
            sequence_id, expected_revision, in_flight=in_flight, command_id=session.command_id
        )
        already = published.was_so(await _look(sluice, sequence_id))
    version = published.version
    values = {"sequence_id": sequence_id, "version": version, "already": already, "command_id": published.command_id}
    session.screen.result(
        f"Nothing was saved since version {version} of {sequence_id} was published: nothing changed."
        if already
        else f"Published {sequence_id}: version {version}.{IN_FLIGHT[in_flight]}",
        values | ({"plan": changes} if plan else {}),
    )


@command(
    app,
    "pause",
    asks=True,
    one_command=True,
    examples=[
        "sluice pause welcome --wait stopped",
        "sluice pause welcome --reason 'wrong price'",
        "sluice pause welcome --resume-at 2027-03-26T08:00+01:00",
        "sluice pause welcome --resume-at +2h",
    ],
)
async def pause(
    session: Session,
    sequence_id: SequenceId,
    reason: Annotated[str | None, typer.Option("--reason", help="Why; everyone who subscribes reads it.")] = None,
    resume_at: Annotated[
        str | None,
        typer.Option("--resume-at", metavar="TIME", help=f"When it resumes by itself, once: {FORM}."),
    ] = None,
    wait: Annotated[PauseWait, typer.Option("--wait", help="stopped: until both receipts prove it.")] = (
        PauseWait.ACCEPTED
    ),
) -> None:
    """Stop a sequence: nobody enters and nothing is sent, until it is resumed.

    Pausing what is paused takes over both the reason and the time of the resume; without --resume-at there is none.
    """
    now = utc_now()
    at = None if resume_at is None else read_moment(resume_at, option="--resume-at", now=now)
    if at is not None and at <= now:
        raise Usage("--resume-at: must lie in the future.")
    async with session.open() as sluice:
        paused = await sluice.pause(sequence_id, reason, wait=wait.value, resume_at=at, command_id=session.command_id)
        state = paused.state or await _look(sluice, sequence_id)
    already = paused.was_so(state)
    values: dict[str, Any] = {
        "sequence_id": sequence_id,
        "epoch": paused.epoch,
        "already": already,
        "resume_at": None if at is None else format_timestamp(at),
        "command_id": paused.command_id,
    }
    ending = "" if at is None else f" It resumes at {at:%Y-%m-%d %H:%M:%S} UTC, unless somebody does before."
    if wait is PauseWait.ACCEPTED:
        so = (
            f"{sequence_id} is paused already (epoch {paused.epoch}); reason and time of resume are as given."
            if already
            else f"The pause of {sequence_id} is under way (epoch {paused.epoch})."
        )
        session.screen.result(so + ending, values)
        return
    values |= {"stopped": paused.stopped, "state": state_json(paused.state) if paused.state else None}
    sentence = _stopped_sentence(sequence_id, paused.stopped, paused.state, already=already)
    session.screen.result(sentence + (ending if paused.stopped else ""), values)


@command(
    app,
    "resume",
    asks=True,
    one_command=True,
    examples=[
        "sluice resume welcome --wait resumed",
        "sluice resume welcome --overdue skip",
        "sluice resume welcome --overdue send-now --max-lateness 2h --admit qualifying",
    ],
)
async def resume(
    session: Session,
    sequence_id: SequenceId,
    overdue: Annotated[
        Overdue | None,
        typer.Option(
            "--overdue",
            help="What became due meanwhile: shift (default) keeps what was left of each delay, send-now sends it as "
            "fast as the channel allows, skip lets it expire and goes on with the next step.",
        ),
    ] = None,
    max_lateness: Annotated[
        str | None,
        typer.Option("--max-lateness", metavar="DURATION", help="With send-now: what is later than this (2h) expires."),
    ] = None,
    admit: Annotated[
        Admit | None,
        typer.Option("--admit", help="qualifying: enroll who was refused during the pause and qualifies still."),
    ] = None,
    wait: Annotated[ResumeWait, typer.Option("--wait", help="resumed: until it has taken effect.")] = (
        ResumeWait.ACCEPTED
    ),
) -> None:
    """Let a paused sequence run again; what was still to wait is still to wait, unless you say otherwise."""
    async with session.open() as sluice:
        resumed = await sluice.resume(
            sequence_id,
            wait=wait.value,
            overdue=None if overdue is None else OVERDUE[overdue],
            max_lateness=max_lateness,
            admit=None if admit is None else admit.value,
            command_id=session.command_id,
        )
        already = resumed.was_so(resumed.state or await _look(sluice, sequence_id))
    values: dict[str, Any] = {
        "sequence_id": sequence_id,
        "epoch": resumed.epoch,
        "already": already,
        "command_id": resumed.command_id,
    }
    if wait is not ResumeWait.ACCEPTED:
        values |= {"running": resumed.running, "state": state_json(resumed.state) if resumed.state else None}
    session.screen.result(_resumed_sentence(sequence_id, resumed, wait, already=already), values)


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
            _confirm(f"Delete {described(sequence_id, found)}, and all that is kept of it? There is no way back.")
        deleted = await sluice.delete(sequence_id, wait=wait.value, command_id=session.command_id)
        already, gone = False, False
        if deleted.erasure is None:
            state, gone = await _look_for(sluice, sequence_id)
            already = gone or deleted.was_so(state)
    values: dict[str, Any] = {"sequence_id": sequence_id, "epoch": deleted.epoch, "command_id": deleted.command_id}
    if deleted.erasure is None:
        so = f"The deletion of {sequence_id} is under way"
        if already:
            so = f"{sequence_id} is {'erased' if gone else 'being deleted'} already"
        session.screen.result(f"{so} (epoch {deleted.epoch}).", values | {"already": already})
        return
    rows = {service: sum(tables.values()) for service, tables in deleted.erasure.rows.items()}
    session.screen.result(
        f"{sequence_id} is erased: " + ", ".join(f"{service} {count:,} rows" for service, count in rows.items()) + ".",
        values | {"rows": deleted.erasure.rows},
    )


async def _look(sluice: Sluice, sequence_id: str) -> SequenceState | None:
    """The state after a command, to tell what was so already; None where it cannot be told."""
    return (await _look_for(sluice, sequence_id))[0]


async def _look_for(sluice: Sluice, sequence_id: str) -> tuple[SequenceState | None, bool]:
    """The state, and whether there is none any more; that it cannot be read is no failure of the command before."""
    try:
        state = await sluice.sequence(sequence_id)
    except SluiceError:
        return None, False
    return state, state is None


def _resumed_sentence(sequence_id: str, resumed: Resumed, wait: ResumeWait, *, already: bool) -> str:
    if already:
        return f"{sequence_id} runs already (epoch {resumed.epoch}): nothing changed."
    if wait is ResumeWait.ACCEPTED:
        return f"The resume of {sequence_id} is under way (epoch {resumed.epoch})."
    if resumed.running:
        return f"{sequence_id} runs again."
    return f"{sequence_id} does not run: something newer came between."


def _stopped_sentence(sequence_id: str, stopped: bool, state: SequenceState | None, *, already: bool) -> str:
    if not stopped or state is None or state.receipts is None:
        return f"{sequence_id} has moved on: something newer replaced this pause."
    receipts = state.receipts
    has = "had stopped already" if already else "has stopped"
    return (
        f"{sequence_id} {has}. Nobody entered after {receipts.entry_closed_at:%H:%M:%S.%f}, nothing left after "
        f"{receipts.halted_at:%H:%M:%S.%f} (UTC); {receipts.dropped:,} pending messages dropped, "
        f"{receipts.in_flight:,} had already left."
    )


def _require_confirmation_possible(yes: bool, verb: str) -> None:
    if not yes and not is_terminal(sys.stdin):
        raise Usage(f"There is no terminal to ask on: pass --yes to {verb} without being asked.")


def _confirm(question: str) -> None:
    """Ask on the terminal. While it waits, Ctrl-C is Python's own again: the event loop would only note it."""
    try:
        with interruptible():
            agreed = typer.confirm(question, err=True)
    except typer.Abort:
        raise KeyboardInterrupt from None
    if not agreed:
        raise Usage("Nothing was sent.")
