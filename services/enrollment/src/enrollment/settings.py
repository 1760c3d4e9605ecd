"""What this service can be told, all as `SLUICE_…` in the environment."""

from pathlib import Path
from typing import Final

from chassis.settings import ServiceSettings
from pydantic import Field

SCHEMA: Final = "enrollment"
MIGRATIONS: Final = Path(__file__).parents[2] / "migrations"


class EnrollmentSettings(ServiceSettings):
    """How long an enroll waits."""

    parked_seconds_max: float = Field(default=10.0, gt=0, le=3600)
    """How long an enroll waits for a sequence or contact, counted from when the reader of that topic had caught up."""
