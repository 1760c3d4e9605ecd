"""Log lines are events with fields, one JSON object a line, in UTC; what is personal or secret is not among them."""

import logging
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any, Final

import asyncpg
import structlog
from pydantic import ValidationError

from chassis import clock

__all__ = ["configure", "describe", "safe_text"]

BURST: Final = 5
WINDOW_SECONDS: Final = 10.0
NOISY: Final = ("aiokafka",)
"""aiokafka writes over a thousand errors in a short outage; of one kind of line, five in ten seconds are kept."""
QUIET: Final = {"faststream": logging.WARNING, "aiohttp.access": logging.WARNING, "asyncio": logging.WARNING}
FRAMES_MAX: Final = 12

WITHHELD: Final = frozenset(
    {"body", "payload", "subject", "address", "addresses", "attributes", "headers", "password", "secret", "credentials"}
)
"""Fields that are never written, whoever passes them."""

OUR_PACKAGES: Final = frozenset(
    {"chassis", "messaging", "sluice_contracts", "sequences", "enrollment", "delivery", "devstack", "sluice"}
)
SPEAKING: Final = (OSError, RuntimeError, AssertionError, TypeError, AttributeError, ImportError)
"""Errors whose text names code and hosts. Others may quote the data that they met: only their type is told."""


def configure(service: str, level: str = "info") -> None:
    """Send everything, the standard library's loggers too, to stdout; call it once, first of all."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _name_service(service),
        _withhold,
        _tell_exception,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer(default=_nameless)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stdout),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(RateLimit())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, _tell_suppressed, *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(default=_nameless),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    for name in [*logging.root.manager.loggerDict, *QUIET]:
        _adopt(name)
    for name, least in QUIET.items():
        logging.getLogger(name).setLevel(max(least, root.level))


def _adopt(name: str) -> None:
    """Libraries that write to the terminal by themselves (FastStream does) write through us instead."""
    logger = logging.getLogger(name)
    logger.handlers = []
    logger.propagate = True


class RateLimit(logging.Filter):
    """Let a few lines of one kind through per window, then count; the next one through says how many were not."""

    def __init__(self, *, burst: int = BURST, window_seconds: float = WINDOW_SECONDS) -> None:
        super().__init__()
        self._burst = burst
        self._window_seconds = window_seconds
        self._seen: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.split(".", 1)[0] not in NOISY:
            return True
        # By the template, not the text: a thousand lines that differ in a number are of one kind.
        kind = (record.name, record.levelno, str(record.msg))
        now = clock.monotonic()
        since, count = self._seen.get(kind, (now, 0))
        if now - since >= self._window_seconds:
            record.suppressed = max(0, count - self._burst)
            since, count = now, 0
        self._seen[kind] = (since, count + 1)
        return count < self._burst


def _name_service(service: str) -> structlog.typing.Processor:
    def add(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["service"] = service
        return event

    return add


def _tell_suppressed(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    suppressed = getattr(event.get("_record"), "suppressed", 0)
    if suppressed:
        event["suppressed"] = suppressed
    return event


def _withhold(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key in WITHHELD.intersection(event):
        event[key] = "withheld"
    return event


def _tell_exception(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Say what was raised and where, and the text only where it can hold no data."""
    raised = event.pop("exc_info", None)
    if raised is True:
        raised = sys.exc_info()[1]
    elif isinstance(raised, tuple):
        raised = raised[1]
    if isinstance(raised, BaseException):
        event["error"] = describe(raised)
    return event


def describe(error: BaseException) -> dict[str, Any]:
    """An exception as fields: type, text where it is safe, SQLSTATE, places, and what it came from."""
    told: dict[str, Any] = {"type": f"{type(error).__module__}.{type(error).__qualname__}"}
    text = safe_text(error)
    if text:
        told["text"] = text
    if isinstance(error, asyncpg.PostgresError):
        told["sqlstate"] = error.sqlstate
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES_MAX:]
    told["at"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    if isinstance(error, BaseExceptionGroup):
        told["errors"] = [describe(member) for member in error.exceptions]
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        told["from"] = describe(cause)
    return told


def safe_text(error: BaseException) -> str | None:
    """What the exception says, where it cannot quote data; else None."""
    package = type(error).__module__.split(".", 1)[0]
    if isinstance(error, ValidationError):
        places = (".".join(str(part) for part in fault["loc"]) + f": {fault['type']}" for fault in error.errors())
        return "; ".join(places)
    if isinstance(error, asyncpg.PostgresError):
        # Classes 22 and 23 quote the row; the other ones name tables, roles and servers. The detail may quote always.
        return None if (error.sqlstate or "")[:2] in {"22", "23"} else str(error.args[0] if error.args else "")
    if package == "aiosmtplib":
        return None  # it quotes recipients
    if package in OUR_PACKAGES or package == "aiokafka" or isinstance(error, (*SPEAKING, asyncpg.InternalClientError)):
        return str(error)
    return str(error) if type(error) is asyncpg.InterfaceError else None


def _nameless(value: object) -> str:
    """What is no JSON is told by its type: its text might hold anything."""
    return f"<{type(value).__name__}>"
