"""Questions about sequences."""

import asyncio
from dataclasses import asdict
from typing import Annotated, Any, cast

from campaign.faults import form_faults, steps_of
from fastapi import APIRouter, Query
from sluice_contracts.answers import Fault
from templates import step_faults

from console.api import cursor
from console.api.asking import After, Limit, SequenceId, Snapshot
from console.api.models import (
    Books,
    ContactPage,
    EnrollmentStatus,
    ErasedBy,
    Funnel,
    FunnelStep,
    Log,
    PlanFault,
    PlanReply,
    PlanRequest,
    SequenceDetail,
    SequencePage,
    SequenceSummary,
    StepChange,
    Stop,
    VersionSummary,
)
from console.api.questions import NotFound, find_course, since, standings
from console.domain.course import Course, Position
from console.domain.edit import Impact, Weighing, published, settings_edited, steps_edited
from console.store import build, counting, courses, people
from console.store.counting import Counted, Place
from console.store.courses import Known

router = APIRouter(tags=["sequences"])
ERASING_SERVICES = ("console", "delivery", "enrollment", "sequences")
FAULTS_MAX = 200
"""As many as a refusal to publish names."""
STATE_FIELDS = (
    "follow_version",
    "in_flight",
    "reason",
    "paused_at",
    "resumed_at",
    "resume_at",
    "overdue",
    "max_lateness",
    "admit",
    "updated_at",
    "revision",
    "version",
    "draft",
    "published",
)


@router.get("/sequences")
async def list_sequences(conn: Snapshot, after: After = None, limit: Limit = 100) -> SequencePage:
    """Every sequence that is not erased, by id."""
    behind = cursor.read(after, parts=1) or ("",)
    found = await courses.listed(conn, after=behind[0], limit=limit)
    counted = await counting.books(conn, [one.sequence_id for one in found])
    items = [_summary(one, counted.get(one.sequence_id)) for one in found]
    return SequencePage(items=items, next=items[-1].sequence_id if len(items) == limit else None)


@router.get("/sequences/{sequence_id}")
async def get_sequence(conn: Snapshot, sequence_id: SequenceId) -> SequenceDetail:
    """Its state, versions and receipts, whom it waits for, its books."""
    known = await courses.find(conn, sequence_id)
    if known is None:
        raise NotFound("No sequence with this id is known.")
    receipts = await courses.receipts(conn, sequence_id, known.epoch)
    erased = await courses.erased(conn, sequence_id)
    counted = (await counting.books(conn, [sequence_id])).get(sequence_id)
    state = known.state
    named = _named(known)
    return SequenceDetail(
        sequence_id=sequence_id,
        name=named.get("name"),
        campaign=named.get("campaign"),
        status=known.status,
        epoch=known.epoch,
        clock_offset_seconds=state.get("clock_offset_seconds", 0.0),
        stop=None if receipts is None else Stop(**asdict(receipts)),
        waits_for=_waits_for(known, receipts, {one.service for one in erased}),
        erased_by=[ErasedBy(**asdict(one)) for one in erased],
        erased=known.erased,
        versions=[
            VersionSummary(
                version=one.version,
                published_at=one.published_at,
                steps=[step["step_id"] for step in one.definition.get("steps", ())],
                definition=one.definition,
            )
            for one in await courses.versions(conn, sequence_id)
        ],
        books=_books(counted),
        since=await since(conn),
        **{name: state.get(name) for name in STATE_FIELDS},
    )


@router.get("/sequences/{sequence_id}/books")
async def get_books(conn: Snapshot, sequence_id: SequenceId) -> Books:
    """Its closed books, as delivery counted them last; all zero, with version 0, where nothing was planned yet."""
    counted = (await counting.books(conn, [sequence_id])).get(sequence_id)
    if counted is None:
        await find_course(conn, sequence_id)
        counted = counting.nothing(sequence_id, as_of=await build.clock(conn))
    return _closed(counted)


@router.get("/sequences/{sequence_id}/log")
async def get_log(conn: Snapshot, sequence_id: SequenceId) -> Log:
    """Its six numbers."""
    await find_course(conn, sequence_id)
    return Log(sequence_id=sequence_id, since=await since(conn), **await counting.log(conn, sequence_id))


@router.get("/sequences/{sequence_id}/funnel")
async def get_funnel(conn: Snapshot, sequence_id: SequenceId) -> Funnel:
    """What became of the messages of each step."""
    _, course = await find_course(conn, sequence_id)
    ends = await counting.funnel(conn, sequence_id)
    replied = await counting.replied(conn, sequence_id)
    waiting = (await _weighed(conn, course, course)).waiting
    newest = course.newest
    order = [] if newest is None else [step.step_id for step in newest.steps]
    channels = {step.step_id: step.channel for one in course.versions.values() for step in one.definition.steps}
    steps = [
        _funnel_step(step_id, order, channels.get(step_id), ends.get(step_id), waiting.get(step_id, 0), replied)
        for step_id in [*order, *sorted((ends.keys() | waiting.keys()) - set(order))]
    ]
    return Funnel(sequence_id=sequence_id, version=course.version, steps=steps, since=await since(conn))


