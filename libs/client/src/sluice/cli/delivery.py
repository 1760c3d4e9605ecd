"""suspend · restore · unknown"""

from enum import StrEnum
from typing import Annotated, Any, Final

import typer
from sluice_contracts.delivery import DeliverySuspended

from sluice.cli.frame import Session, command
from sluice.results import Restored, Suspended

app: Final = typer.Typer()
unknown: Final = typer.Typer(help="Messages of which nobody knows whether they arrived.", no_args_is_help=True)
app.add_typer(unknown, name="unknown")

Scope = Annotated[
    str, typer.Argument(metavar="SCOPE", help="all, channel:<name> (email, webhook, whatsapp) or sender:<name>.")
]
MessageId = Annotated[str, typer.Argument(metavar="MESSAGE_ID", help="The id of the message.")]


class SuspendWait(StrEnum):
    """What a suspension waits for."""

    ACCEPTED = "accepted"
    SUSPENDED = "suspended"


class RestoreWait(StrEnum):
    """What a restore waits for."""

    ACCEPTED = "accepted"
    RESTORED = "restored"


@command(
    app,
    "suspend",
    asks=True,
    one_command=True,
    examples=["sluice suspend channel:email --reason 'the provider is down'", "sluice suspend all"],
)
async def suspend(
    session: Session,
    scope: Scope,
    reason: Annotated[str | None, typer.Option("--reason", help="Why; everyone who subscribes reads it.")] = None,
    wait: Annotated[SuspendWait, typer.Option("--wait", help="suspended: until it is proven.")] = SuspendWait.SUSPENDED,
) -> None:
    """Send nothing on a channel, through a sender or at all, whatever the sequence; until it is restored."""
    async with session.open() as sluice:
        suspended = await sluice.suspend(scope, reason, wait=wait.value, command_id=session.command_id)
    values: dict[str, Any] = {"scope": scope, "epoch": suspended.epoch, "command_id": suspended.command_id}
    if wait is SuspendWait.ACCEPTED:
        session.screen.result(f"The suspension of {scope} is accepted (epoch {suspended.epoch}).", values)
        return
    values |= {"suspended": suspended.holds, "already": suspended.was_so, "receipt": suspended.receipt}
    session.screen.result(_suspended_sentence(scope, suspended), values)


@command(app, "restore", asks=True, one_command=True, examples=["sluice restore channel:email", "sluice restore all"])
async def restore(
    session: Session,
    scope: Scope,
    reason: Annotated[str | None, typer.Option("--reason", help="Why; it stands in the command.")] = None,
    wait: Annotated[RestoreWait, typer.Option("--wait", help="restored: until it sends again.")] = RestoreWait.RESTORED,
) -> None:
    """Send again in a scope that was suspended, by somebody or by the breaker."""
    async with session.open() as sluice:
        restored = await sluice.restore(scope, reason, wait=wait.value, command_id=session.command_id)
    values: dict[str, Any] = {"scope": scope, "epoch": restored.epoch, "command_id": restored.command_id}
    if wait is RestoreWait.ACCEPTED:
        session.screen.result(f"The restore of {scope} is accepted (epoch {restored.epoch}).", values)
        return
    values |= {"sends": restored.sends, "already": restored.was_so, "receipt": restored.receipt}
    session.screen.result(_restored_sentence(scope, restored), values)


@command(
    unknown,
    "assume-sent",
    asks=True,
    one_command=True,
    examples=["sluice unknown list", "sluice unknown assume-sent 2f4c1e0a-9b7d-8c21-a3f5-0e6d7c8b9a10"],
)
async def assume_sent(session: Session, message_id: MessageId) -> None:
    """Count a message as sent: the contact goes on to the next step."""
    async with session.open() as sluice:
        resolved = await sluice.resolve(message_id, "sent", command_id=session.command_id)
    session.screen.result(
        f"{message_id} counts as sent.",
        {"message_id": message_id, "outcome": resolved.outcome, "command_id": resolved.command_id},
    )


@command(
    unknown,
    "retry",
    asks=True,
    one_command=True,
    examples=["sluice unknown list", "sluice unknown retry 2f4c1e0a-9b7d-8c21-a3f5-0e6d7c8b9a10"],
)
async def retry(session: Session, message_id: MessageId) -> None:
    """Send a message again, under the same id. Who has it already may get it twice."""
    async with session.open() as sluice:
        resolved = await sluice.resolve(message_id, "retry", command_id=session.command_id)
    session.screen.result(
        f"{message_id} is sent again, under the same id.",
        {"message_id": message_id, "outcome": resolved.outcome, "command_id": resolved.command_id},
    )


def _suspended_sentence(scope: str, suspended: Suspended) -> str:
    receipt = suspended.receipt
    if not isinstance(receipt, DeliverySuspended):
        return f"{scope} has moved on: something newer replaced this suspension."
    why = f" ({receipt.reason})" if receipt.reason else ""
    if suspended.was_so:
        return f"{scope} was suspended already{why}: nothing has left since {receipt.halted_at:%Y-%m-%d %H:%M:%S} UTC."
    return (
        f"{scope} is suspended{why}. Nothing leaves after {receipt.halted_at:%H:%M:%S.%f} (UTC); "
        f"{receipt.in_flight:,} had already left."
    )


def _restored_sentence(scope: str, restored: Restored) -> str:
    if not restored.sends:
        return f"{scope} does not send: something newer suspended it again."
    return f"{scope} was not suspended." if restored.was_so else f"{scope} sends again."
