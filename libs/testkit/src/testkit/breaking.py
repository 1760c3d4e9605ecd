"""What whoever breaks a running stack must know of it: settings for which nobody waits long, and sessions."""

from collections.abc import Mapping, Sequence
from typing import Final

from chassis.pool import Conn

LEASE_SECONDS: Final = 5.0
MARGIN_SECONDS: Final = 0.5
SETTINGS: Final[Mapping[str, str]] = {
    "SLUICE_LEASE_SECONDS_MAX": str(LEASE_SECONDS),
    "SLUICE_LEASE_MARGIN_SECONDS": str(MARGIN_SECONDS),
    "SLUICE_SEND_SECONDS_MAX": "2",
    "SLUICE_UNKNOWN_WAIT_SECONDS": "1",
}
"""Shorter than in production: leases and their margin a quarter, a send a fifth, the wait for a provider's word a six
hundredth."""
APPLICATIONS: Final = ("delivery-send", "delivery-plan", "enrollment", "sequences", "console")
"""As what the services appear in Postgres."""


async def end_sessions(conn: Conn, applications: Sequence[str] = APPLICATIONS) -> int:
    """End all that these have with Postgres; how many there were."""
    found: int = await conn.fetchval(
        "select count(*) filter (where pg_terminate_backend(pid)) from pg_stat_activity "
        "where application_name = any($1)",
        applications,
    )
    return found
