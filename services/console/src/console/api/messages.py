"""Questions about what is open: messages that are unknown, scopes that are suspended, and how much is known here."""

from dataclasses import asdict

from fastapi import APIRouter

from console.api import cursor
from console.api.asking import After, Limit, Snapshot
from console.api.models import Rebuild, Scopes, ScopeState, TopicRead, UnknownPage
from console.api.questions import since, unknown_message
from console.store import build, people

router = APIRouter(tags=["operation"])


@router.get("/unknown")
async def list_unknown(conn: Snapshot, after: After = None, limit: Limit = 100) -> UnknownPage:
    """Messages that their provider may or may not have, by contact."""
    behind = cursor.read(after, parts=3) or ("", "", "")
    found = await people.unknown(conn, after=(behind[0], behind[1], behind[2]), limit=limit)
    items = [unknown_message(fact) for fact in found]
    last = items[-1] if len(items) == limit else None
    next_ = None if last is None else cursor.written(last.contact_id, last.enrollment_id, last.step_id)
    return UnknownPage(items=items, next=next_)


@router.get("/scopes")
async def list_scopes(conn: Snapshot) -> Scopes:
    """Every scope that was ever suspended, and whether it is."""
    return Scopes(items=[ScopeState(**asdict(one)) for one in await people.scopes(conn)])


@router.get("/rebuild")
async def get_rebuild(conn: Snapshot) -> Rebuild:
    """Since when the console knows, and how far it has read."""
    return Rebuild(
        built_at=await build.built_at(conn),
        since=await since(conn),
        events=await build.events(conn),
        topics=[TopicRead(**asdict(one)) for one in await build.readings(conn)],
    )
