"""What is asked of sequences."""

from collections.abc import Iterable

from messaging import Batch, Tx
from sluice_contracts.sequences import DeleteSequence, PauseSequence, PublishSequence, ResumeSequence, SaveSequence

from sequences.domain import draft, lifecycle
from sequences.domain.definition import Findings, Limits, inspect_form, inspect_templates
from sequences.domain.sequence import Sequence
from sequences.store import sequences, versions

_UNSEEN = Findings()


async def save_sequence(commands: Batch[SaveSequence], tx: Tx, *, limits: Limits) -> None:
    """Keep drafts."""
    current = await sequences.load(tx.conn, commands.keys())
    decided = commands.decide(lambda m: draft.save(current.get(m.key), m.data, limits=limits, now=tx.now))
    await sequences.save(tx.conn, decided.states())
    tx.emit(decided)


async def publish_sequence(commands: Batch[PublishSequence], tx: Tx, *, limits: Limits) -> None:
    """Make drafts versions."""
    current = await sequences.load(tx.conn, commands.keys())
    findings = await _inspect(current.values(), tx, limits=limits)
    decided = commands.decide(
        lambda m: draft.publish(current.get(m.key), m.data, findings=findings.get(m.key, _UNSEEN), now=tx.now)
    )
    await sequences.save(tx.conn, decided.states())
    await versions.add(tx.conn, decided.states())
    tx.emit(decided)


async def pause_sequence(commands: Batch[PauseSequence], tx: Tx) -> None:
    """Stop sequences."""
    current = await sequences.load(tx.conn, commands.keys())
    decided = commands.decide(lambda m: lifecycle.pause(current.get(m.key), m.data, cause=m.cause, now=tx.now))
    await sequences.save(tx.conn, decided.states())
    tx.emit(decided)


async def resume_sequence(commands: Batch[ResumeSequence], tx: Tx) -> None:
    """Let sequences run again, now or once their receipts are in."""
    current = await sequences.load(tx.conn, commands.keys())
    decided = commands.decide(lambda m: lifecycle.resume(current.get(m.key), m.data, cause=m.cause, now=tx.now))
    await sequences.save(tx.conn, decided.states())
    tx.emit(decided)


async def delete_sequence(commands: Batch[DeleteSequence], tx: Tx) -> None:
    """Fence sequences for good."""
    current = await sequences.load(tx.conn, commands.keys())
    decided = commands.decide(lambda m: lifecycle.delete(current.get(m.key), cause=m.cause, now=tx.now))
    await sequences.save(tx.conn, decided.states())
    tx.emit(decided)


async def _inspect(current: Iterable[Sequence], tx: Tx, *, limits: Limits) -> dict[str, Findings]:
    """What is wrong with each draft. A thousand steps compile for a second: in slices, so that nobody else waits."""
    found: dict[str, Findings] = {}
    for sequence in current:
        if sequence.draft is not None:
            findings = inspect_form(sequence.draft, limits)
            for faults in inspect_templates(sequence.draft, limits):
                findings = findings.also(faults)
                await sequences.stay(tx.conn)
            found[sequence.sequence_id] = findings
    return found