@router.get("/sequences/{sequence_id}/contacts")
async def list_contacts(
    conn: Snapshot,
    sequence_id: SequenceId,
    status: Annotated[EnrollmentStatus | None, Query()] = None,
    after: After = None,
    limit: Limit = 100,
) -> ContactPage:
    """Who is or was in it, and where each stands: what comes next, when, and why not yet."""
    _, course = await find_course(conn, sequence_id)
    behind = cursor.read(after, parts=2) or ("", "")
    enrolled = await people.page(conn, sequence_id, status=status, after=(behind[0], behind[1]), limit=limit)
    items = await standings(conn, enrolled, {sequence_id: course})
    last = enrolled[-1] if len(enrolled) == limit else None
    return ContactPage(items=items, next=None if last is None else cursor.written(last.contact_id, last.enrollment_id))


@router.post("/sequences/{sequence_id}/plan")
async def plan_publish(conn: Snapshot, sequence_id: SequenceId, asked: PlanRequest) -> PlanReply:
    """What publishing this definition would change: steps, how many people, how many messages due at once."""
    known = await courses.find(conn, sequence_id)
    if known is not None and known.deleted:
        raise NotFound("This sequence was deleted, and what was known of it is erased.")
    course = Course(sequence_id, "draft") if known is None else await courses.course(conn, known)
    faults = await _faults(asked.definition)
    before = None if known is None else known.state.get("published")
    edits = [] if faults else steps_edited(before, asked.definition)
    impact = Impact()
    if not faults:
        now = await build.clock(conn)
        after = published(course, asked.definition, follow=asked.in_flight == "follow", now=now)
        impact = await _weighed(conn, course, after, now=now)
    return PlanReply(
        sequence_id=sequence_id,
        faults=[PlanFault(place=one.place, rule=one.rule) for one in faults],
        from_version=course.version,
        to_version=(course.version or 0) + 1,
        in_flight=asked.in_flight,
        steps=[
            StepChange(
                step_id=one.step_id,
                changes=cast(Any, list(one.changes)),
                before=one.before,
                after=one.after,
                people=impact.waiting.get(one.step_id, 0),
            )
            for one in edits
        ],
        settings=[] if faults else settings_edited(before, asked.definition),
        inside=impact.inside,
        touched=impact.touched,
        due_at_once=impact.due_at_once,
        finished_at_once=impact.finished_at_once,
        since=await since(conn),
    )


async def _weighed(conn: Snapshot, before: Course, after: Course, *, now: Any = None) -> Impact:
    weighing = Weighing(before, after, now=now or await build.clock(conn))
    async for place in counting.places(conn, before.sequence_id):
        weighing.weigh(_position(place))
    return weighing.impact


def _position(place: Place) -> Position:
    return Position(place.version, place.since, place.ended, place.last_version)


async def _faults(definition: dict[str, Any]) -> list[Fault]:
    """What publishing would refuse it for; templates compile for half a millisecond each, so others get their turn."""
    faults = form_faults(definition)
    for number, step in enumerate(steps_of(definition)):
        faults += step_faults(number, step)
        if len(faults) >= FAULTS_MAX:
            break
        await asyncio.sleep(0)
    return faults[:FAULTS_MAX]


def _named(known: Known) -> dict[str, Any]:
    """What a sequence calls itself: as it is published, else as it is drafted."""
    found: dict[str, Any] = known.state.get("published") or known.state.get("draft") or {}
    return {name: found[name] for name in ("name", "campaign") if isinstance(found.get(name), str)}


def _summary(known: Known, counted: Counted | None) -> SequenceSummary:
    named = _named(known)
    return SequenceSummary(
        sequence_id=known.sequence_id,
        name=named.get("name"),
        campaign=named.get("campaign"),
        status=known.status,
        version=known.state.get("version"),
        revision=known.state["revision"],
        epoch=known.epoch,
        updated_at=known.state["updated_at"],
        books=_books(counted),
    )


def _books(counted: Counted | None) -> Books | None:
    return None if counted is None else _closed(counted)


def _closed(counted: Counted) -> Books:
    fields = asdict(counted)
    del fields["sequence_id"]
    ends = ("pending", "claimed", "sent", "failed", "dropped", "expired", "unknown")
    return Books(**fields, closed=counted.planned == sum(fields[name] for name in ends))


def _waits_for(known: Known, receipts: courses.Receipts | None, erased: set[str]) -> list[str]:
    if known.deleted and known.erased:
        return []
    if known.status == "deleted":
        return sorted(set(ERASING_SERVICES) - erased)
    if known.status != "paused" or known.state.get("receipts") is not None:
        return []
    missing = []
    if receipts is None or receipts.entry_closed_at is None:
        missing.append("enrollment")
    if receipts is None or receipts.halted_at is None:
        missing.append("delivery")
    return missing or ["sequences"]


def _funnel_step(
    step_id: str,
    order: list[str],
    channel: str | None,
    ends: counting.Ends | None,
    waiting: int,
    replied: dict[str, int],
) -> FunnelStep:
    counts = {} if ends is None else asdict(ends)
    names = ("sent", "failed", "expired", "unknown", "delivered", "read", "bounced", "complained")
    unknown = counts.get("unknown", 0)
    return FunnelStep(
        step_id=step_id,
        place=order.index(step_id) + 1 if step_id in order else None,
        channel=channel,
        # Who waits at an unknown message is counted once.
        planned=counts.get("messages", 0) + waiting - min(unknown, waiting),
        waiting=waiting - min(unknown, waiting),
        replied=replied.get(step_id, 0),
        **{name: counts.get(name, 0) for name in names},
    )
