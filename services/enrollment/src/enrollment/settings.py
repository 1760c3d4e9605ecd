"""What can be set, beside what every service has."""

from pathlib import Path

from chassis.settings import ServiceSettings
from pydantic import Field

__all__ = ["EnrollmentSettings"]


class EnrollmentSettings(ServiceSettings):
    """All are `SLUICE_…` in the environment."""

    parked_seconds_max: float = Field(default=10.0, gt=0, le=3600)
    """How long an enroll waits for a sequence or contact, counted from when the reader of that topic had caught up."""
    migrations_dir: Path = Path(__file__).parents[2] / "migrations"
