"""A scene: users at work, one thing that breaks, and what came of it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from chassis.clock import monotonic, sleep, utc_now
from devstack.stack import StackError
from sluice import Sluice
from sluice_contracts.enrollment import EnrollContacts
from sluice_contracts.sequences import PauseSequence, ResumeSequence
from testkit.checker import History, Violation, judge
from testkit.checker.facts import Facts
from testkit.checker.history import Found, Run
from testkit.checker.invariants.stops import Late, residue

from tests.faults import collect, rest
from tests.faults.stage import READY_SECONDS_MAX, Stage
from tests.faults.workload import Workload

WARM_SECONDS: Final = 1.5
LOAD_SECONDS: Final = 8.0
FILLED: Final = 60
FILL_SECONDS_MAX: Final = 10.0
FALLEN_SECONDS_MAX: Final = 20.0
ARRIVALS_MIN: Final = 100


@dataclass
class Play:
    """One scene as it is being played."""

    scene: Scene
    seed: int
    stage: Stage
    workload: Workload
    sluice: Sluice
    chance: random.Random
    began: datetime
    marks: collect.Marks
    """Where topics and the sink's file stood before the run."""
    sizes: Mapping[str, int]
    """How full the queues were before."""
    failed: str | None = None
    """Why it was not played to its end."""
    left: dict[str, int] = field(default_factory=dict)
    """What was still to be done when it should have been at rest."""
    found: list[Found] = field(default_factory=list)
    """What `after` looked for."""

    async def fill(self) -> None:
        """Let people enter whose messages come due one after the other in the seconds that follow.

        In a sequence that nobody pauses and by a channel that nobody suspends: a resume might not be heard any more.
        TimeoutError where they do not enter: where nothing comes due, a scene shows nothing.
        """
        sequence_id = await self.workload.steady()
        contacts = self.chance.sample(self.workload.contacts, FILLED)
        command = EnrollContacts(sequence_id=sequence_id, contact_ids=contacts)
        await self.workload.ask(command, key=command.key_of("fill"))
        waiting = "select count(*) from delivery.pending where sequence_id = $1"
        deadline = monotonic() + FILL_SECONDS_MAX
        while await self.stage.conn.fetchval(waiting, sequence_id) < FILLED // 3:
            if monotonic() > deadline:
                raise TimeoutError(f"fewer than {FILLED // 3} had entered after {FILL_SECONDS_MAX:.0f} s")
            await sleep(0.1)

    async def pause_all(self) -> None:
        """Every sequence that users work on; until they are resumed nobody else pauses or resumes any."""
        self.workload.held = True
        await asyncio.gather(*(self.workload.ask(PauseSequence(sequence_id=one)) for one in self.workload.sequences))

    async def resume_all(self) -> None:
        """Every sequence that users work on; where one runs already, that is said."""
        await asyncio.gather(*(self.workload.ask(ResumeSequence(sequence_id=one)) for one in self.workload.sequences))
        self.workload.held = False

    async def stopped(self) -> bool:
        """Whether every receipt of the pauses is given."""
        owed = "select count(*) from delivery.sequence_halt where sequence_id like $1 || '%'"
        return not await self.stage.conn.fetchval(owed, self.workload.prefix)

    async def until_stopped(self, *, seconds_max: float) -> None:
        """Wait until every receipt of the pauses is given; TimeoutError where that takes longer."""
        deadline = monotonic() + seconds_max
        while not await self.stopped():
            if monotonic() > deadline:
                raise TimeoutError(f"a receipt was not given within {seconds_max:.0f} s")
            await sleep(0.1)


Fault = Callable[[Play], Awaitable[None]]


@dataclass(frozen=True)
class Scene:
    """What breaks while users are at work."""

    name: str
    what: str
    """One sentence for the table."""
    fault: Fault
    load_seconds: float = LOAD_SECONDS
    pace: float = 1.0
    sink_lag_seconds: float = 0.0
    booking_lag_seconds: float = 1.0
    rest_seconds_max: float = rest.REST_SECONDS_MAX
    may_fall: bool = False
    """Of a bug: processes that do not come back are no reason not to judge what came before."""
    calm: bool = False
    """Nothing of it touches senders, sinks or Postgres: no message has a reason to be in doubt."""
    small_disk: bool = False
    """It needs a database on a disk that can be filled."""
    brokers: int = 1
    after: Fault | None = None
    """What is done when all is at rest and was gathered, before it is judged."""
    shows: Callable[[History], bool] = lambda _: True
    """Whether the fault has taken hold, as far as a history can tell."""
    arrivals_min: int = ARRIVALS_MIN
    """Where fewer come, nothing is shown."""


@dataclass
class Outcome:
    """What came of a scene."""

    scene: Scene
    seed: int
    seconds: float
    history: History
    verdict: dict[str, list[Violation]]
    left: dict[str, int]
    """What was still to be done when it should have been at rest."""
    failed: str | None = None
    """Why it has shown nothing, or was not played to its end."""
    late: list[Late] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    @property
    def broken(self) -> bool:
        return self.failed is not None or bool(self.left) or any(self.verdict.values())


