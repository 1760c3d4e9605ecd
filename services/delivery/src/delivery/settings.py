"""What delivery can be told, all as `SLUICE_…` in the environment. The channels' own are in `channels.settings`."""

from pathlib import Path
from typing import Final

from chassis.settings import ServiceSettings
from pydantic import Field, SecretStr, field_validator, model_validator

from delivery.channels.settings import UNSUBSCRIBE_SECRET_LENGTH_MIN, webhook_key
from delivery.domain.breaker import Limits
from delivery.domain.message import UNKNOWN_WAIT_SECONDS

SCHEMA: Final = "delivery"
MIGRATIONS: Final = Path(__file__).parents[2] / "migrations"

BEAT_AGE_SECONDS_MAX: Final = 2.0
"""How old a control reader's poll may be when it still confirms to be caught up, and how long the confirming takes."""


class DeliverySettings(ServiceSettings):
    """Leases, the staleness at which sending stops, and where reports come in."""

    lease_seconds_max: float = Field(default=20.0, gt=0, le=600)
    """How long a claim may last: longer than `send_seconds_max` and the margin together, the same in all processes."""
    lease_margin_seconds: float = Field(default=2.0, gt=0, le=60)
    control_staleness_seconds_max: float = Field(default=5.0, gt=BEAT_AGE_SECONDS_MAX, le=60)
    """With stops unheard for so long nothing is sent any more."""

    unknown_wait_seconds: float = Field(default=UNKNOWN_WAIT_SECONDS, ge=0, le=30 * 86_400)
    """So long a message that may have arrived waits for a report before its step's `on_unknown` decides."""

    receive_host: str = "127.0.0.1"
    receive_port: int = Field(default=0, ge=0, le=65535)
    """Where `receive` takes providers' reports; 0 takes any free port and writes it to the log."""
    whatsapp_app_secret: SecretStr | None = None
    """What Meta signs its reports with; without it none are taken."""
    whatsapp_verify_token: SecretStr | None = None
    """What Meta says when it first asks for this address."""
    report_secret: SecretStr | None = None
    """What `/reports` and `/bounces` are signed with: `whsec_` and the key in base64; without it none are taken."""
    unsubscribe_secret: SecretStr | None = Field(default=None, min_length=UNSUBSCRIBE_SECRET_LENGTH_MIN)
    """What links to unsubscribe are signed with. It must never change: links in mails that were sent would break."""

    @field_validator("report_secret")
    @classmethod
    def _is_a_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            webhook_key(value)
        return value

    breaker: bool = True
    """Whether a channel or a sender whose provider keeps failing is suspended by itself, and tried out later."""
    breaker_ratio: float = Field(default=0.5, gt=0, le=1)
    """So large a share of the attempts …"""
    breaker_count_min: int = Field(default=20, ge=1)
    """… of at least so many …"""
    breaker_window_seconds: float = Field(default=30.0, ge=1, le=300)
    """… within this time must have failed."""
    breaker_rest_seconds: float = Field(default=10.0, gt=0)
    """How long it rests before it is tried out; doubled where that fails."""
    breaker_rest_seconds_max: float = Field(default=300.0, gt=0)

    @model_validator(mode="after")
    def _lease_has_room(self) -> "DeliverySettings":
        if self.lease_margin_seconds >= self.lease_seconds_max:
            raise ValueError("lease_margin_seconds must be shorter than lease_seconds_max")
        return self

    @property
    def gate_staleness_seconds_max(self) -> float:
        """How long after the last confirmed heartbeat a sender goes on: what a heartbeat may be late is taken off."""
        return self.control_staleness_seconds_max - BEAT_AGE_SECONDS_MAX

    @property
    def breaker_limits(self) -> Limits | None:
        """What the breaker goes by; None where there is none."""
        if not self.breaker:
            return None
        return Limits(
            ratio=self.breaker_ratio,
            count_min=self.breaker_count_min,
            window_seconds=self.breaker_window_seconds,
            rest_seconds=self.breaker_rest_seconds,
            rest_seconds_max=max(self.breaker_rest_seconds, self.breaker_rest_seconds_max),
        )

    @property
    def halt_wait_seconds(self) -> float:
        """After so long no claim of before can send, whatever became of its process."""
        return self.lease_seconds_max + self.lease_margin_seconds
