"""Settings come from the environment or from files, are read once, and never show a secret."""

import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError

__all__ = ["CommaSeparated", "MigrationSettings", "ServiceSettings", "Settings", "SettingsFault", "load"]

PREFIX = "SLUICE_"
POSTGRES_SCHEMES = ("postgresql", "postgres")


class SettingsFault(Exception):
    """A setting is missing or wrong; the text names the variable and the rule, never the value."""


def _split(value: object) -> object:
    """`a:1,b:2` and `["a:1", "b:2"]` mean the same."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return [part.strip() for part in value.split(",") if part.strip()]


CommaSeparated = Annotated[list[str], NoDecode, BeforeValidator(_split)]
"""A list of strings, given as `a,b` or as JSON."""


class _FilesSource(PydanticBaseSettingsSource):
    """`SLUICE_X_FILE=/run/secrets/x` gives the content of that file as `SLUICE_X`, for every setting."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        prefix = self.config.get("env_prefix", "")
        name = f"{prefix}{field_name}".upper()
        place = os.environ.get(f"{name}_FILE")
        if not place:
            return None, field_name, False
        if os.environ.get(name):
            raise SettingsFault(f"{name} and {name}_FILE are both set: keep one of them")
        try:
            content = Path(place).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsFault(f"{name}_FILE names a file that cannot be read ({type(error).__name__})") from None
        return content, field_name, self.field_is_complex(field) and not _undecoded(field)

    def __call__(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for field_name, field in self.settings_cls.model_fields.items():
            value, key, is_complex = self.get_field_value(field, field_name)
            if value is not None:
                found[key] = self.prepare_field_value(field_name, field, value, is_complex)
        return found

    def prepare_field_value(self, field_name: str, field: FieldInfo, value: Any, value_is_complex: bool) -> Any:
        return self.decode_complex_value(field_name, field, value) if value_is_complex else value


def _undecoded(field: FieldInfo) -> bool:
    return any(mark is NoDecode or isinstance(mark, NoDecode) for mark in field.metadata)


class Settings(BaseSettings):
    """How settings are read: `SLUICE_X`, or the content of the file that `SLUICE_X_FILE` names."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _FilesSource(settings_cls)


def _is_postgres(value: SecretStr) -> SecretStr:
    # asyncpg quotes parts of an address that it cannot read, so it must never see a bad one.
    try:
        parts = urlsplit(value.get_secret_value())
        valid = parts.scheme in POSTGRES_SCHEMES and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid:
        raise ValueError("must be an address of the form postgresql://user:password@host:port/database")
    return value


PostgresUrl = Annotated[SecretStr, AfterValidator(_is_postgres)]


class MigrationSettings(Settings):
    """What `migrate` needs, and nothing else."""

    migration_url: PostgresUrl
    """Where the owner of the schema logs in."""


class ServiceSettings(Settings):
    """What every process of a service needs. A service adds its own in a subclass."""

    database_url: PostgresUrl
    """Where the service's own role logs in."""
    kafka_bootstrap_servers: CommaSeparated = Field(min_length=1)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    health_host: str = "127.0.0.1"
    health_port: int = Field(default=0, ge=0, le=65535)
    """0 takes any free port and writes it to the log."""
    drain_seconds_max: float = Field(default=20.0, gt=0)
    database_pool_max: int = Field(default=10, ge=1, le=1000)

    @field_validator("log_level", mode="before")
    @classmethod
    def _in_lower_case(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value


S = TypeVar("S", bound=BaseSettings)


def load(settings: type[S]) -> S:
    """Read the settings once, at the start; `SettingsFault` names every variable that is missing or wrong."""
    prefix = settings.model_config.get("env_prefix", "")
    try:
        return settings()
    except ValidationError as error:
        faults = [
            f"{prefix}{'.'.join(str(part) for part in fault['loc'])}".upper() + f": {fault['msg']}"
            for fault in error.errors(include_input=False, include_context=False, include_url=False)
        ]
    except SettingsError as error:
        faults = [str(error)]
    raise SettingsFault("; ".join(faults))
