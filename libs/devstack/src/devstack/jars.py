"""Kafka's jars: kept once per user, pinned by checksum, checked before each start."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from jgo.maven import MavenContext

from devstack.downloads import Jar, fetch
from devstack.errors import naming
from devstack.progress import Progress

KAFKA: Final = "4.3.1"
COORDINATES: Final = (
    f"org.apache.kafka:kafka_2.13:{KAFKA}",
    f"org.apache.kafka:kafka-tools:{KAFKA}",
)
LOGGING: Final = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"  # without it Kafka logs nothing
LOCK: Final = Path(__file__).with_name("kafka-jars.lock")


def pinned(lock: Path = LOCK) -> list[Jar]:
    """The jars of the lock file; a line is `group:artifact:version size sha256`."""
    jars = []
    for line in lock.read_text().splitlines():
        coordinate, size, sha256 = line.split()
        group, artifact, version = coordinate.split(":")
        jars.append(Jar(group=group, artifact=artifact, version=version, size=int(size), sha256=sha256))
    return jars


def cache() -> Path:
    """The folder of the jars: one per user, so that a second checkout reuses them."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "sluice" / f"kafka-{KAFKA}"


def ensure(progress: Progress, *, jars: list[Jar] | None = None, folder: Path | None = None) -> list[Path]:
    """All jars, each with the pinned checksum; what is missing or damaged is fetched."""
    wanted, place = jars or pinned(), folder or cache()
    if _bad(wanted, place):
        with naming(place, doing="keeping Kafka's jars"):
            place.mkdir(parents=True, exist_ok=True)
            with _alone(place, progress):
                _mend(_bad(wanted, place), place, progress)
    return [place / jar.name for jar in wanted]


def _bad(wanted: list[Jar], place: Path) -> list[Jar]:
    return [jar for jar in wanted if not jar.is_at(place / jar.name)]


def _mend(bad: list[Jar], place: Path, progress: Progress) -> None:
    if not bad:
        return
    for left in place.parent.glob(f".{place.name}-*"):  # by a download that was killed
        shutil.rmtree(left, ignore_errors=True)
    damaged = [jar.name for jar in bad if (place / jar.name).exists()]
    if damaged:
        progress.say(f"{len(damaged)} damaged jar(s) in {place}, fetching again: {', '.join(damaged[:3])}")
    megabytes = sum(jar.size for jar in bad) / 2**20
    progress.say(f"downloading Kafka {KAFKA} and its tools, once: {len(bad)} jar(s), {megabytes:.1f} MB")
    fetch(bad, place, progress)
    progress.say(f"Kafka's jars are in {place}")


@contextmanager
def _alone(place: Path, progress: Progress) -> Iterator[None]:
    """Two checkouts that start at once fetch one after the other."""
    with (place.parent / f"{place.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.say("another checkout is downloading Kafka's jars, waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def resolve() -> None:
    """Resolve Kafka anew and rewrite the lock file: `python -m devstack.jars`, after changing KAFKA."""
    with tempfile.TemporaryDirectory() as folder:
        context = MavenContext(repo_cache=Path(folder))
        inputs, others = context.resolver.resolve([context.create_dependency(one) for one in COORDINATES])
        lines = set()
        for dependency in (*inputs, *others, context.create_dependency(LOGGING)):
            artifact = dependency.artifact
            content = artifact.resolve().read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            lines.add(f"{artifact.groupId}:{artifact.artifactId}:{artifact.version} {len(content)} {digest}")
    LOCK.write_text("\n".join(sorted(lines)) + "\n")


if __name__ == "__main__":
    resolve()
