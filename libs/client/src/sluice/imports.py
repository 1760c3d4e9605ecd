"""Enroll the contacts of a file in chunks, several under way at once, each with an id that a repetition repeats."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sluice_contracts.base import ID_PATTERN

from sluice.client import Sluice
from sluice.contacts import INVALID_KEPT_MAX
from sluice.errors import AnswerTimeout, CommandRefused, Unreachable
from sluice.runs import Run
from sluice.table import ID_COLUMN, InvalidLine, UnusableFile, lines

CHUNK_CONTACTS_MAX: Final = 1_000
IN_FLIGHT_CHUNKS_MAX: Final = 8
CHUNK_SECONDS_MAX: Final = 120.0

_ID = re.compile(ID_PATTERN)


@dataclass(slots=True)
class EnrollReport:
    """How far an enrollment of a file has come."""

    chunks_sent: int = 0
    chunks_answered: int = 0
    contacts_sent: int = 0
    enrolled: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """Contacts that were not let in, by reason."""
    chunks_refused: list[tuple[int, CommandRefused]] = field(default_factory=list)
    unanswered: list[tuple[int, AnswerTimeout | Unreachable]] = field(default_factory=list)
    invalid: int = 0
    invalid_lines: list[InvalidLine] = field(default_factory=list)
    """The first 1,000 of them."""
    read_to_end: bool = False

    @property
    def done(self) -> bool:
        """Every chunk of the file has its answer."""
        return self.read_to_end and self.chunks_answered == self.chunks_sent

    def refuse(self, line: InvalidLine) -> None:
        self.invalid += 1
        if len(self.invalid_lines) < INVALID_KEPT_MAX:
            self.invalid_lines.append(line)


class FileEnrollment:
    """One enrollment of a file. `report` tells at any time how far it has come."""

    def __init__(
        self,
        sluice: Sluice,
        sequence_id: str,
        path: Path,
        *,
        run: Run,
        chunk_size: int = CHUNK_CONTACTS_MAX,
        seconds_max: float = CHUNK_SECONDS_MAX,
    ) -> None:
        self.report = EnrollReport()
        self.run = run
        self._sluice = sluice
        self._sequence_id = sequence_id
        self._path = path
        self._chunk_size = chunk_size
        self._seconds_max = seconds_max
        self._places = asyncio.Semaphore(IN_FLIGHT_CHUNKS_MAX)

    async def enroll(self, *, on_progress: Callable[[EnrollReport], None] = lambda _: None) -> EnrollReport:
        """Enroll the whole file. After a chunk without an answer no more are sent; those under way are waited for.

        Raises UnusableFile, once what was sent before that was found out has its answers.
        """
        unusable: UnusableFile | None = None
        async with asyncio.TaskGroup() as group:
            try:
                await self._send_all(group, on_progress)
            except UnusableFile as error:
                unusable = error
        if self.report.done or not self.report.chunks_sent:
            self.run.finish()
        if unusable is not None:
            raise unusable
        return self.report

    async def _send_all(self, group: asyncio.TaskGroup, on_progress: Callable[[EnrollReport], None]) -> None:
        for number, contact_ids in enumerate(self._chunks()):
            await self._places.acquire()
            if self.report.unanswered:
                self._places.release()
                return
            group.create_task(self._send(number, contact_ids, on_progress))
        self.report.read_to_end = True

    async def _send(self, number: int, contact_ids: list[str], on_progress: Callable[[EnrollReport], None]) -> None:
        report = self.report
        report.chunks_sent += 1
        report.contacts_sent += len(contact_ids)
        try:
            outcome = await self._sluice.enroll_many(
                self._sequence_id,
                contact_ids,
                chunk=number,
                command_id=self.run.command_id(self._sequence_id, number),
                seconds_max=self._seconds_max,
            )
        except CommandRefused as error:
            report.chunks_refused.append((number, error))
            report.refused[error.code] += len(contact_ids)
        except (AnswerTimeout, Unreachable) as error:
            report.unanswered.append((number, error))
            return
        else:
            report.enrolled += outcome.enrolled
            report.refused.update(outcome.refused)
        finally:
            self._places.release()
        report.chunks_answered += 1
        on_progress(report)

    def _chunks(self) -> Iterator[list[str]]:
        """The ids of the file in its order, without repetitions: the same content gives the same chunks."""
        chunk: list[str] = []
        for contact_id in self._contact_ids():
            chunk.append(contact_id)
            if len(chunk) == self._chunk_size:
                yield chunk
                chunk = []
        if chunk:
            yield chunk

    def _contact_ids(self) -> Iterator[str]:
        first: dict[str, int] = {}
        for line in lines(self._path):
            if isinstance(line, InvalidLine):
                self.report.refuse(line)
            elif not _ID.fullmatch(line.contact_id):
                self.report.refuse(InvalidLine(line.number, f"{ID_COLUMN}: must be an id"))
            elif first.setdefault(line.contact_id, line.number) != line.number:
                rule = f"{ID_COLUMN}: stands already on line {first[line.contact_id]}"
                self.report.refuse(InvalidLine(line.number, rule))
            else:
                yield line.contact_id
