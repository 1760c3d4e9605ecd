"""What a claimed message says: definitions and compiled templates are kept, one per (sequence, version, step)."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import orjson
import structlog
from campaign.conditions import Facts, StopReason
from campaign.definition import Definition, Step, read_definition
from campaign.plan import next_step
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
    is_conditional: bool = field(init=False)
    """Whether there is anything to look at before a send, but for opt-outs."""
    _compiled: dict[str, CompiledMessage] = field(default_factory=dict)
    _following: dict[tuple[int, str, tuple[str, ...]], Step | None] = field(default_factory=dict)
    """What comes next is the same for everybody who has come the same way: it is looked up once."""

    def __post_init__(self) -> None:
        stop_when = self.plan.stop_when
        self.is_conditional = self.plan.window is not None or bool(stop_when.success or stop_when.failure)

    def condition_met(self, row: Claimed) -> StopReason | None:
        """What ends the row's enrollment, which runs under this version, instead of the send."""
        return condition_met(
            self.plan.stop_when,
            channel=row.channel,
            opted_out_of=row.opted_out_of,
            facts=lambda: Facts(orjson.loads(row.attributes or "{}"), orjson.loads(row.tags or "[]")),
        )

    def opens_at(self, row: Claimed, *, now: Callable[[], datetime]) -> datetime | None:
        """When the row's message may leave, where it may not now."""
        return opens_at(self.plan.window, now=now, timezone=row.timezone)

    def next_step(self, row: Claimed, *, planned_in: "Version") -> Step | None:
        """What follows the row's step in this version; None where nothing does."""
        way = (planned_in.plan.version, row.step_id, tuple(row.ended))
        if way not in self._following:
            self._following[way] = next_step(
                self.plan,
                after_step=row.step_id,
                step_id=None,
                ended=(*row.ended, row.step_id),
                previous=planned_in.plan,
            )
        return self._following[way]

    def outgoing(self, row: Claimed) -> Outgoing:
        """The message, planned in this version, rendered for its contact; NoContent where that cannot be."""
        tags = orjson.loads(row.tags) if row.tags not in (None, "[]") else ()
        contact = Contact(row.contact_id, orjson.loads(row.attributes or "{}"), tags)
        try:
            content: Content = self._message(row.step_id).render(contact)
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

    def _message(self, step_id: str) -> CompiledMessage:
        compiled = self._compiled.get(step_id)
        if compiled is None:
            step = next((step for step in self.document.steps if step.step_id == step_id), None)
            if step is None:
                raise NoContent("step_gone", "the version has no such step")
            compiled = self._compiled[step_id] = compile_message(step.message)
        return compiled


class Contents:
    """The versions that this process has met. Versions are immutable, so nothing here goes stale."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._versions: OrderedDict[tuple[str, int], Version] = OrderedDict()

    async def load(self, rows: Sequence[Claimed]) -> Mapping[tuple[str, int], Version]:
        """Every version that these rows were claimed under, or go on in, by sequence; without those of a newer release,
        which cannot be read here."""
        wanted = {(row.sequence_id, version) for row in rows for version in (row.version, row.effective)}
        missing = [key for key in wanted if key not in self._versions]
        if missing:
            async with self._pool.acquire() as conn:
                found = await definitions.documents(conn, missing)
            for (sequence_id, version), raw in found.items():
                try:
                    document = Document.model_validate(raw)
                except ValidationError:  # the newer release has senders of its own
                    log.error("definition_not_read", sequence_id=sequence_id, version=version)
                    continue
                self._versions[sequence_id, version] = Version(read_definition(version, raw), document)
        here = {key: self._versions[key] for key in wanted if key in self._versions}
        for key in here:
            self._versions.move_to_end(key)
        while len(self._versions) > max(DEFINITIONS_KEPT_MAX, len(wanted)):
            self._versions.popitem(last=False)
        return here
