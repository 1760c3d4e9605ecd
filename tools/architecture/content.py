"""What may stand in which module: SQL, clocks and ids, transactions, neighbours, subscribers."""

import ast
import re
from collections.abc import Iterator
from typing import Final

from tools.architecture.source import Checkout, Fault, Source

CLOCKS: Final = (
    "libs/chassis/src/chassis/clock.py",
    "libs/client/src/sluice/_clock.py",  # the client imports nothing but the contract
)
READS_A_CLOCK: Final = frozenset(
    {
        "datetime.datetime.now",
        "datetime.datetime.utcnow",
        "datetime.datetime.today",
        "datetime.date.today",
        "time.time",
        "time.time_ns",
        "time.monotonic",
        "time.monotonic_ns",
        "time.perf_counter",
        "time.perf_counter_ns",
        "time.localtime",
        "time.gmtime",
        "loop.time",
    }
)
MAKES_AN_ID: Final = frozenset({"uuid.uuid1", "uuid.uuid4", "uuid.uuid6", "uuid.uuid7", "uuid.uuid8", "os.urandom"})
RUNNING_LOOP: Final = frozenset({"asyncio.get_running_loop", "asyncio.get_event_loop"})

SQL: Final = re.compile(
    r"\s*(select\s.*\sfrom\s|select\s+\w+\(|insert\s+into\s|update\s+\S+\s+(as\s+\w+\s+)?set\s|delete\s+from\s|merge\s+into\s"
    r"|with\s+(recursive\s+)?\w+\s*(\([^)]*\)\s*)?as\s|lock\s+table\s|truncate\s|copy\s+\S+\s+(from|to)\s"
    r"|(create|alter|drop)\s+(table|index|schema|view|function|type|sequence)\s|(un)?listen\s+\S+$|notify\s+\S+|set\s+local\s)",
    re.IGNORECASE | re.DOTALL,
)
RUNS_SQL: Final = frozenset(
    {"fetchrow", "fetchval", "fetchmany", "executemany", "copy_records_to_table", "copy_from_query", "prepare"}
)
MAY_RUN_SQL: Final = frozenset({"fetch", "execute", "cursor"})
"""Names that others use too: they count on what is called a connection or a pool."""
CONNECTIONS: Final = frozenset({"conn", "connection", "pool"})

ONE_PER_PROCESS: Final = frozenset(
    {"create_pool", "KafkaBroker", "ClientSession", "AIOKafkaProducer", "AIOKafkaConsumer"}
)
ACKNOWLEDGES: Final = "NACK_ON_ERROR"


def check_neighbours(checkout: Checkout) -> Iterator[Fault]:
    """Services meet over Kafka: none imports another, and no library imports a service."""
    names = set(checkout.services)
    for source in checkout.sources:
        kind, home = source.home
        others = names - {home} if kind == "services" else names
        for line, module in source.imports():
            neighbour = module.split(".", 1)[0]
            if neighbour in others:
                who = f"the service {home}" if kind == "services" else f"the library {home}"
                yield source.fault(line, f"{who} imports the service {neighbour}; services meet over Kafka alone")


def check_sql(checkout: Checkout) -> Iterator[Fault]:
    """SQL stands in the store of a service, and nowhere else in it."""
    for source in checkout.sources:
        if source.home[0] != "services" or source.layer == "store":
            continue
        docstrings = {id(node.value) for node in source.nodes if isinstance(node, ast.Expr)}
        for node in source.nodes:
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                if SQL.match(node.value):
                    yield source.fault(node.lineno, f"SQL in {source.layer}: it belongs into store/")
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _runs_sql(node.func):
                yield source.fault(node.lineno, f"SQL is run in {source.layer} ({node.func.attr}): call store/")


def _runs_sql(called: ast.Attribute) -> bool:
    owner = called.value.attr if isinstance(called.value, ast.Attribute) else getattr(called.value, "id", "")
    is_connection = owner.lstrip("_") in CONNECTIONS
    return called.attr in RUNS_SQL or (called.attr in MAY_RUN_SQL and is_connection)


def check_clocks(checkout: Checkout) -> Iterator[Fault]:
    """Clocks are read and random ids are made in one place; everywhere else both are values."""
    for source in checkout.sources:
        if source.path in CLOCKS:
            continue
        for node in source.nodes:
            if isinstance(node, ast.Attribute | ast.Name):
                name = source.resolve(node)
                if name in READS_A_CLOCK or _is_loop_time(source, node):
                    yield source.fault(
                        node.lineno, f"reads a clock ({name or 'loop.time'}): take `now`, or use chassis.clock"
                    )
                elif name in MAKES_AN_ID:
                    yield source.fault(node.lineno, f"makes an id ({name}): derive it, or use chassis.clock.new_id")


def _is_loop_time(source: Source, node: ast.expr) -> bool:
    match node:
        case ast.Attribute(attr="time", value=ast.Call(func=func)):
            return source.resolve(func) in RUNNING_LOOP
        case _:
            return False


def check_transactions(checkout: Checkout) -> Iterator[Fault]:
    """In a service only the composition root and the loops open transactions; all else is given one."""
    for source in checkout.sources:
        if source.home[0] != "services" or source.layer in {"app", "loops"}:
            continue
        for node in source.nodes:
            if isinstance(node, ast.Call) and _called(node) == "transaction":
                yield source.fault(node.lineno, f"{source.layer} opens a transaction: only messaging, app and loops do")


def check_subscribers(checkout: Checkout) -> Iterator[Fault]:
    """Every subscriber says when a record counts as done: FastStream's default loses records."""
    for source in checkout.sources:
        for node in source.nodes:
            if isinstance(node, ast.Call) and _called(node) == "subscriber":
                policy = next((word.value for word in node.keywords if word.arg == "ack_policy"), None)
                if not isinstance(policy, ast.Attribute) or policy.attr != ACKNOWLEDGES:
                    yield source.fault(node.lineno, f"a subscriber without ack_policy=AckPolicy.{ACKNOWLEDGES}")


def check_singletons(checkout: Checkout) -> Iterator[Fault]:
    """Clients, pools and settings are made in `app` and handed down; none is made by importing a module."""
    for source in checkout.sources:
        for statement in source.tree.body:
            value = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
            for call in ast.walk(value) if value else ():
                name = _called(call)
                if name in ONE_PER_PROCESS or name.endswith("Settings"):
                    yield source.fault(statement.lineno, f"makes {name} when imported: make it in app and hand it down")


def _called(node: ast.AST) -> str:
    if not isinstance(node, ast.Call):
        return ""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
