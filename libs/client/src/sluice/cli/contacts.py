"""enroll · remove · contacts-import"""

import gc
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from sluice import runs
from sluice.cli.frame import SOURCE, Exit, Session, Usage, command
from sluice.contacts import ContactsImport, ImportReport
from sluice.imports import CHUNK_CONTACTS_MAX, CHUNK_SECONDS_MAX, EnrollReport, FileEnrollment
from sluice.table import content_hash

app: Final = typer.Typer()

COLLECT_AFTER_OBJECTS: Final = 50_000
"""An import makes many short-lived objects and no cycles: collecting less often saves a tenth of its time."""


class RemoveWait(StrEnum):
    """What a removal waits for."""

    ACCEPTED = "accepted"
    HALTED = "halted"


@command(
    app,
    "enroll",
    asks=True,
    one_command=True,
    examples=["sluice enroll welcome ada", "sluice enroll welcome --file examples/contacts.csv"],
)
async def enroll(
    session: Session,
    sequence_id: Annotated[str, typer.Argument(metavar="SEQUENCE", help="The id of the sequence.")],
    contact_id: Annotated[str | None, typer.Argument(metavar="CONTACT", help="The id of the contact.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help="A CSV with a column contact_id.")] = None,
    chunk_size: Annotated[
        int, typer.Option("--chunk-size", min=1, max=CHUNK_CONTACTS_MAX, help="Contacts per message.")
    ] = CHUNK_CONTACTS_MAX,
) -> None:
    """Let one contact, or all contacts of a file, enter a sequence.

    A file that was interrupted goes on when it is given again; one that was done is tried anew.
    """
    if (contact_id is None) == (file is None):
        raise Usage("Give either a CONTACT or --file.")
    if file is not None:
        if session.command_id is not None:
            raise Usage("--command-id is for one contact: a file that is given again goes on by itself.")
        await _enroll_file(session, sequence_id, file, chunk_size)
        return
    async with session.open() as sluice:
        enrolled = await sluice.enroll(sequence_id, contact_id or "", command_id=session.command_id)
    session.screen.result(
        f"Enrolled {contact_id} in {sequence_id} (enrollment {enrolled.enrollment_id}).",
        {
            "sequence_id": sequence_id,
            "contact_id": contact_id,
            "enrollment_id": enrolled.enrollment_id,
            "command_id": enrolled.command_id,
        },
    )


@command(
    app,
    "remove",
    asks=True,
    one_command=True,
    examples=["sluice remove ada --sequence welcome --wait halted", "sluice remove ada"],
)
async def remove(
    session: Session,
    contact_id: Annotated[str, typer.Argument(metavar="CONTACT", help="The id of the contact.")],
    sequence: Annotated[str | None, typer.Option("--sequence", help="Only from this sequence.")] = None,
    campaign: Annotated[str | None, typer.Option("--campaign", help="Only from this campaign.")] = None,
    allow_reentry: Annotated[bool, typer.Option("--allow-reentry", help="It may be enrolled again.")] = False,
    wait: Annotated[RemoveWait, typer.Option("--wait", help="halted: until nothing leaves for it any more.")] = (
        RemoveWait.ACCEPTED
    ),
) -> None:
    """Halt all that is planned for a contact: in a sequence, in a campaign, or everywhere."""
    if sequence is not None and campaign is not None:
        raise Usage("Give --sequence or --campaign, not both.")
    async with session.open() as sluice:
        removed = await sluice.remove(
            contact_id,
            sequence,
            campaign,
            allow_reentry=allow_reentry,
            wait=wait.value,
            command_id=session.command_id,
        )
    values: dict[str, Any] = {
        "contact_id": contact_id,
        "removal_id": removed.removal_id,
        "removed": list(removed.removed),
        "command_id": removed.command_id,
    }
    where = f"sequence {sequence}" if sequence else f"campaign {campaign}" if campaign else "everything"
    ended = "1 enrollment" if len(removed.removed) == 1 else f"{len(removed.removed)} enrollments"
    sentence = f"Removed {contact_id} from {where}: {ended} ended."
    if removed.halted is not None:
        values["halted"] = removed.halted
        sentence += f" Nothing leaves after {removed.halted.halted_at:%H:%M:%S.%f} UTC."
    session.screen.result(sentence, values)


@command(app, "contacts-import", asks=True, examples=["sluice contacts-import examples/contacts.csv"])
async def contacts_import(
    session: Session,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A CSV with the columns contact_id, email, whatsapp, timezone, language, tags (separated by ;), "
            "opted_out; all others are attributes. Only contact_id is needed.",
        ),
    ],
) -> None:
    """Merge a CSV into contacts.events: only what changes is written, and an opt-out is never taken back."""
    gc.set_threshold(COLLECT_AFTER_OBJECTS)
    async with session.open() as sluice:
        work = ContactsImport(sluice.transport, file, source=SOURCE, actor=sluice.actor)
        session.on_interrupt = lambda: _interrupted_contacts(work.report)
        with session.screen.progress("contacts", total=_line_count(file)) as meter:
            report = await work.run(on_progress=lambda now: meter.show(now.read, _counts(now)))
        session.on_interrupt = None
    if report.invalid:
        session.screen.note(f"{report.invalid:,} lines were left out:")
        session.screen.invalid_lines(report.invalid_lines, total=report.invalid)
    session.screen.result(
        f"Imported {file}: {_counts(report)}.",
        {
            "created": report.created,
            "updated": report.updated,
            "unchanged": report.unchanged,
            "invalid": report.invalid,
            "invalid_lines": [{"line": line.number, "rule": line.rule} for line in report.invalid_lines],
        },
    )
    if report.invalid:
        session.exit_code = Exit.REFUSED


