"""The HTTP API: every answer is read in one snapshot that writes nothing."""

from typing import Any, Final, cast

import structlog
from chassis.pool import is_transient
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sluice_contracts.definition import rule_of
from starlette.exceptions import HTTPException

from console.api import contacts, messages, sequences
from console.api.asking import Reading
from console.api.cursor import BadCursor
from console.api.models import Problem
from console.api.questions import NotFound

log = structlog.get_logger()

PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    404: {"model": Problem, "description": "There is no such thing."},
    422: {"model": Problem, "description": "The question is not a valid one."},
    503: {"model": Problem, "description": "The database does not answer; ask again."},
}
ABOUT: Final = (
    "What happened in Sluice, to whom, and why: a read model built from topics alone. It answers; it changes nothing. "
    "It knows no attribute and no address of a contact."
)


def create(reading: Reading) -> FastAPI:
    """The application. No page of documentation is served: those load their scripts from elsewhere."""
    api = FastAPI(title="Sluice console", version="1", description=ABOUT, docs_url=None, redoc_url=None)
    api.state.reading = reading
    for router in (sequences.router, contacts.router, messages.router):
        api.include_router(router, responses=PROBLEMS)
    api.add_exception_handler(RequestValidationError, _invalid)
    api.add_exception_handler(HTTPException, _refused)
    api.add_exception_handler(NotFound, _missing)
    api.add_exception_handler(BadCursor, _bad_cursor)
    api.add_exception_handler(Exception, _failed)
    return api


def _problem(status: int, detail: str) -> JSONResponse:
    return JSONResponse({"detail": detail}, status_code=status)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    """Where and which rule, never the value."""
    first = cast(RequestValidationError, error).errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    return _problem(422, f"{place}: {rule_of(first)}.")


async def _refused(_: Request, error: Exception) -> JSONResponse:
    refused = cast(HTTPException, error)
    says = {404: "There is no such address.", 405: "This address does not take that method."}
    return _problem(refused.status_code, says.get(refused.status_code, str(refused.detail)))


async def _missing(_: Request, error: Exception) -> JSONResponse:
    return _problem(404, str(error))


async def _bad_cursor(_: Request, __: Exception) -> JSONResponse:
    return _problem(422, "after: must be `next` of the page before.")


async def _failed(_: Request, error: Exception) -> JSONResponse:
    if is_transient(error) or isinstance(error, TimeoutError):
        return _problem(503, "The database does not answer; ask again.")
    log.error("question_failed", error=type(error).__name__)
    return _problem(500, "This question could not be answered; the log says why.")
