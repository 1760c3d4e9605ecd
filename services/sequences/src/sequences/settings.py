"""What this service can be told, all as `SLUICE_…` in the environment."""

from pathlib import Path
from typing import Final

from chassis.settings import CommaSeparated, ServiceSettings
from pydantic import Field

from sequences.domain.definition import Limits

SCHEMA: Final = "sequences"
MIGRATIONS: Final = Path(__file__).parents[2] / "migrations"


class SequencesSettings(ServiceSettings):
    """Limits of a definition, the bounds of an erasure, and how often timers are looked at."""

    definition_bytes_max: int = Field(default=256 * 1024, ge=1, le=256 * 1024)
    steps_max: int = Field(default=1_000, ge=1)
    erasing_services: CommaSeparated = Field(default=["sequences", "enrollment", "delivery", "console"], min_length=1)
    """A deletion is complete when all of these have given their receipt; this service is always one of them."""
    erasure_poll_seconds: float = Field(default=0.25, gt=0)
    erasure_recheck_seconds: float = Field(default=60.0, gt=0)
    erasure_sequences_max: int = Field(default=100, ge=1, le=1_000)
    erasure_versions_max: int = Field(default=500, ge=1, le=10_000)

    timer_poll_seconds: float = Field(default=0.2, gt=0)
    timer_sequences_max: int = Field(default=50, ge=1, le=50)
    """How many resume by themselves in one transaction; each is loaded with two definitions of up to 256 KiB."""

    @property
    def limits(self) -> Limits:
        """How large a definition may be."""
        return Limits(definition_bytes_max=self.definition_bytes_max, steps_max=self.steps_max)

    @property
    def services(self) -> tuple[str, ...]:
        """Whose receipts complete a deletion."""
        return tuple(sorted({SCHEMA, *self.erasing_services}))
