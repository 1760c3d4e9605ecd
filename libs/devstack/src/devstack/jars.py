"""Kafka's jars: fetched once per user from Maven Central, pinned by checksum, checked before each start."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jgo.maven import MavenContext, PythonResolver
from requests import RequestException

from devstack.errors import StackError, naming
from devstack.progress import Progress

KAFKA: Final = "4.3.1"
COORDINATES: Final = (
    f"org.apache.kafka:kafka_2.13:{KAFKA}",
    f"org.apache.kafka:kafka-tools:{KAFKA}",
)
LOGGING: Final = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"  # without it Kafka logs nothing
LOCK: Final = Path(__file__).with_name("kafka-jars.lock")
DOWNLOADS_MAX: Final = 8
ATTEMPTS_MAX: Final = 3
FETCH_SECONDS_MAX: Final = 30
REPOSITORY_VARIABLE: Final = "SLUICE_MAVEN_REPOSITORY"


@dataclass(frozen=True, slots=True)
class Jar:
    """One pinned file."""

    group: str
    artifact: str
    version: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


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
    with naming(place, doing="keeping Kafka's jars"):
        place.mkdir(parents=True, exist_ok=True)
        with _alone(place):
            bad = [jar for jar in wanted if not _sound(place / jar.name, jar)]
            damaged = [jar.name for jar in bad if (place / jar.name).exists()]
            if damaged:
                progress.say(f"{len(damaged)} damaged jar(s) in {place}, fetching again: {', '.join(damaged[:3])}")
            if bad:
                _fetch(bad, place, progress)
    return [place / jar.name for jar in wanted]


def _sound(path: Path, jar: Jar) -> bool:
    try:
        if path.stat().st_size != jar.size:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == jar.sha256
    except FileNotFoundError:
        return False


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Two checkouts that start at once fetch one after the other."""
    with (place.parent / f"{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch(bad: list[Jar], place: Path, progress: Progress) -> None:
    total, done = sum(jar.size for jar in bad), 0
    progress.say(f"downloading Kafka {KAFKA} and its tools once: {len(bad)} jar(s), {total / 2**20:.1f} MB")
    partial = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
    try:
        with ThreadPoolExecutor(DOWNLOADS_MAX) as pool:
            futures = {pool.submit(_fetch_one, jar, partial): jar for jar in bad}
            try:
                for future in as_completed(futures):
                    future.result().replace(place / futures[future].name)
                    done += futures[future].size
                    progress.part("downloading", done=done, total=total)
            except BaseException:
                pool.shutdown(cancel_futures=True, wait=False)
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    progress.say(f"Kafka's jars are in {place}")


def _fetch_one(jar: Jar, partial: Path) -> Path:
    own = os.environ.get(REPOSITORY_VARIABLE)
    reason = "it was never tried"
    for attempt in range(ATTEMPTS_MAX):
        context = MavenContext(
            resolver=PythonResolver(),
            repo_cache=partial / f"{jar.name}-{attempt}",
            remote_repos={"given": own.rstrip("/")} if own else None,
            timeout=FETCH_SECONDS_MAX,
        )
        try:
            fetched = context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
        except (RequestException, RuntimeError) as error:
            reason = f"{type(error).__name__}: {_short(error)}"
            continue
        if _sound(fetched, jar):
            return fetched
        reason = "what came does not have the pinned checksum"
    raise StackError(
        f"{jar.name} could not be downloaded ({reason}): check the network or proxy, or name a Maven mirror in "
        f"{REPOSITORY_VARIABLE}, and try again."
    )


def _short(error: Exception) -> str:
    words = str(error).split("\n", maxsplit=1)[0]
    return words if len(words) <= 120 else f"{words[:117]}..."


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
