"""What runs besides the consumers: planning and receipts in `plan`, senders in `send`, reports in `receive`."""

from collections.abc import Callable
from typing import Final

from chassis.clock import monotonic
from chassis.drain import Loop
from chassis.health import Health
from chassis.rounds import Round, Rounds
from messaging import Service

from delivery.domain.breaker import Limits
from delivery.domain.message import UNKNOWN_WAIT_SECONDS
from delivery.loops.bookkeeper import Bookkeeper
from delivery.loops.breaker import Breaker
from delivery.loops.eraser import Eraser
from delivery.loops.expirer import Expirer
from delivery.loops.halter import Halter
from delivery.loops.listener import Listener
from delivery.loops.planner import Planner
from delivery.loops.reaper import Reaper
from delivery.loops.resolver import Resolver
from delivery.loops.unserved import Unserved
from delivery.loops.upkeep import Upkeep

HALTER_REST_SECONDS: Final = 0.25
PLANNER_REST_SECONDS: Final = 0.25
"""These two are woken by what changes a gate."""
REAPER_REST_SECONDS: Final = 0.5
RESOLVER_REST_SECONDS: Final = 0.5
BOOKKEEPER_REST_SECONDS: Final = 0.5
ERASER_REST_SECONDS: Final = 0.25
EXPIRER_REST_SECONDS: Final = 0.5
BREAKER_REST_SECONDS: Final = 1.0
UNSERVED_REST_SECONDS: Final = 10.0
UPKEEP_REST_SECONDS: Final = 3_600.0


def build(
    service: Service,
    health: Health,
    *,
    halt_wait_seconds: float,
    unknown_wait_seconds: float = UNKNOWN_WAIT_SECONDS,
    breaker: Limits | None = None,
    monotonic: Callable[[], float] = monotonic,
    listener: Listener | None = None,
) -> list[Loop]:
    """The loops of `plan`; without limits there is no breaker, and without a listener some are late by their rest."""
    woken = {} if listener is None else {name: listener.woken() for name in ("halter", "planner")}
    halter = Halter(service, wait_seconds=halt_wait_seconds, monotonic=monotonic, woken=woken.get("halter"))
    reaper = Reaper(
        service, wait_seconds=halt_wait_seconds, unknown_wait_seconds=unknown_wait_seconds, monotonic=monotonic
    )
    rounds: dict[str, tuple[Round, float]] = {
        "halter": (halter.go_round, HALTER_REST_SECONDS),
        "reaper": (reaper.go_round, REAPER_REST_SECONDS),
        "resolver": (Resolver(service).go_round, RESOLVER_REST_SECONDS),
        "planner": (Planner(service).go_round, PLANNER_REST_SECONDS),
        "bookkeeper": (Bookkeeper(service).go_round, BOOKKEEPER_REST_SECONDS),
        "eraser": (Eraser(service).go_round, ERASER_REST_SECONDS),
        "expirer": (Expirer(service, unknown_wait_seconds=unknown_wait_seconds).go_round, EXPIRER_REST_SECONDS),
        "unserved": (Unserved(service).go_round, UNSERVED_REST_SECONDS),
        "upkeep": (Upkeep(service).go_round, UPKEEP_REST_SECONDS),
    }
    if breaker is not None:
        rounds["breaker"] = (Breaker(service, limits=breaker).go_round, BREAKER_REST_SECONDS)
    return [
        Rounds(name, go, rest_seconds=rest, health=health, woken=woken.get(name)) for name, (go, rest) in rounds.items()
    ]