HARMLESS: Final = frozenset({"already_enrolled"})
"""Whoever is in already was let in before: giving a file again is no failure."""


async def _enroll_file(session: Session, sequence_id: str, file: Path, chunk_size: int) -> None:
    digest = content_hash(file)
    async with session.open() as sluice:
        run = runs.begin(
            runs.state_folder(),
            deployment=session.link.deployment if session.link else "",
            sequence_id=sequence_id,
            content_hash=digest,
            chunk_size=chunk_size,
        )
        if run.continued:
            session.screen.note(f"Going on with the unfinished run {run.run_id}: nobody is enrolled twice.")
        work = FileEnrollment(
            sluice,
            sequence_id,
            file,
            run=run,
            chunk_size=chunk_size,
            seconds_max=session.seconds_max or CHUNK_SECONDS_MAX,
        )
        session.on_interrupt = lambda: _interrupted_enrollment(work.report)
        with session.screen.progress("contacts", total=_line_count(file)) as meter:
            report = await work.enroll(on_progress=lambda now: meter.show(_answered(now), _totals(now)))
        session.on_interrupt = None
    _show_enrollment(session, sequence_id, work, report)


def _show_enrollment(session: Session, sequence_id: str, work: FileEnrollment, report: EnrollReport) -> None:
    screen = session.screen
    if report.invalid:
        screen.note(f"{report.invalid:,} lines were left out:")
        screen.invalid_lines(report.invalid_lines, total=report.invalid)
    for number, refusal in report.chunks_refused[:10]:
        screen.note(f"Chunk {number} was refused: {refusal}")
    screen.result(
        f"{sequence_id}: {_totals(report)}.",
        {
            "sequence_id": sequence_id,
            "run_id": work.run.run_id,
            "continued": work.run.continued,
            "done": report.done,
            "chunks": {"sent": report.chunks_sent, "answered": report.chunks_answered},
            "enrolled": report.enrolled,
            "refused": dict(report.refused),
            "invalid": report.invalid,
            "invalid_lines": [{"line": line.number, "rule": line.rule} for line in report.invalid_lines],
        },
    )
    if not report.done:
        for _, error in report.unanswered[:1]:
            screen.note(str(error))
        screen.note(_half_sent(report))
        session.exit_code = Exit.NO_ANSWER
    elif report.chunks_refused or report.invalid or set(report.refused) - HARMLESS:
        session.exit_code = Exit.REFUSED


def _answered(report: EnrollReport) -> int:
    return report.enrolled + sum(report.refused.values())


def _totals(report: EnrollReport) -> str:
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(report.refused.items()))
    return f"{report.enrolled:,} enrolled" + (f", not let in: {reasons}" if reasons else "")


def _half_sent(report: EnrollReport) -> str:
    return (
        f"{report.chunks_sent} chunks ({report.contacts_sent:,} contacts) were sent, {report.chunks_answered} have an "
        "answer; the others may still be carried out. Give the same command again: it goes on with the same ids, so "
        "nobody is enrolled twice."
    )


def _interrupted_enrollment(report: EnrollReport) -> str:
    return f"Interrupted. {_totals(report)} so far. {_half_sent(report)}"


def _counts(report: ImportReport) -> str:
    return (
        f"{report.created:,} created, {report.updated:,} updated, {report.unchanged:,} unchanged, "
        f"{report.invalid:,} invalid"
    )


def _interrupted_contacts(report: ImportReport) -> str:
    if not report.handed_over:
        return "Interrupted. Nothing was written yet."
    return (
        f"Interrupted. {report.read:,} lines were read and {report.handed_over:,} contacts handed over to Kafka, which "
        f"has confirmed {report.confirmed:,} and may have the others. Give the same command again: what has arrived "
        "counts as unchanged, the rest is written."
    )


def _line_count(file: Path) -> int | None:
    """About how many contacts the file holds; None where it cannot be read (the import says why)."""
    try:
        with file.open("rb") as content:
            return max(0, sum(part.count(b"\n") for part in iter(lambda: content.read(1 << 20), b"")) - 1)
    except OSError:
        return None
