"""`python -m enrollment`: see `--help`."""

import argparse
import asyncio
import sys

from chassis.migrate import MigrationRefused
from chassis.settings import SettingsFault, load

from enrollment import app
from enrollment.settings import EnrollmentSettings

EXAMPLES = """examples:
  export SLUICE_DATABASE_URL=postgresql://enrollment_app:secret@localhost:5432/sluice
  export SLUICE_MIGRATION_URL=postgresql://enrollment_owner:secret@localhost:5432/sluice
  export SLUICE_KAFKA_BOOTSTRAP_SERVERS=localhost:9092
  python -m enrollment migrate      bring the schema to the newest version, then end
  python -m enrollment run          decide who enters and who leaves, until SIGTERM

settings (every SLUICE_X may also be given as SLUICE_X_FILE, the name of a file that holds it):
  SLUICE_PARKED_SECONDS_MAX=10      how long an enroll waits for a sequence or contact that is not known yet
  SLUICE_DATABASE_POOL_MAX=10  SLUICE_HEALTH_HOST=127.0.0.1  SLUICE_HEALTH_PORT=0  SLUICE_LOG_LEVEL=info
  SLUICE_DRAIN_SECONDS_MAX=20
"""


def main() -> None:
    """Run one of the commands; exit code 2 where the settings are wrong, 1 where it failed."""
    parser = argparse.ArgumentParser(
        prog="python -m enrollment",
        description="Enrollment: who is in which sequence, and who may not be.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=["run", "migrate"])
    asked = parser.parse_args()
    try:
        settings = load(EnrollmentSettings)
        asyncio.run(app.run(settings) if asked.command == "run" else app.migrate(settings))
    except SettingsFault as fault:
        sys.stderr.write(f"enrollment: {fault}\n")
        sys.exit(2)
    except MigrationRefused as refused:
        sys.stderr.write(f"enrollment: {refused}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
