"""Files of a Maven repository, fetched by the settings that pip, jgo and Maven have on this machine."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from typing import Final
from urllib.parse import urlsplit
from xml.etree import ElementTree

import requests
from jgo.config import GlobalSettings
from jgo.constants import MAVEN_CENTRAL_URL
from requests import exceptions

from devstack.errors import StackError
from devstack.progress import Progress

REPOSITORY_VARIABLE: Final = "SLUICE_MAVEN_REPOSITORY"
DOWNLOADS_MAX: Final = 8
ATTEMPTS_MAX: Final = 3
PAUSE_SECONDS: Final = 0.5
CONNECT_SECONDS_MAX: Final = 10.0
SILENCE_SECONDS_MAX: Final = 20.0
PIP_SECONDS_MAX: Final = 20
CHUNK_BYTES: Final = 64 * 1024
_PIP_SETTING: Final = re.compile(r"^\S+\.(cert|proxy)='(.*)'$", re.MULTILINE)


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

    @property
    def path(self) -> str:
        """Where it lies in every Maven repository."""
        return f"{self.group.replace('.', '/')}/{self.artifact}/{self.version}/{self.name}"

    def is_at(self, file: Path) -> bool:
        """Whether this file is it, byte for byte."""
        try:
            if file.stat().st_size != self.size:
                return False
            with file.open("rb") as opened:
                return hashlib.file_digest(opened, "sha256").hexdigest() == self.sha256
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return False


def fetch(jars: Sequence[Jar], folder: Path, progress: Progress) -> None:
    """Fetch all of them into `folder`, some at a time; the first failure, or an interruption, ends the others."""
    total, arrived, left = sum(jar.size for jar in jars), 0, len(jars)
    todo, news, stop = deque(jars), SimpleQueue[int | Jar | Exception](), Event()
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent, ignore_cleanup_errors=True) as name:
        source = _Source(Path(name), folder, heard=news.put, stop=stop)
        for _ in range(min(DOWNLOADS_MAX, len(jars))):
            # Daemons: a read from a silent server must not hold up Ctrl-C.
            Thread(target=source.work, args=(todo, news.put), daemon=True).start()
        try:
            while left:
                match news.get():
                    case Jar():
                        left -= 1
                    case int() as size:
                        arrived += size
                        progress.part("downloading", done=arrived, total=total)
                    case Exception() as error:
                        raise error
        finally:
            stop.set()


class _Source:
    """Maven's own store on this machine, then the repositories in their order."""

    def __init__(self, partial: Path, folder: Path, *, heard: Callable[[int], None], stop: Event) -> None:
        settings = GlobalSettings.load()
        self._store = settings.repo_cache
        self._repositories = repositories(settings)
        self._session = _session()
        self._partial = partial
        self._folder = folder
        self._heard = heard
        self._stop = stop

    def work(self, todo: deque[Jar], tell: Callable[[Jar | Exception], None]) -> None:
        """Take jars from `todo` until there are none or somebody says stop; tell of each, and of a failure."""
        try:
            while todo and not self._stop.is_set():
                with suppress(IndexError):
                    jar = todo.popleft()
                    self._take(jar)
                    tell(jar)
        except Exception as error:
            tell(error)

    def _take(self, jar: Jar) -> None:
        if jar.is_at(self._store / jar.path):
            shutil.copyfile(self._store / jar.path, self._partial / jar.name)
            self._heard(jar.size)
            (self._partial / jar.name).replace(self._folder / jar.name)
            return
        reason = "it was never tried"
        for repository in self._repositories * ATTEMPTS_MAX:
            try:
                self._download(f"{repository}/{jar.path}", self._partial / jar.name, size_max=jar.size)
            except exceptions.RequestException as error:
                reason = _reason(error, repository)
            else:
                if jar.is_at(self._partial / jar.name):
                    (self._partial / jar.name).replace(self._folder / jar.name)
                    return
                reason = "what came does not have the pinned checksum"
            if self._stop.wait(PAUSE_SECONDS):
                return
            self._heard(-(self._partial / jar.name).stat().st_size if (self._partial / jar.name).exists() else 0)
            (self._partial / jar.name).unlink(missing_ok=True)
        raise StackError(
            f"{jar.name} could not be downloaded ({reason}): check the network or proxy, or name a Maven mirror in "
            f"{REPOSITORY_VARIABLE}, and try again."
        )

    def _download(self, url: str, file: Path, *, size_max: int) -> None:
        with (
            self._session.get(url, stream=True, timeout=(CONNECT_SECONDS_MAX, SILENCE_SECONDS_MAX)) as answer,
            file.open("wb") as opened,
        ):
            answer.raise_for_status()
            for chunk in answer.iter_content(CHUNK_BYTES):
                opened.write(chunk)
                self._heard(len(chunk))
                if self._stop.is_set() or opened.tell() > size_max:
                    return


def repositories(settings: GlobalSettings) -> tuple[str, ...]:
    """What was named for this; else Maven's mirror of its central repository; else jgo's repositories and that."""
    named = os.environ.get(REPOSITORY_VARIABLE)
    chosen = [named] if named else _mirrors() or [*settings.repositories.values(), MAVEN_CENTRAL_URL]
    return tuple(dict.fromkeys(url.rstrip("/") for url in chosen))


def _mirrors() -> list[str]:
    try:
        settings = ElementTree.parse(Path.home() / ".m2" / "settings.xml")  # noqa: S314 - the user's own file
    except (OSError, ElementTree.ParseError):
        return []
    return [
        (mirror.findtext("{*}url") or "").strip()
        for mirror in settings.iterfind("{*}mirrors/{*}mirror")
        if {"*", "central", "external:*"} & set(re.split(r"[,\s]+", mirror.findtext("{*}mirrorOf") or ""))
    ]


def _session() -> requests.Session:
    """Proxy and certificates come from the usual environment variables, else from pip's settings."""
    session = requests.Session()
    pip = _pip_settings()
    if pip.get("cert"):
        session.verify = pip["cert"]
    if pip.get("proxy"):
        session.proxies = {"http": pip["proxy"], "https": pip["proxy"]}
    return session


def _pip_settings() -> dict[str, str]:
    with suppress(OSError, subprocess.TimeoutExpired):
        listed = subprocess.run(
            (sys.executable, "-m", "pip", "config", "list"),
            capture_output=True,
            text=True,
            check=False,
            timeout=PIP_SECONDS_MAX,
        )
        return dict(reversed(_PIP_SETTING.findall(listed.stdout)))  # the environment stands first and decides
    return {}


def _reason(error: exceptions.RequestException, repository: str) -> str:
    host = urlsplit(repository).hostname or repository
    match error:
        case exceptions.HTTPError() if error.response is not None:
            return f"{host} answered {error.response.status_code}"
        case exceptions.ProxyError():
            return f"the proxy to {host} cannot be reached"
        case exceptions.SSLError():
            return f"the certificate of {host} is not trusted here"
        case exceptions.Timeout():
            return f"{host} did not answer in time"
        case exceptions.ConnectionError():
            return f"{host} cannot be reached"
        case exceptions.ChunkedEncodingError():
            return f"the connection to {host} broke off"
        case _:
            return f"{repository!r} is no address of a repository"
