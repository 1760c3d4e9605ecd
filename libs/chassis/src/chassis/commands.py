"""How the command of a service ends: its exit code, and one sentence about what stands in its way."""

import sys
from collections.abc import Callable, Sequence

from chassis.migrate import MigrationRefused
from chassis.pool import DatabaseUnreachable
from chassis.settings import SettingsFault

__all__ = ["exit_code", "tell_applied"]


def exit_code(program: str, command: Callable[[], None]) -> int:
    """Run it: 0 where it is done, 2 where a setting is wrong, 1 where the database cannot be reached or does not fit.

    Why it failed stands on stderr, without a traceback. What else it raises is a fault of ours and goes on.
    """
    try:
        command()
    except SettingsFault as fault:
        sys.stderr.write(f"{program}: {fault}\n")
        return 2
    except (DatabaseUnreachable, MigrationRefused) as refused:
        sys.stderr.write(f"{program}: {refused}\n")
        return 1
    return 0


def tell_applied(names: Sequence[str]) -> None:
    """Which migrations were applied, a line each."""
    sys.stdout.write("".join(f"applied {name}\n" for name in names) or "nothing to apply\n")
