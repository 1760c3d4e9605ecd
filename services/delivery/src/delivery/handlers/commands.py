"""delivery.commands: what the contract allows and this version cannot do yet is refused."""

from messaging import Batch, Decision, Message, Refused, Tx
from sluice_contracts.answers import Fault
from sluice_contracts.delivery import ScopeCommand


async def refuse_scope_command(commands: Batch[ScopeCommand], tx: Tx) -> None:
    """Nothing is accepted and ignored."""
    tx.emit(commands.decide(_refuse))


def _refuse(_: Message[ScopeCommand]) -> Decision[None]:
    raise Refused(
        "invalid", "suspending delivery is not supported yet", [Fault(place="delivery", rule="not supported yet")]
    )
