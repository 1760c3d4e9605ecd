"""Settings come from the environment or from files, and no secret of theirs is ever shown."""

import os
from pathlib import Path

import pytest
from chassis.settings import CommaSeparated, ServiceSettings, SettingsFault, load
from pydantic import Field, SecretStr, ValidationError

URL = "postgresql://sequences:hunter2@db:5432/sluice"


class WithMore(ServiceSettings):
    """A service's own settings."""

    erasing_services: CommaSeparated = Field(default=["enrollment"])
    senders: dict[str, SecretStr] = Field(default_factory=dict)
    rate: int = 7


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SLUICE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SLUICE_DATABASE_URL", URL)
    monkeypatch.setenv("SLUICE_KAFKA_BOOTSTRAP_SERVERS", "a:1,b:2")


@pytest.mark.parametrize("given", ["a:1,b:2", " a:1 , b:2 ,", '["a:1", "b:2"]'])
def test_servers_may_be_given_with_commas_or_as_json(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_KAFKA_BOOTSTRAP_SERVERS", given)

    assert load(ServiceSettings).kafka_bootstrap_servers == ["a:1", "b:2"]


def test_a_secret_may_stand_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "url").write_text(URL + "\n")
    monkeypatch.delenv("SLUICE_DATABASE_URL")
    monkeypatch.setenv("SLUICE_DATABASE_URL_FILE", str(tmp_path / "url"))

    assert load(ServiceSettings).database_url.get_secret_value() == URL


def test_any_setting_may_stand_in_a_file_lists_and_objects_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, content in {"erasing_services": "a,b", "senders": '{"main": "hunter2"}', "rate": "9"}.items():
        (tmp_path / name).write_text(content)
        monkeypatch.setenv(f"SLUICE_{name.upper()}_FILE", str(tmp_path / name))

    settings = load(WithMore)

    assert settings.erasing_services == ["a", "b"]
    assert settings.senders["main"].get_secret_value() == "hunter2"
    assert settings.rate == 9


def test_a_setting_given_twice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_DATABASE_URL_FILE", str(tmp_path / "url"))

    with pytest.raises(SettingsFault, match="SLUICE_DATABASE_URL and SLUICE_DATABASE_URL_FILE are both set"):
        load(ServiceSettings)


def test_a_file_that_is_not_there_is_named_by_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLUICE_DATABASE_URL")
    monkeypatch.setenv("SLUICE_DATABASE_URL_FILE", str(tmp_path / "nowhere"))

    with pytest.raises(SettingsFault, match="SLUICE_DATABASE_URL_FILE names a file that cannot be read"):
        load(ServiceSettings)


def test_all_that_is_missing_or_wrong_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLUICE_KAFKA_BOOTSTRAP_SERVERS")
    monkeypatch.setenv("SLUICE_LOG_LEVEL", "chatty")

    with pytest.raises(SettingsFault) as refused:
        load(ServiceSettings)

    assert "SLUICE_KAFKA_BOOTSTRAP_SERVERS: Field required" in str(refused.value)
    assert "SLUICE_LOG_LEVEL" in str(refused.value)


@pytest.mark.parametrize(
    "bad", ["hunter2", "mysql://u:hunter2@db/x", "postgresql://u:hun/ter2:x@db/y", "postgresql://[u:hunter2@db/y"]
)
def test_a_bad_address_is_refused_without_quoting_it(bad: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_DATABASE_URL", bad)

    with pytest.raises(SettingsFault, match=r"SLUICE_DATABASE_URL: .*must be an address") as refused:
        load(ServiceSettings)

    assert "hunter2" not in repr(refused.value)
    assert "ter2" not in repr(refused.value)


@pytest.mark.parametrize("good", [URL, "postgres://db/x", "postgresql:///sluice?host=/run/postgres"])
def test_addresses_with_a_host_or_a_socket_are_accepted(good: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_DATABASE_URL", good)

    assert load(ServiceSettings).database_url.get_secret_value() == good


def test_no_secret_is_shown_by_printing_or_dumping() -> None:
    settings = load(WithMore)

    for shown in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert "hunter2" not in shown


def test_settings_do_not_change_after_they_are_read() -> None:
    settings = load(ServiceSettings)

    with pytest.raises(ValidationError):
        settings.log_level = "debug"  # type: ignore[misc]
