"""The rules of the architecture hold here, and each of them turns red, naming the file, where it is broken."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.architecture.rules import breaches

ROOT = Path(__file__).parents[2]
UNCOPIED = shutil.ignore_patterns("__pycache__", "tests", ".*_cache")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what the rules look at, to plant breaches in."""
    return copied(tmp_path)


def copied(tree: Path) -> Path:
    """What the rules look at, in that folder."""
    for name in ("libs", "services"):
        shutil.copytree(ROOT / name, tree / name, ignore=UNCOPIED)
    for home in (ROOT / "services").iterdir():
        for kind in ("unit", "component"):
            if (home / "tests" / kind).is_dir():
                (tree / "services" / home.name / "tests" / kind).mkdir(parents=True)
    for name in ("pyproject.toml", ".importlinter"):
        shutil.copy(ROOT / name, tree / name)
    return tree


def plant(tree: Path, path: str, text: str) -> None:
    """Append to a file, or make it."""
    file = tree / path
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as written:
        written.write(text)


def make_arch(tree: Path) -> subprocess.CompletedProcess[str]:
    """What `make arch` runs, on that tree."""
    return subprocess.run(
        [sys.executable, "-m", "tools.architecture", "--root", str(tree)],
        cwd=ROOT,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_rules_hold_in_this_repository() -> None:
    assert [str(fault) for fault in breaches(ROOT)] == []


def test_make_arch_is_green_on_an_untouched_copy(tree: Path) -> None:
    checked = make_arch(tree)

    assert checked.returncode == 0, checked.stdout


SRC = "services/{0}/src/{0}"
PLANTED = {
    "a stray module": (
        "services/sequences/src/sequences/reporting.py",
        '"""Planted."""\n',
        "services/sequences/src/sequences/reporting.py: is stray",
    ),
    "a service that imports another": (
        "services/enrollment/src/enrollment/domain/planted.py",
        '"""Planted."""\n\nfrom delivery.domain import plan\n\n__all__ = ["plan"]\n',
        "services/enrollment/src/enrollment/domain/planted.py:3: the service enrollment imports the service delivery",
    ),
    "SQL in a handler": (
        "services/sequences/src/sequences/handlers/planted.py",
        '"""Planted."""\n\nMINE = "select status from sequence where sequence_id = $1"\n',
        "services/sequences/src/sequences/handlers/planted.py:3: SQL in handlers",
    ),
    "a clock read outside the chassis": (
        "services/delivery/src/delivery/domain/planted.py",
        '"""Planted."""\n\nimport datetime as dt\n\n\ndef now() -> dt.datetime:\n    return dt.datetime.now(dt.UTC)\n',
        "services/delivery/src/delivery/domain/planted.py:7: reads a clock (datetime.datetime.now)",
    ),
    "an id made outside the chassis": (
        "libs/messaging/src/messaging/planted.py",
        '"""Planted."""\n\nfrom uuid import uuid4 as fresh\n\nID = fresh()\n',
        "libs/messaging/src/messaging/planted.py:5: makes an id (uuid.uuid4)",
    ),
    "a domain that knows the driver": (
        "services/sequences/src/sequences/domain/planted.py",
        '"""Planted."""\n\nimport asyncpg\n\n__all__ = ["asyncpg"]\n',
        "sequences.domain.planted -> asyncpg (l.3)",
    ),
    "a store that calls a handler": (
        "services/sequences/src/sequences/store/planted.py",
        '"""Planted."""\n\nfrom sequences import handlers\n\n__all__ = ["handlers"]\n',
        "sequences.store.planted -> sequences.handlers (l.3)",
    ),
}


@pytest.fixture(scope="module")
def red(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """`make arch` where all of these are planted."""
    tree = copied(tmp_path_factory.mktemp("red"))
    for path, text, _ in PLANTED.values():
        plant(tree, path, text)
    return make_arch(tree)


@pytest.mark.parametrize("breach", PLANTED)
def test_make_arch_turns_red_and_names_the_file(breach: str, red: subprocess.CompletedProcess[str]) -> None:
    _, _, sentence = PLANTED[breach]

    assert red.returncode == 1
    assert sentence in " ".join(red.stdout.split()), red.stdout


def test_each_missing_layer_is_named(tree: Path) -> None:
    missing = [
        f"{SRC.format(service)}/{layer}"
        for service in ("sequences", "enrollment", "delivery")
        for layer in ("__main__.py", "app.py", "settings.py", "routes.py")
    ]
    for path in missing:
        (tree / path).unlink()

    named = [str(fault) for fault in breaches(tree)]

    assert [path for path in missing if not any(one.startswith(f"{path}: is missing") for one in named)] == []


def test_make_arch_turns_red_over_a_missing_layer(tree: Path) -> None:
    shutil.rmtree(tree / SRC.format("enrollment") / "handlers")

    checked = make_arch(tree)

    assert checked.returncode == 1
    assert "services/enrollment/src/enrollment/handlers/__init__.py: is missing" in checked.stdout


WRITTEN = {
    "SQL run in a handler": (
        f"{SRC.format('delivery')}/handlers/planted.py",
        "async def planted(conn):\n    await conn.fetchval(QUERY)\n",
        "SQL is run in handlers",
    ),
    "SQL in the composition root": (
        f"{SRC.format('delivery')}/app.py",
        '\nPLANTED = """\n    with gone as (delete from pending) select count(*) from gone\n"""\n',
        "SQL in app",
    ),
    "SQL put together": (
        f"{SRC.format('delivery')}/routes.py",
        '\n\ndef planted(table):\n    return f"delete from {table}"\n',
        "SQL in routes",
    ),
    "a transaction in a handler": (
        f"{SRC.format('sequences')}/handlers/planted.py",
        "async def planted(conn):\n    async with conn.transaction():\n        pass\n",
        "opens a transaction",
    ),
    "the event loop's clock": (
        f"{SRC.format('sequences')}/domain/planted.py",
        "import asyncio\n\nNOW = asyncio.get_running_loop().time()\n",
        "reads a clock",
    ),
    "a module without a noun": ("libs/messaging/src/messaging/utils.py", "", "owns nothing"),
    "a subscriber with the default policy": (
        "libs/messaging/src/messaging/planted.py",
        'def planted(broker):\n    return broker.subscriber("topic", group_id="mine")\n',
        "a subscriber without ack_policy",
    ),
    "a subscriber that acknowledges first": (
        "libs/messaging/src/messaging/planted.py",
        'def planted(broker):\n    return broker.subscriber("topic", ack_policy=AckPolicy.ACK_FIRST)\n',
        "a subscriber without ack_policy",
    ),
    "a library that imports a service": (
        "libs/messaging/src/messaging/planted.py",
        "def planted():\n    import delivery.app\n",
        "the library messaging imports the service delivery",
    ),
    "settings read by an import": (
        f"{SRC.format('sequences')}/routes.py",
        "\nPLANTED = SequencesSettings()\n",
        "makes SequencesSettings when imported",
    ),
}


@pytest.mark.parametrize("breach", WRITTEN)
def test_what_is_written_in_the_wrong_place_is_named(breach: str, tree: Path) -> None:
    path, text, sentence = WRITTEN[breach]
    plant(tree, path, text)

    named = breaches(tree)

    assert [(fault.path, sentence in fault.says) for fault in named] == [(path, True)], named


def test_words_that_only_look_like_sql_are_no_breach(tree: Path) -> None:
    prose = (
        '"""Select from these, then update what is set."""\n\nTOLD = "select a sequence first"\nMORE = "with care"\n'
    )
    plant(tree, f"{SRC.format('sequences')}/handlers/planted.py", prose)

    assert breaches(tree) == []


def test_a_service_whose_layers_nobody_checks_is_named(tree: Path) -> None:
    config = tree / ".importlinter"
    config.write_text(config.read_text().replace("containers = enrollment", "containers = sequences"))

    assert ".importlinter: has no exhaustive layers for services/enrollment" in map(str, breaches(tree))


def test_a_package_that_is_not_installed_is_named(tree: Path) -> None:
    plant(tree, "libs/planted/pyproject.toml", '[project]\nname = "planted"\n')

    assert "pyproject.toml: does not install libs/planted/src: add it to dev-mode-dirs" in map(str, breaches(tree))
