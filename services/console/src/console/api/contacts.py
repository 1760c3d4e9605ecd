"""Questions about contacts."""

from typing import Annotated, Any, cast

from chassis.pool import Conn
from fastapi import APIRouter, Query
from sluice_contracts.base import ID_PATTERN

from console.api import cursor
from console.api.asking import After, ContactId, Limit, Snapshot
from console.api.models import ContactDetail, DecisionMade, Why
from console.api.questions import NotFound, since, standings, surroundings, timeline_event, zoned
from console.domain.course import Course
from console.domain.fact import Fact
from console.domain.standing import Enrolled
from console.domain.why import Question, decisions, latest, why
from console.store import courses, people

router = APIRouter(tags=["contacts"])
ENROLLMENTS_MAX = 500


@router.get("/contacts/{contact_id}")
async def get_contact(conn: Snapshot, contact_id: ContactId, after: After = None, limit: Limit = 100) -> ContactDetail:
    """What is known of a contact: where it stands, and its timeline, newest first."""
    contact = (await people.contacts(conn, [contact_id])).get(contact_id)
    told = await people.timeline(conn, contact_id, before=cursor.read_moment(after), limit=limit)
    enrolled = await people.enrollments(conn, contact_id, sequence_id=None, limit=ENROLLMENTS_MAX)
    if contact is None and not told and not enrolled and after is None:
        raise NotFound("No contact with this id is known.")
    said_all, channels = await people.channels_out(conn, contact_id)
    facts = await people.facts(conn, [contact_id], None)
    known = {
        one: course
        for one in {e.sequence_id for e in enrolled if e.sequence_id}
        if (course := await _course(conn, one))
    }
    last = told[-1] if len(told) == limit else None
    return ContactDetail(
        contact_id=contact_id,
        known=contact is not None,
        timezone=None if contact is None else contact.timezone,
        state_version=None if contact is None else contact.state_version,
        opted_out=said_all or (contact is not None and contact.opted_out),
        opted_out_channels=channels,
        enrollments=await standings(conn, people.with_facts(enrolled, facts), known),
        timeline=[timeline_event(fact) for _, fact in told],
        next=None if last is None else cursor.moment(last[1].at, last[0]),
        since=await since(conn),
    )


@router.get("/contacts/{contact_id}/why")
async def get_why(
    conn: Snapshot,
    contact_id: ContactId,
    sequence: Annotated[str, Query(pattern=ID_PATTERN)],
    step: Annotated[str | None, Query(pattern=ID_PATTERN)] = None,
) -> Why:
    """Why a contact got a sequence's message, or did not: every decision with its cause, and the answer."""
    known = await courses.find(conn, sequence)
    course = None if known is None else await courses.course(conn, known)
    if course is not None and step is not None and not course.has(step) and course.status != "deleted":
        raise NotFound("No version of this sequence has such a step.")
    contact = (await people.contacts(conn, [contact_id])).get(contact_id)
    facts = await people.facts(conn, [contact_id], sequence)
    enrolled = await people.enrollments(conn, contact_id, sequence_id=sequence, limit=ENROLLMENTS_MAX)
    deleted = known is not None and known.status == "deleted"
    question = Question(
        course,
        people.with_facts(enrolled, facts),
        _about(facts, enrolled),
        contact_known=contact is not None,
        deleted=deleted,
    )
    answer = why(question, step, zoned(await surroundings(conn), contact))
    asked = latest(question.enrollments)
    return Why(
        contact_id=contact_id,
        sequence_id=sequence,
        step_id=step,
        enrollment_id=None if asked is None else asked.enrollment_id,
        code=cast(Any, answer.code),
        answer=answer.answer,
        due_at=answer.due_at,
        decisions=[DecisionMade(at=one.at, what=one.what, cause=one.cause) for one in decisions(question)],
        since=await since(conn),
    )


def _about(facts: list[Fact], enrolled: list[Enrolled]) -> list[Fact]:
    """Those about this sequence: a removal everywhere counts where it ended an enrollment of it, or there is none."""
    ids = {one.enrollment_id for one in enrolled}
    return [
        fact
        for fact in facts
        if fact.sequence_id is not None
        or fact.kind not in {"removed", "halted"}
        or not ids
        or ids & set(fact.detail.get("enrollment_ids", ()))
    ]


async def _course(conn: Conn, sequence_id: str) -> Course | None:
    known = await courses.find(conn, sequence_id)
    return None if known is None else await courses.course(conn, known)
