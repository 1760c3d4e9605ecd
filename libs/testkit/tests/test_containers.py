"""Whether containers are taken is decided by what an engine on this machine says, and nothing waits for one."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import UnixStreamServer

import pytest
from chassis.clock import monotonic
from devstack import kafka
from testkit.containers import KAFKA_IMAGE, POSTGRES_IMAGE, Images, images, kafka_environment, postgres_command


class _Engine(BaseHTTPRequestHandler):
    """Answers as an engine does that has the images of its server."""

    def do_GET(self) -> None:
        known: set[str] = self.server.known  # type: ignore[attr-defined]
        name = self.path.removeprefix("/images/").removesuffix("/json")
        self.send_response(200 if name in known else 404)
        self.end_headers()

    def address_string(self) -> str:
        return "local"

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def engine(folder: Path, *known: str) -> Iterator[str]:
    path = folder / "engine.sock"
    server = UnixStreamServer(str(path), _Engine)
    server.known = set(known)  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"unix://{path}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def _no_own_images(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLUICE_KAFKA_IMAGE", "SLUICE_POSTGRES_IMAGE"):
        monkeypatch.delenv(name, raising=False)


def test_an_engine_with_both_images_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with engine(tmp_path, KAFKA_IMAGE, POSTGRES_IMAGE) as address:
        monkeypatch.setenv("DOCKER_HOST", address)

        found = images()

    assert found == Images(kafka=KAFKA_IMAGE, postgres=POSTGRES_IMAGE)


def test_images_are_named_as_compose_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_KAFKA_IMAGE", "mirror/kafka:4")
    with engine(tmp_path, "mirror/kafka:4", POSTGRES_IMAGE) as address:
        monkeypatch.setenv("DOCKER_HOST", address)

        found = images()

    assert found == Images(kafka="mirror/kafka:4", postgres=POSTGRES_IMAGE)


def test_nothing_is_pulled_where_an_image_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with engine(tmp_path, POSTGRES_IMAGE) as address:
        monkeypatch.setenv("DOCKER_HOST", address)

        assert images() is None


@pytest.mark.parametrize("address", ["none", "tcp://127.0.0.1:2375", "unix:///nowhere/engine.sock"])
def test_without_an_engine_here_nothing_is_waited_for(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)

    before = monotonic()

    assert images() is None
    assert monotonic() - before < 0.5


def test_the_broker_has_the_settings_of_the_local_stack() -> None:
    here = dict(line.split("=", 1) for line in kafka.PROPERTIES.splitlines())

    there = kafka_environment(31000)

    assert {f"KAFKA_{name.upper().replace('.', '_')}" for name in here} <= set(there)
    assert there["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert there["KAFKA_ADVERTISED_LISTENERS"] == "PLAINTEXT://127.0.0.1:31000"


def test_the_database_listens_where_its_image_says() -> None:
    command = " ".join(postgres_command())

    assert "max_connections=200" in command
    assert "listen_addresses" not in command
