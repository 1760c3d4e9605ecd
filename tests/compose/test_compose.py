"""docker-compose.yml keeps to what the rest of the repository says, and to what its own comments promise."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from chassis.settings import ServiceSettings
from devstack import jars, kafka, postgres
from devstack.roles import SERVICES
from devstack.sink.__main__ import settings_from
from testkit import containers

ROOT: Final = Path(__file__).parents[2]
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DOCKERFILE: Final = (ROOT / "deploy/docker/Dockerfile").read_text()
OURS: Final = {name: one for name, one in COMPOSE["services"].items() if "build" in one}
THEIRS: Final = {"kafka", "postgres", "roles"}
PROCESSES: Final = {name: one for name, one in OURS.items() if one["restart"] == "unless-stopped"}
JOBS: Final = {name: one for name, one in COMPOSE["services"].items() if name not in {*PROCESSES, "kafka", "postgres"}}
PLACES: Final = {
    "listeners",
    "advertised.listeners",
    "listener.security.protocol.map",
    "log.dirs",
    "controller.quorum.voters",
}
"""Broker settings that say where something is; they differ."""


def test_the_broker_has_the_settings_of_the_local_stack() -> None:
    local = dict(line.split("=", 1) for line in kafka.PROPERTIES.splitlines())
    expected = {f"KAFKA_{name.upper().replace('.', '_')}": local[name] for name in local.keys() - PLACES}

    given = COMPOSE["services"]["kafka"]["environment"]

    assert {name: given.get(name) for name in expected} == expected


def test_the_database_has_the_settings_of_the_local_stack() -> None:
    expected = {
        f"-c{name}={value.strip()}" for name, value in postgres.SETTINGS.items() if name not in containers.LOCAL_ONLY
    }

    given = COMPOSE["services"]["postgres"]["command"][1:]

    assert expected - {"-cfsync=on"} == set(given), "fsync is on where nothing is said"


def test_images_are_those_of_the_local_stack_and_of_the_tests() -> None:
    named = {name: COMPOSE["services"][name]["image"] for name in THEIRS}

    assert named == {
        "kafka": f"${{SLUICE_KAFKA_IMAGE:-apache/kafka:{jars.KAFKA}}}",
        "postgres": "${SLUICE_POSTGRES_IMAGE:-postgres:18}",
        "roles": "${SLUICE_POSTGRES_IMAGE:-postgres:18}",
    }
    assert f"apache/kafka:{jars.KAFKA}" == containers.KAFKA_IMAGE
    assert containers.POSTGRES_IMAGE == "postgres:18"


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_nothing_is_published_beyond_this_machine(name: str) -> None:
    for port in COMPOSE["services"][name].get("ports", ()):
        assert port.startswith("127.0.0.1:")


def test_senders_can_be_many() -> None:
    sender = COMPOSE["services"]["sender"]

    assert not {"container_name", "hostname", "ports", "volumes"} & set(sender)


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_every_container_gives_up_what_it_does_not_need(name: str) -> None:
    one = COMPOSE["services"][name]

    assert one["cap_drop"] == ["ALL"]
    assert one["security_opt"] == ["no-new-privileges:true"]
    assert "cap_add" not in one
    assert "privileged" not in one
    assert one.get("read_only") or name in {"kafka", "postgres"}


@pytest.mark.parametrize("name", PROCESSES)
def test_a_process_has_longer_to_stop_than_it_takes_to_drain(name: str) -> None:
    drain = ServiceSettings.model_fields["drain_seconds_max"].default

    assert int(PROCESSES[name]["stop_grace_period"].removesuffix("s")) > drain


@pytest.mark.parametrize("name", JOBS)
def test_a_job_ends_and_is_tried_again_where_it_failed(name: str) -> None:
    assert JOBS[name]["restart"] == "on-failure:5"


def logins(one: Mapping[str, Any]) -> list[str]:
    return sorted({"SLUICE_DATABASE_URL", "SLUICE_MIGRATION_URL"} & set(one.get("environment", {})))


@pytest.mark.parametrize("name", [name for name, one in COMPOSE["services"].items() if logins(one)])
def test_each_logs_in_with_the_one_role_that_it_needs(name: str) -> None:
    one = COMPOSE["services"][name]
    module, command = one["command"][2:4]
    role = f"{module}_{'owner' if command == 'migrate' else 'app'}"
    variable = f"SLUICE_{role.upper()}_PASSWORD"

    (setting,) = logins(one)
    url = one["environment"][setting]

    assert setting == ("SLUICE_MIGRATION_URL" if command == "migrate" else "SLUICE_DATABASE_URL")
    assert url == f"postgresql://{role}:${{{variable}:-local-only-{role.replace('_', '-')}}}@postgres/sluice"
    assert (
        COMPOSE["services"]["roles"]["environment"][f"{role.upper()}_PASSWORD"]
        == url.partition(f"{role}:")[2].partition("@")[0]
    )


def test_a_service_waits_for_its_own_tables_and_for_the_topics() -> None:
    for name, one in PROCESSES.items():
        if name == "sink":
            continue
        finished = {
            other for other, how in one["depends_on"].items() if how["condition"] == "service_completed_successfully"
        }
        assert finished == {"topics", f"migrate-{one['command'][2]}"}


def test_every_service_is_migrated_and_has_its_roles() -> None:
    assert {name.removeprefix("migrate-") for name in JOBS if name.startswith("migrate-")} == set(SERVICES)


def test_the_sink_sees_neither_kafka_nor_postgres() -> None:
    inside = {name for name, one in COMPOSE["services"].items() if "inner" in one["networks"]}

    assert COMPOSE["services"]["sink"]["networks"] == ["outside"]
    assert {"kafka", "postgres"} <= inside


def test_roles_and_topics_are_the_files_that_the_local_stack_applies() -> None:
    assert "./deploy/postgres/roles.sql:/sluice/postgres/roles.sql:ro" in COMPOSE["services"]["roles"]["volumes"]
    assert "\\ir ../postgres/roles.sql" in (ROOT / "deploy/docker/roles.psql").read_text()
    assert "COPY deploy/kafka/topics.yaml /opt/sluice/deploy/kafka/" in DOCKERFILE
    assert "--file=/opt/sluice/deploy/kafka/topics.yaml" in COMPOSE["services"]["topics"]["command"]


def test_the_image_holds_the_libraries_of_the_services_and_no_more() -> None:
    needed = {f"libs/{name}" for service in SERVICES for name in _libraries(ROOT / "services" / service)}

    copied = set(re.findall(r"^COPY (libs/\w+)/src /opt", DOCKERFILE, flags=re.MULTILINE))
    services = set(re.findall(r"^COPY services/(\w+) ", DOCKERFILE, flags=re.MULTILINE))

    assert copied == needed
    assert services == set(SERVICES)


def _libraries(folder: Path) -> set[str]:
    """The folders in libs/ that a package needs, through others too."""
    depends = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["dependencies"]
    found = {one.removeprefix("sluice-") for one in depends if one.startswith("sluice-")}
    return found.union(*(_libraries(ROOT / "libs" / name) for name in found))


def test_what_is_copied_is_let_into_the_build() -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    sources = [
        source
        for line in DOCKERFILE.splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    ]

    for source in sources:
        assert (ROOT / source).exists()
        assert any(_is_within(source, one) or _is_within(one, source) for one in allowed), source
    assert not [one for one in allowed if "*" in one], "older engines do not see through a pattern"


def _is_within(inner: str, outer: str) -> bool:
    return Path(inner).is_relative_to(outer)


def test_the_sink_is_set_up_by_its_image(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in re.findall(r"(SLUICE_SINK_\w+)=([^\s\\]+)", DOCKERFILE):
        monkeypatch.setenv(name, value)

    settings = settings_from([])

    assert (settings.host, settings.http_port, settings.smtp_port) == ("0.0.0.0", 8025, 1025)
    assert COMPOSE["services"]["sender"]["environment"]["SLUICE_EMAIL_PORT"] == str(settings.smtp_port)
    assert COMPOSE["services"]["sender"]["environment"]["SLUICE_WHATSAPP_BASE_URL"].endswith(f":{settings.http_port}")
    assert COMPOSE["services"]["sink"]["volumes"] == [f"arrivals:{settings.file.parent}"]
