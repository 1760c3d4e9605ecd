"""The acts of the demo, in order. Each tells what happened and counts what was promised; none waits by the clock."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from typing import Final, TypeVar

from chassis.clock import monotonic, new_id, sleep
from devstack.stack import Stack
from sluice import AnswerTimeout, CommandRefused, ReceiptTimeout, Sluice, Unreachable
from sluice.contacts import ContactsImport
from sluice.imports import FileEnrollment
from sluice.runs import begin

from testkit.demo import proofs, script, traces
from testkit.demo.killer import kill_each
from testkit.demo.observer import Observer, TooLate, after, cancelled
from testkit.demo.report import Report
from testkit.demo.script import SEQUENCE

LOAD_PART: Final = 20
"""It counts as full load when every channel has had one twentieth of the contacts, and none of them all."""
SENDERS: Final = 3
TRIES_SECONDS_MAX: Final = 90.0
END_SECONDS_MAX: Final = 240.0

T = TypeVar("T")


class Story:
    """One telling."""

    def __init__(self, stack: Stack, report: Report, *, contacts: int, kills: bool) -> None:
        self._stack = stack
        self._report = report
        self._count = contacts
        self._kills = kills
        self._home = stack.layout.root
        self._at = stack.addresses
        self._seen = Observer(self._at.sink_file)

    async def tell(self) -> None:
        """All acts. Raises TooLate, SluiceError."""
        async with AsyncExitStack() as exits:
            sluice = await exits.enter_async_context(Sluice(self._at.kafka, actor="demo", seconds_max=30.0))
            watching = asyncio.create_task(self._seen.watch(sluice))
            exits.push_async_callback(cancelled, watching)
            await self._import_contacts(sluice)
            await self._write(sluice)
            await self._publish(sluice)
            killing = await self._enroll(sluice)
            if killing is not None:
                exits.push_async_callback(cancelled, killing)
            halted_at = await self._pause(sluice)
            await self._scale(sluice)
            pause = await self._resume(sluice, halted_at)
            removal = await self._remove(sluice)
            edited_at = await self._edit(sluice)
            await self._finish(killing)
            await self._count_all(pause, removal, edited_at)
            await self._delete(sluice)

    # -- before anything runs

    async def _import_contacts(self, sluice: Sluice) -> None:
        self._report.act(f"Import {self._count:,} contacts from a CSV made on the spot")
        file = self._home / "contacts.csv"
        script.write_contacts(file, self._count)
        began = monotonic()
        first = await ContactsImport(sluice.transport, file, source="demo", actor="demo").run()
        seconds = monotonic() - began
        self._report.fact(f"{first.created:,} created in {seconds:.1f} s ({first.created / seconds:,.0f} a second)")
        again = await ContactsImport(sluice.transport, file, source="demo", actor="demo").run()
        self._report.promise(
            "The same file again changes nothing",
            f"{again.unchanged:,} unchanged, {again.created + again.updated:,} written",
            again.unchanged == self._count,
        )

    async def _write(self, sluice: Sluice) -> None:
        self._report.act("Save a draft, come back, go on with it")
        first = await sluice.save(SEQUENCE, script.first_draft())
        found = await sluice.sequence(SEQUENCE)
        draft = found.draft if found is not None else None
        self._report.fact(f"after lunch: revision {first.revision}, {len((draft or {}).get('steps', []))} step")
        second = await sluice.save(SEQUENCE, script.first_edition(self._at.sink_http), first.revision)
        try:
            await sluice.save(SEQUENCE, script.first_draft(), first.revision)
            code = "taken"
        except CommandRefused as refused:
            code = refused.code
        self._report.promise(
            "A draft comes back as it was saved, and a stale one overwrites nothing",
            f"revision {first.revision}, then {second.revision}; a second editor: {code}",
            draft == script.first_draft() and (second.revision, code) == (2, "conflict"),
        )

    async def _publish(self, sluice: Sluice) -> None:
        self._report.act("Publish")
        published = await sluice.publish(SEQUENCE)
        self._report.fact(f"version {published.version} is active: WhatsApp at once, e-mail and webhook after it")

    # -- under load

    async def _enroll(self, sluice: Sluice) -> "asyncio.Task[list[str]] | None":
        self._report.act(f"Enroll all {self._count:,}, and watch the three channels")
        run = begin(
            self._home / "runs", deployment="demo", sequence_id=SEQUENCE, content_hash=new_id(), chunk_size=1_000
        )
        work = FileEnrollment(sluice, SEQUENCE, self._home / "contacts.csv", run=run)
        killing = None
        if self._kills:
            tell, seen = self._report.fact, self._seen
            killing = asyncio.create_task(kill_each(self._stack, tell=tell, progressed=lambda: len(seen.arrivals)))
        began = monotonic()
        while not (done := await work.enroll()).done:  # only where Kafka was killed: the same ids again
            work = FileEnrollment(sluice, SEQUENCE, self._home / "contacts.csv", run=run)
        seconds = monotonic() - began
        self._report.promise(
            "Every contact is in, once",
            f"{done.enrolled:,} enrolled in {seconds:.1f} s ({done.enrolled / seconds:,.0f} a second)",
            done.enrolled == self._count,
        )
        least = self._count // LOAD_PART
        await self._seen.until(
            "sends on all three channels",
            lambda: all(self._seen.by_channel[channel] >= least for channel in ("whatsapp", "email", "webhook")),
            seconds_max=END_SECONDS_MAX,
        )
        self._report.fact(self._channels())
        return killing

    async def _pause(self, sluice: Sluice) -> datetime:
        self._report.act("Pause, under full load")
        began = monotonic()
        paused = await self._again(lambda command_id: sluice.pause(SEQUENCE, wait="stopped", command_id=command_id))
        seconds = monotonic() - began
        receipts = paused.state.receipts if paused.state is not None else None
        if receipts is None:
            raise TooLate("the pause was answered without its receipts")
        self._report.fact(f"EntryClosed     nobody enters after   {receipts.entry_closed_at:%H:%M:%S.%f}")
        self._report.fact(f"SequenceHalted  nothing leaves after  {receipts.halted_at:%H:%M:%S.%f}")
        self._report.fact(
            f"SequenceStopped {1000 * seconds:,.0f} ms after the command; {receipts.dropped:,} pending dropped, "
            f"{receipts.in_flight} had already left and were waited for"
        )
        pending = await self._proof(lambda conn: traces.pending(conn, SEQUENCE))
        self._report.promise(
            "The receipt's count of dropped sends is exact",
            f"{receipts.dropped:,} in the receipt, {pending:,} in the table",
            receipts.dropped == pending,
        )
        return receipts.halted_at

    async def _scale(self, sluice: Sluice) -> None:
        self._report.act(f"While it is paused: scale senders 1 → {SENDERS}, and try to let somebody in")
        await asyncio.to_thread(self._stack.scale_senders, SENDERS)
        try:
            await self._again(lambda command_id: sluice.enroll(SEQUENCE, "c-00000", command_id=command_id))
            code = "let in"
        except CommandRefused as refused:
            code = refused.code
        self._report.promise("Nobody enters a paused sequence", code, code == "sequence_paused")
        self._report.fact(f"{SENDERS} senders are ready")

    async def _resume(self, sluice: Sluice, halted_at: datetime) -> tuple[datetime, datetime]:
        self._seen.read_sink()
        late = after(self._seen.arrivals, halted_at)
        last = max(arrival.at for arrival in self._seen.arrivals)
        self._report.promise(
            "After halted_at nothing leaves",
            f"{late} arrivals later" + ("" if late else f"; the last one {_milliseconds(halted_at - last)} before it"),
            late == 0,
        )
        self._report.act("Resume: what was still to wait is still to wait")
        resumed = await self._again(lambda command_id: sluice.resume(SEQUENCE, wait="resumed", command_id=command_id))
        state = resumed.state
        if state is None or state.paused_at is None or state.resumed_at is None:
            raise TooLate("the resume was answered without its state")
        self._report.fact(f"it stood for {(state.resumed_at - state.paused_at).total_seconds():.1f} s")
        return state.paused_at, state.resumed_at

    async def _remove(self, sluice: Sluice) -> tuple[str, datetime]:
        self._report.act("Remove a contact amid its sequence")
        waits = [c for c, steps in self._seen.by_contact.items() if "welcome" in steps and "tips" not in steps]
        waits = waits or [c for c, steps in self._seen.by_contact.items() if "crm" not in steps]
        if not waits:
            raise TooLate("nobody is amid the sequence any more")
        contact = max(waits)
        removed = await self._again(
            lambda command_id: sluice.remove(contact, SEQUENCE, wait="halted", command_id=command_id)
        )
        if removed.halted is None:
            raise TooLate("the removal was answered without its receipt")
        had = ", ".join(self._seen.by_contact[contact])
        self._report.fact(
            f"{contact} had {had}; ContactHalted: nothing leaves after {removed.halted.halted_at:%H:%M:%S.%f}"
        )
        return contact, removed.halted.halted_at

    async def _edit(self, sluice: Sluice) -> datetime:
        self._report.act("Edit and publish again: another webhook, and one e-mail more at the end")
        completed = len(self._seen.completed)
        await self._again(
            lambda command_id: sluice.save(SEQUENCE, script.second_edition(self._at.sink_http), command_id=command_id)
        )
        published = await self._again(lambda command_id: sluice.publish(SEQUENCE, command_id=command_id))
        state = await sluice.sequence(SEQUENCE)
        if state is None:
            raise TooLate("the sequence is not on its topic")
        self._report.fact(f"version {published.version}; {completed:,} had completed before, the others go on with it")
        return state.updated_at

    async def _finish(self, killing: "asyncio.Task[list[str]] | None") -> None:
        self._report.act("Wait until everybody is through")
        expected = self._count - 1
        await self._seen.until(
            f"{expected:,} enrollments completed",
            lambda: len(self._seen.completed) >= expected and (killing is None or killing.done()),
            seconds_max=END_SECONDS_MAX,
        )
        if killing is not None:
            self._report.fact(f"killed meanwhile: {', '.join(killing.result())}")
        self._report.fact(self._channels())

    async def _count_all(
        self, pause: tuple[datetime, datetime], removal: tuple[str, datetime], edited_at: datetime
    ) -> None:
        self._report.act("Count")
        seen = self._seen
        await seen.until("the closed books", lambda: proofs.books_are_told(seen, SEQUENCE), seconds_max=30.0)
        for proof in (
            proofs.terminal_events(seen),
            proofs.repeats(seen),
            proofs.order(seen),
            proofs.remaining_delays(seen, paused_at=pause[0], resumed_at=pause[1]),
            proofs.removal(seen, contact_id=removal[0], halted_at=removal[1]),
            proofs.editions(seen, edited_at=edited_at, count=self._count - 1),
            proofs.closed_books(seen, SEQUENCE),
        ):
            self._report.promise(*proof)
        shares = await proofs.shares(self._stack)
        self._report.promise(
            "Senders added while running take their part",
            ", ".join(f"{name} {share:,}" for name, share in shares.items()) + " since they started",
            len(shares) == SENDERS and all(shares.values()),
        )

    # -- the end

    async def _delete(self, sluice: Sluice) -> None:
        self._report.act("Delete: permanent, and proven so")
        began = monotonic()
        deleted = await self._again(lambda command_id: sluice.delete(SEQUENCE, wait="erased", command_id=command_id))
        rows = deleted.erasure.rows if deleted.erasure is not None else {}
        told = ", ".join(f"{service} {sum(tables.values()):,}" for service, tables in sorted(rows.items()))
        self._report.fact(f"SequenceErasureCompleted after {monotonic() - began:.1f} s; rows erased: {told}")
        kept = await self._proof(lambda conn: traces.rows_with(conn, script.CANARY))
        self._report.promise(
            "No row of any schema holds it", f"{sum(kept.values())} rows {kept or ''}".strip(), not kept
        )
        began = monotonic()
        left = await traces.topics_without(sluice, self._at.kafka, script.CANARY, tell=self._report.fact)
        self._report.promise(
            "After compaction and retention no topic holds it",
            f"{sum(left.values())} records {left or ''}".strip() + f", after {monotonic() - began:.0f} s",
            not left,
        )

    # -- what all acts share

    def _channels(self) -> str:
        return "arrived: " + ", ".join(f"{name} {count:,}" for name, count in sorted(self._seen.by_channel.items()))

    async def _proof(self, ask: Callable[[traces.Connection], Awaitable[T]]) -> T:
        async with traces.database(self._at.postgres_admin_url) as conn:
            return await ask(conn)

    async def _again(self, ask: Callable[[str], Awaitable[T]]) -> T:
        """Ask, and where no answer comes (a server was killed) again with the same id: it is done once."""
        command_id = new_id()
        deadline = monotonic() + TRIES_SECONDS_MAX
        while True:
            try:
                return await ask(command_id)
            except (AnswerTimeout, ReceiptTimeout, Unreachable):
                if monotonic() > deadline:
                    raise
                await sleep(0.5)


def _milliseconds(duration: timedelta) -> str:
    return f"{1000 * duration.total_seconds():.1f} ms"
