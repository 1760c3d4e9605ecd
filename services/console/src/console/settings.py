"""What this service can be told, all as `SLUICE_…` in the environment."""

from pathlib import Path
from typing import Final

from chassis.settings import ServiceSettings
from pydantic import Field

SCHEMA: Final = "console"
MIGRATIONS: Final = Path(__file__).parents[2] / "migrations"


class ConsoleSettings(ServiceSettings):
    """Where questions are answered."""

    database_pool_max: int = Field(default=16, ge=1, le=1000)
    """One for each of the eleven topics that are read side by side, the relays and the erasure; and some to spare."""
    console_host: str = "127.0.0.1"
    """There is no authentication yet: whoever reaches this address may ask."""
    console_port: int = Field(default=8095, ge=0, le=65535)
    """0 takes any free port and writes it to the log."""
    answering_pool_max: int = Field(default=4, ge=1, le=100)
    """Connections for questions, so that they never wait for what is being heard, nor it for them."""
