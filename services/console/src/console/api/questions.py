"""From what is stored to what is answered about contacts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, cast

from chassis.pool import Conn
from sluice_contracts import topics

from console.api.models import ContactStanding, NextStep, TimelineEvent, UnknownMessage
from console.domain.course import Course
from console.domain.fact import Fact
from console.domain.sentence import what
from console.domain.standing import Enrolled, Standing, Surroundings, standing
from console.store import build, courses, people

EVENT_TOPICS = [topics.ENROLLMENT_EVENTS, topics.ENROLLMENT_CONTROL, topics.DELIVERY_EVENTS]


class NotFound(Exception):
    """There is no such thing; the text says which."""


async def since(conn: Conn) -> datetime | None:
    """Before this the events are not known."""
    return await build.since(conn, EVENT_TOPICS)


async def find_course(conn: Conn, sequence_id: str) -> tuple[courses.Known, Course]:
    """A sequence that is not deleted; NotFound where there is none."""
    known = await courses.find(conn, sequence_id)
    if known is None:
        raise NotFound("No sequence with this id is known.")
    if known.deleted:
        raise NotFound("This sequence was deleted, and what was known of it is erased.")
    return known, await courses.course(conn, known)


async def surroundings(conn: Conn) -> Surroundings:
    """Now, and what is suspended."""
    return Surroundings(await build.clock(conn), people.suspensions(await people.scopes(conn)))


def zoned(around: Surroundings, contact: people.Contact | None) -> Surroundings:
    """The same, where that contact is."""
    if contact is None:
        return around
    return replace(around, timezone=contact.timezone, contact_version=contact.state_version)


async def standings(conn: Conn, enrolled: Sequence[Enrolled], known: Mapping[str, Course]) -> list[ContactStanding]:
    """Where each of these stands; `known` are their sequences."""
    around = await surroundings(conn)
    found = await people.contacts(conn, list({one.contact_id for one in enrolled}))
    return [
        _standing(one, course, standing(one, course, zoned(around, found.get(one.contact_id))))
        for one in enrolled
        if (course := known.get(one.sequence_id or "")) is not None
    ]


def _standing(enrolled: Enrolled, course: Course, now: Standing) -> ContactStanding:
    return ContactStanding(
        contact_id=enrolled.contact_id,
        sequence_id=course.sequence_id,
        enrollment_id=enrolled.enrollment_id,
        version=enrolled.version,
        effective_version=course.effective(enrolled.version),
        via=enrolled.via,
        enrolled_at=enrolled.enrolled_at,
        status=cast(Any, enrolled.status),
        reason=enrolled.reason,
        ended_at=enrolled.ended_at,
        ended_steps=[fact.step_id for fact in enrolled.ended if fact.step_id is not None],
        next=None
        if now.step is None
        else NextStep(step_id=now.step.step_id, channel=now.step.channel, due_at=now.due_at, leaves_at=now.leaves_at),
        code=cast(Any, now.code),
        answer=now.answer,
    )


def timeline_event(fact: Fact) -> TimelineEvent:
    """One row of a timeline, in words too."""
    return TimelineEvent(
        at=fact.at,
        kind=fact.kind,
        what=what(fact),
        sequence_id=fact.sequence_id,
        enrollment_id=fact.enrollment_id,
        step_id=fact.step_id,
        detail=dict(fact.detail),
    )


def unknown_message(fact: Fact) -> UnknownMessage:
    """One message that may have arrived."""
    return UnknownMessage(
        message_id=fact.detail["message_id"],
        contact_id=fact.contact_id,
        sequence_id=fact.sequence_id or "",
        enrollment_id=fact.enrollment_id or "",
        step_id=fact.step_id or "",
        channel=fact.detail["channel"],
        attempt=fact.detail["attempt"],
        reason=fact.detail["reason"],
        at=fact.at,
    )
