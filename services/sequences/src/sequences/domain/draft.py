"""Save the working copy, and make it a version."""

from dataclasses import replace
from datetime import datetime

from messaging import Decision
from sluice_contracts.sequences import (
    InFlight,
    PublishSequence,
    SaveSequence,
    SequencePublished,
    SequenceSaved,
    VersionPublished,
)

from sequences.domain.definition import Findings, Limits, is_same, refuse_faulty, refuse_too_large
from sequences.domain.sequence import (
    Definition,
    Sequence,
    Status,
    TransitionRefused,
    changed,
    deleted,
    known,
    state_of,
)


def save(sequence: Sequence | None, command: SaveSequence, *, limits: Limits, now: datetime) -> Decision[Sequence]:
    """Keep a draft, complete or not; what runs does not change. A stale revision overwrites nothing."""
    if sequence is None:
        sequence = _nothing(command.sequence_id, now=now)
    match sequence.status:
        case Status.DRAFT | Status.ACTIVE | Status.PAUSED:
            _refuse_stale(sequence, command.expected_revision)
            refuse_too_large(command.definition, limits)
            published = sequence.published is not None and is_same(command.definition, sequence.published)
            saved = replace(
                changed(sequence, now=now),
                revision=sequence.revision + 1,
                draft=None if published else command.definition,
            )
            result = {"revision": saved.revision, "status": saved.status.value}
            return Decision(saved, (state_of(SequenceSaved, saved),), result)
        case Status.DELETED:
            raise deleted()


def publish(
    sequence: Sequence | None, command: PublishSequence, *, findings: Findings, now: datetime
) -> Decision[Sequence]:
    """Make the draft the next version; a paused sequence stays paused.

    `findings` is what an inspection of this very draft has found. Where nothing was saved since the last version there
    is nothing to do: the result names that version, and no event follows. One exception: who asks for `follow` in so
    many words, where those inside keep an older version, gets the same definition as a new version that all follow.
    """
    sequence = known(sequence)
    match sequence.status:
        case Status.DRAFT | Status.ACTIVE | Status.PAUSED:
            _refuse_stale(sequence, command.expected_revision)
            if sequence.draft is not None:
                refuse_faulty(findings)
                return _published(sequence, sequence.draft, in_flight=command.in_flight or "follow", now=now)
            if sequence.published is not None and command.in_flight == "follow" and _is_pinned(sequence):
                return _published(sequence, sequence.published, in_flight="follow", now=now)
            return Decision(result={"version": sequence.version})
        case Status.DELETED:
            raise deleted()


def _published(sequence: Sequence, definition: Definition, *, in_flight: InFlight, now: datetime) -> Decision[Sequence]:
    version = (sequence.version or 0) + 1
    follows = in_flight == "follow" or sequence.version is None
    published = replace(
        changed(sequence, now=now),
        status=Status.PAUSED if sequence.status is Status.PAUSED else Status.ACTIVE,
        version=version,
        published=definition,
        draft=None,
        in_flight=in_flight,
        follow_version=version if follows else sequence.follow_version,
    )
    kept = VersionPublished(sequence_id=sequence.sequence_id, version=version, definition=dict(definition))
    return Decision(published, (state_of(SequencePublished, published), kept), {"version": version})


def _is_pinned(sequence: Sequence) -> bool:
    """Whether those inside may keep a version older than the newest."""
    return sequence.follow_version != sequence.version


def _nothing(sequence_id: str, *, now: datetime) -> Sequence:
    """What is there before the first save."""
    return Sequence(sequence_id=sequence_id, status=Status.DRAFT, state_version=0, epoch=0, revision=0, updated_at=now)


def _refuse_stale(sequence: Sequence, expected_revision: int | None) -> None:
    if expected_revision is not None and expected_revision != sequence.revision:
        raise TransitionRefused("conflict", f"the draft is at revision {sequence.revision}; nothing was overwritten")
