"""Times as they are written on the command line."""

from datetime import UTC, datetime

from sluice_contracts.base import DURATION_RULE, parse_after

from sluice.cli.frame import Usage

FORM = "2027-03-26T08:00+01:00 (with its offset, or Z), or +2h from now"


def read_moment(text: str, *, option: str, now: datetime) -> datetime:
    """A time with its offset, or how far from now; Usage where it is neither."""
    if text.startswith("+"):
        try:
            return now + parse_after(text[1:])
        except (ValueError, OverflowError):
            raise Usage(f"{option}: what follows the + {DURATION_RULE}.") from None
    try:
        moment = datetime.fromisoformat(text.upper())
        if moment.tzinfo is not None and "T" in text.upper():
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise Usage(f"{option} must be a time such as {FORM}.")
