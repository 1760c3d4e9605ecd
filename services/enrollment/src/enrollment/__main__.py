"""`python -m enrollment run | migrate`."""

import argparse
import asyncio
import sys

from chassis.commands import exit_code, tell_applied
from chassis.settings import MigrationSettings, load

from enrollment import app
from enrollment.settings import EnrollmentSettings

EXAMPLES = """
examples:
  SLUICE_DATABASE_URL=postgresql://enrollment_app:…@127.0.0.1:5432/sluice \\
  SLUICE_KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:9092 python -m enrollment run

  SLUICE_MIGRATION_URL_FILE=/run/secrets/enrollment-owner python -m enrollment migrate

SLUICE_PARKED_SECONDS_MAX (10) is how long an enroll waits for a sequence or contact that is not known yet.
Every setting is an environment variable SLUICE_…, or SLUICE_…_FILE with the path of a file that holds the value.
"""


def main() -> int:
    """Run one command; 0 where it is done, 1 where it failed, 2 where a setting or an argument is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m enrollment",
        description="Enrollment: who is in which sequence, and who may not be.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="run | migrate")
    commands.add_parser("run", help="serve until SIGTERM or SIGINT")
    commands.add_parser("migrate", help="bring the database schema to the newest version, then end")
    asked = parser.parse_args()
    return exit_code(parser.prog, lambda: _run(asked.command))


def _run(command: str) -> None:
    if command == "run":
        asyncio.run(app.run(load(EnrollmentSettings)))
    else:
        tell_applied(asyncio.run(app.migrate(load(MigrationSettings))))


if __name__ == "__main__":
    sys.exit(main())
