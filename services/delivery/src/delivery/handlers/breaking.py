"""What the breaker decides, written under the exclusive gate lock."""

from collections.abc import Mapping
from dataclasses import replace

from messaging import Cause, Decision, Tx

from delivery.domain import scope as rules
from delivery.domain.breaker import Recover, Trip, TryOut, Verdict
from delivery.domain.scope import Scope, Status
from delivery.handlers.commands import in_flight
from delivery.handlers.suspensions import give_scopes
from delivery.store import scopes


async def break_scopes(verdicts: Mapping[str, Verdict], known: Mapping[str, Scope], tx: Tx) -> None:
    """Suspend, try out and run in full again what was judged so. The caller holds the gates and these scopes."""
    held = await scopes.held(tx.conn)
    states: list[Scope] = []
    for name, verdict in verdicts.items():
        scope = known.get(name) or Scope(name, Status.RUNNING, 0, tx.now)
        cause = Cause(source=tx.source, id=f"{name}:{scope.epoch + 1}", actor=rules.BREAKER)
        decision = _decide(scope, verdict, held=held, cause=cause, tx=tx)
        if decision.state is not None:
            states.append(decision.state)
        for message in decision.messages:
            tx.say(message, cause)
    await scopes.save(tx.conn, states)
    await give_scopes(tx)


def _decide(scope: Scope, verdict: Verdict, *, held: Mapping[str, int], cause: Cause, tx: Tx) -> Decision[Scope]:
    match verdict:
        case Trip(reason, rest_seconds):
            count = in_flight(held, scope.scope)
            closed = rules.close(scope, reason=reason, in_flight=count, cause=cause, now=tx.now)
            return Decision(replace(closed, breaker=True, rest_seconds=rest_seconds))
        case TryOut():
            return rules.try_out(scope, now=tx.now)
        case Recover():
            return Decision(rules.recover(scope, now=tx.now))
