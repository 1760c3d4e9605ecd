"""What a claimed message says: definitions and compiled templates are kept, one per (sequence, version, step)."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import orjson
import structlog
from campaign.conditions import Facts, StopReason
from campaign.definition import Definition, read_definition
from chassis.pool import Pool
from pydantic import ValidationError
from sluice_contracts.definition import Definition as Document
from templates import CompiledMessage, Contact, TemplateFault, compile_message

from delivery.channels.base import Content, Outgoing
from delivery.domain.look import condition_met, opens_at
from delivery.domain.message import message_id_of
from delivery.store import definitions
from delivery.store.claiming import Claimed

log = structlog.get_logger()

DEFINITIONS_KEPT_MAX: Final = 2_000


class NoContent(Exception):
    """A message that cannot be made; `code` and `detail` name places and rules, never values."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


@dataclass(slots=True)
class Version:
    """One published version, its steps planned and its templates compiled when first used."""

    plan: Definition
    document: Document
    compiled: dict[str, CompiledMessage]


class Contents:
    """The versions that this process has met. Versions are immutable, so nothing here goes stale."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._versions: OrderedDict[tuple[str, int], Version] = OrderedDict()

    async def load(self, rows: Sequence[Claimed]) -> None:
        """Make sure that every version that these rows were claimed under, or go on in, is here."""
        wanted = {(row.sequence_id, version) for row in rows for version in (row.version, row.effective)}
        missing = [key for key in wanted if key not in self._versions]
        if missing:
            async with self._pool.acquire() as conn:
                found = await definitions.documents(conn, missing)
            for (sequence_id, version), raw in found.items():
                try:
                    document = Document.model_validate(raw)
                except ValidationError:  # of a newer release, which has senders of its own that can read it
                    log.error("definition_not_read", sequence_id=sequence_id, version=version)
                    continue
                self._versions[sequence_id, version] = Version(read_definition(version, raw), document, {})
        for key in wanted:
            if key in self._versions:
                self._versions.move_to_end(key)
        while len(self._versions) > max(DEFINITIONS_KEPT_MAX, len(wanted)):
            self._versions.popitem(last=False)

    def holds(self, row: Claimed) -> bool:
        """Whether the row's versions are here: one that cannot be read is not, nor one that made room for others."""
        return (row.sequence_id, row.version) in self._versions and (row.sequence_id, row.effective) in self._versions

    def steps(self, sequence_id: str, version: int) -> Definition | None:
        """A version, as planning sees it; None where it is not here."""
        found = self._versions.get((sequence_id, version))
        return None if found is None else found.plan

    def condition_met(self, row: Claimed) -> StopReason | None:
        """What ends the row's enrollment instead of the send; its versions must be here."""
        return condition_met(
            self._versions[row.sequence_id, row.effective].plan.stop_when,
            channel=row.channel,
            opted_out_of=row.opted_out_of,
            facts=lambda: Facts(orjson.loads(row.attributes or "{}"), orjson.loads(row.tags or "[]")),
        )

    def opens_at(self, row: Claimed, *, now: Callable[[], datetime]) -> datetime | None:
        """When the row's message may leave, where it may not now; its versions must be here."""
        window = self._versions[row.sequence_id, row.effective].plan.window
        return opens_at(window, now=now, timezone=row.timezone)

    def outgoing(self, row: Claimed) -> Outgoing:
        """The message, rendered for its contact; NoContent where that cannot be."""
        contact = Contact(
            id=row.contact_id,
            attributes=orjson.loads(row.attributes or "{}"),
            tags=tuple(orjson.loads(row.tags or "[]")),
        )
        try:
            content: Content = self._compiled(row).render(contact)
        except TemplateFault as fault:
            raise NoContent("template_failed", f"{fault.place}: {fault.rule}") from None
        addresses: dict[str, str] = orjson.loads(row.addresses or "{}")
        return Outgoing(
            message_id=message_id_of(row.enrollment_id, row.step_id),
            channel=row.channel,
            sender=row.lane.partition(":")[2] or None,
            to=addresses.get(row.channel),
            content=content,
            contact_id=row.contact_id,
        )

    def _compiled(self, row: Claimed) -> CompiledMessage:
        version = self._versions[row.sequence_id, row.version]
        compiled = version.compiled.get(row.step_id)
        if compiled is None:
            step = next((step for step in version.document.steps if step.step_id == row.step_id), None)
            if step is None:
                raise NoContent("step_gone", "the version has no such step")
            compiled = version.compiled[row.step_id] = compile_message(step.message)
        return compiled