async def play(scene: Scene, stage: Stage, *, seed: int, kept: Path | None = None) -> Outcome:
    """Play it on a stage that is well, and leave that well; the history of one that did not hold is kept.

    A fault that could not be brought about ends neither the users' work nor the judging.
    """
    started = monotonic()
    async with Sluice(stage.stack.addresses.kafka, actor="faults", source="faults") as sluice:
        playing = await _prepared(scene, stage, sluice, seed)
        await _work(playing)
        await _rest(playing)
        history = await _gather(playing)
    failed = playing.failed
    if failed is None and not scene.may_fall:
        failed = shows_nothing(scene, history)
    verdict = await asyncio.to_thread(judge, history)
    late = await asyncio.to_thread(lambda: residue(Facts(history)))
    outcome = Outcome(scene, seed, monotonic() - started, history, verdict, playing.left, failed, late, [*stage.told])
    if kept is not None and outcome.broken:
        await asyncio.to_thread(history.write, kept / f"{scene.name}-{seed}")
    return outcome


def shows_nothing(scene: Scene, history: History) -> str | None:
    """Why nothing is shown: hardly anything came, or the fault has not taken hold. None where it shows something."""
    came = sum(arrival.accepted for arrival in history.arrivals)
    if came < scene.arrivals_min:
        return f"only {came} messages came, not {scene.arrivals_min}: nothing is shown"
    return None if scene.shows(history) else "the fault has not taken hold: nothing is shown"


def causes(error: BaseException) -> str:
    """What went wrong, of a group all of it."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(causes(one) for one in error.exceptions)
    return f"{type(error).__name__}: {error}"


async def _prepared(scene: Scene, stage: Stage, sluice: Sluice, seed: int) -> Play:
    """Contacts and sequences are there; nobody is at work."""
    stage.forget()
    at = stage.stack.addresses
    sizes = await rest.sizes(stage.conn)
    marks = await collect.mark(at.kafka, at.sink_file)
    name = f"{seed}:{scene.name}"
    workload = Workload(sluice, stage.prefix(name), seed, stage.sink_http, pace=scene.pace)
    if scene.may_fall:
        workload.patience_seconds_max = FALLEN_SECONDS_MAX
    began = utc_now()
    await workload.prepare()
    return Play(scene, seed, stage, workload, sluice, random.Random(name), began, marks, sizes)


async def _work(playing: Play) -> None:
    """Users at work until the fault is over, at the least; whatever it leaves behind is taken away.

    After a fault that failed they end in order all the same: nothing stays paused or suspended by that.
    """
    scene, stage, over = playing.scene, playing.stage, asyncio.Event()
    started = monotonic()
    working = asyncio.create_task(playing.workload.run(scene.load_seconds, over))
    try:
        await sleep(WARM_SECONDS)
        try:
            await scene.fault(playing)
        except Exception as error:
            _fail(playing, error)
        await stage.heal(seconds_max=FALLEN_SECONDS_MAX if scene.may_fall else READY_SECONDS_MAX)
        over.set()
        await working
    except StackError as error:
        playing.left = {"processes that do not come back": 1}
        _fail(playing, error)
    except Exception as error:
        _fail(playing, error)
    finally:
        working.cancel()
        await asyncio.wait([working])
        await playing.workload.close()
        stage.told.append(f"worked for {monotonic() - started:.0f} s")


def _fail(playing: Play, error: Exception) -> None:
    """Of several causes the first counts. That processes of a planted bug do not come back is no failure."""
    if playing.failed is None and not (playing.scene.may_fall and isinstance(error, StackError)):
        playing.failed = causes(error)


async def _rest(playing: Play) -> None:
    """Wait until nothing is left to do; where processes did not come back, that is not waited for."""
    if playing.left:
        return
    started, scene = monotonic(), playing.scene
    try:
        playing.left = await rest.until_rest(
            playing.stage.conn, playing.sluice, playing.workload.prefix, seconds_max=scene.rest_seconds_max
        )
    except Exception as error:  # what there is can be judged all the same
        playing.left = {"nobody could tell": 1}
        _fail(playing, error)
    playing.stage.told.append(f"at rest after {monotonic() - started:.0f} s")


async def _look_after(playing: Play) -> None:
    """What no history tells."""
    if missing := await rest.unknown_to_the_console(playing.stage.conn, playing.workload.prefix):
        raise AssertionError(f"the console does not know of {missing} messages that were sent")
    if playing.scene.after is not None:
        await playing.scene.after(playing)


async def _gather(playing: Play) -> History:
    """All that is to be judged."""
    scene, stage, workload = playing.scene, playing.stage, playing.workload
    at = stage.stack.addresses
    after = await rest.sizes(stage.conn)
    run = Run(
        name=scene.name,
        seed=playing.seed,
        began=playing.began,
        ended=utc_now(),
        frozen=tuple(stage.frozen),
        deaf=tuple(stage.deaf),
        held=tuple(stage.held),
        put_backs=tuple(stage.put_backs),
        sink_lag_seconds=scene.sink_lag_seconds,
        booking_lag_seconds=scene.booking_lag_seconds,
        calm=scene.calm,
        sizes={table: (before, after[table]) for table, before in playing.sizes.items()},
        canaries=workload.canaries,
    )
    records = await collect.records(at.kafka, playing.marks)
    words = [workload.canaries[one] for one in workload.gone]
    found = await collect.canaries(stage.conn, words)
    history = History(
        run=run,
        clients=tuple(workload.asked),
        arrivals=collect.arrivals(at.sink_file, playing.marks),
        records=records,
        rows=await collect.rows(stage.conn, workload.prefix),
    )
    if not playing.left:
        try:
            await _look_after(playing)
        except Exception as error:
            _fail(playing, error)
    return replace(history, run=replace(run, found=(*found, *playing.found)))
