"""The settings of the channels: addresses, credentials, bounds. A channel without its credentials is not there."""

import base64
import binascii
import re
from email.utils import parseaddr
from typing import Any, Final, Literal

from chassis.settings import Settings
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from delivery.domain.rate import Rate

UNSUBSCRIBE_SECRET_LENGTH_MIN: Final = 16


class Credentials(BaseModel):
    """Addresses, credentials and bounds of the channels, as one account has them."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    send_seconds_max: float = Field(default=10.0, gt=0)
    """No send takes longer; shorter than the lease."""

    email_host: str | None = None
    email_port: int = Field(default=25, ge=1, le=65535)
    email_from: str | None = None
    """`ada@example.org`, or `Ada <ada@example.org>`."""
    email_username: str | None = None
    email_password: SecretStr | None = None
    email_tls: Literal["auto", "none", "starttls", "tls"] = "auto"
    """`auto` takes STARTTLS where it is offered, and insists on it where there is a password."""
    email_connections_max: int = Field(default=16, ge=1, le=1_000)

    unsubscribe_url: str | None = Field(default=None, pattern=r"^https?://[\x21\x23-\x3b\x3d\x3f-\x7e]{1,500}$")
    """Where `receive` is reached from outside, down to `…/unsubscribe`: mails then carry a link to unsubscribe."""
    unsubscribe_secret: SecretStr | None = Field(default=None, min_length=UNSUBSCRIBE_SECRET_LENGTH_MIN)
    """The same as `receive` has."""

    whatsapp_base_url: str = "https://graph.facebook.com/v23.0"
    whatsapp_phone_number_id: str | None = Field(default=None, pattern=r"^[0-9A-Za-z_-]{1,64}$")
    whatsapp_token: SecretStr | None = None
    whatsapp_connections_max: int = Field(default=32, ge=1, le=1_000)

    webhook_secret: SecretStr | None = None
    """`whsec_` and the key in base64, as Standard Webhooks writes it."""
    webhook_allow_private_networks: bool = False
    webhook_connections_max: int = Field(default=64, ge=1, le=10_000)

    @field_validator("email_from")
    @classmethod
    def _is_a_mailbox(cls, value: str | None) -> str | None:
        if value is not None and ("@" not in parseaddr(value)[1] or any(ord(letter) < 32 for letter in value)):
            raise ValueError("must be an address, or a name and an address in angle brackets")
        return value

    @field_validator("webhook_secret")
    @classmethod
    def _is_a_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            webhook_key(value)
        return value

    @field_validator("whatsapp_token")
    @classmethod
    def _fits_into_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not (value.get_secret_value().isascii() and value.get_secret_value().isprintable()):
            raise ValueError("must be a token of printable characters")
        return value

    @model_validator(mode="after")
    def _belong_together(self) -> "Credentials":
        if self.email_host is not None and self.email_from is None:
            raise ValueError("email_from must be set where email_host is")
        if (self.email_username is None) != (self.email_password is None):
            raise ValueError("email_username and email_password go together")
        if self.unsubscribe_url is not None and self.unsubscribe_secret is None:
            raise ValueError("unsubscribe_secret must be set where unsubscribe_url is")
        if (self.whatsapp_phone_number_id is None) != (self.whatsapp_token is None):
            raise ValueError("whatsapp_phone_number_id and whatsapp_token go together")
        return self


class Sender(BaseModel):
    """A named account of a channel, which messages may ask for (`message.sender`)."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    channel: Literal["email", "webhook", "whatsapp"]
    account: dict[str, Any] = Field(repr=False)
    """Its settings by their full names (`email_host`), as they were given."""

    @model_validator(mode="before")
    @classmethod
    def _of_its_channel(cls, value: object) -> object:
        """`{"channel": "email", "host": …}` means the setting `email_host`."""
        if not isinstance(value, dict) or value.get("channel") not in _NEEDED:
            return value
        channel = value["channel"]
        return {"channel": channel, "account": {f"{channel}_{k}": v for k, v in value.items() if k != "channel"}}

    @model_validator(mode="after")
    def _is_whole(self) -> "Sender":
        Credentials.model_validate(self.account)
        missing = [name for name in _NEEDED[self.channel] if self.account.get(f"{self.channel}_{name}") is None]
        if missing:
            raise ValueError(f"needs {' and '.join(missing)}")
        return self


_NEEDED: Final = {"email": ("host", "from"), "webhook": ("secret",), "whatsapp": ("phone_number_id", "token")}
_SHARED: Final = (
    "send_seconds_max",
    "whatsapp_base_url",
    "webhook_allow_private_networks",
    "unsubscribe_url",
    "unsubscribe_secret",
)
_SENDER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,55}")
_LANE: Final = re.compile(r"(?:email|webhook|whatsapp)(?::[A-Za-z0-9][A-Za-z0-9._-]{0,55})?")


class ChannelSettings(Credentials, Settings):
    """`SLUICE_EMAIL_…`, `SLUICE_WHATSAPP_…`, `SLUICE_WEBHOOK_…`; named senders and rates; each also as `…_FILE`."""

    null_channels: bool = False
    """For benchmarks: every message counts as sent, and none is."""
    senders: dict[str, Sender] = Field(default_factory=dict, repr=False)
    """`{"promo": {"channel": "email", "host": …, "from": …}}`: accounts by name, which messages may ask for. A sender
    has the settings of its channel without the prefix; credentials that it does not name it does not have."""
    rates: dict[str, float] = Field(default_factory=dict)
    """`{"email": 50, "whatsapp:promo": 80}`: sends per second of each sender of a channel, or of one sender; all
    sender processes share it, so it is the same in all of them."""

    @field_validator("senders")
    @classmethod
    def _have_names(cls, value: dict[str, Sender]) -> dict[str, Sender]:
        if not all(_SENDER.fullmatch(name) for name in value):
            raise ValueError("a sender's name has up to 56 letters, digits, dots, dashes and underscores")
        return value

    @field_validator("rates")
    @classmethod
    def _are_rates(cls, value: dict[str, float]) -> dict[str, float]:
        if not all(_LANE.fullmatch(name) for name in value):
            raise ValueError("a rate is of a channel, or of channel:sender")
        for per_second in value.values():
            Rate(per_second)
        return value

    def account(self, sender: str) -> Credentials:
        """The settings of a named sender: its own credentials, and the bounds that all share."""
        shared = {name: getattr(self, name) for name in _SHARED}
        return Credentials.model_validate({**shared, **self.senders[sender].account})


def webhook_key(secret: SecretStr) -> bytes:
    """The key behind a secret; ValueError for what is none."""
    prefix, _, encoded = secret.get_secret_value().partition("_")
    try:
        key = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        key = b""
    if prefix != "whsec" or not 16 <= len(key) <= 64:
        raise ValueError("must be whsec_ and 16 to 64 bytes in base64")
    return key
