"""The receipts of suspensions."""

from collections.abc import Sequence

from messaging import Cause, Tx

from delivery.domain import scope as rules
from delivery.domain.scope import Scope
from delivery.store import control, scopes


async def give_scopes(tx: Tx, *, lapsed: Sequence[tuple[str, int]] = ()) -> int:
    """Give the receipts of scopes in which nothing is claimed any more, or that are among `lapsed`; how many.

    Nothing is claimed in a scope that is closed, and it opens only after its receipt: so whatever is claimed there was
    claimed before. The scopes are locked before the claims are looked at, or one that closes anew meanwhile would be
    receipted by the claims of before.
    """
    owed = await scopes.lock_owed(tx.conn)
    if not owed:
        return 0
    busy = {scope for lane in await scopes.held(tx.conn) for scope in rules.scopes_of(lane)}
    halted_at = await control.now(tx.conn)
    halted = [one for one in owed if one.scope not in busy or (one.scope, one.epoch) in lapsed]
    states: list[Scope] = []
    for one in halted:
        receipt = rules.halt(one, halted_at=halted_at)
        assert receipt.state is not None
        assert one.cause is not None
        reopened = rules.complete_restore(receipt.state, one.restore, now=halted_at)
        states.append(reopened.state or receipt.state)
        for message in receipt.messages:
            tx.say(message, Cause(**one.cause))
        for message in reopened.messages:
            assert one.restore is not None
            tx.say(message, Cause(**one.restore["cause"]))
    await scopes.save(tx.conn, states)
    return len(halted)
