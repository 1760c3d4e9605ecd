"""`python -m console run | migrate | rebuild`."""

import argparse
import asyncio
import sys

from chassis.commands import exit_code, tell_applied
from chassis.settings import MigrationSettings, load

from console import app
from console.settings import ConsoleSettings

EXAMPLES = """
examples:
  SLUICE_DATABASE_URL=postgresql://console_app:…@127.0.0.1:5432/sluice \\
  SLUICE_KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:9092 python -m console run

  curl http://127.0.0.1:8095/sequences
  curl 'http://127.0.0.1:8095/contacts/ada/why?sequence=welcome'

  SLUICE_MIGRATION_URL_FILE=/run/secrets/console-owner python -m console rebuild

SLUICE_CONSOLE_HOST (127.0.0.1) and SLUICE_CONSOLE_PORT (8095) say where it answers. There is no authentication yet:
whoever reaches that address may ask.
Every setting is an environment variable SLUICE_…, or SLUICE_…_FILE with the path of a file that holds the value.
"""


def main() -> int:
    """Run one command; 0 where it is done, 1 where it failed, 2 where a setting or an argument is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m console",
        description="Console: what happened, to whom, and why, read from the topics alone.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="run | migrate | rebuild")
    commands.add_parser("run", help="hear and answer until SIGTERM or SIGINT")
    commands.add_parser("migrate", help="bring the database schema to the newest version, then end")
    commands.add_parser(
        "rebuild", help="drop what was built; what runs ends, and reads the topics anew when it is started"
    )
    asked = parser.parse_args()
    return exit_code(parser.prog, lambda: _run(asked.command))


def _run(command: str) -> None:
    match command:
        case "run":
            asyncio.run(app.run(load(ConsoleSettings)))
        case "migrate":
            tell_applied(asyncio.run(app.migrate(load(MigrationSettings))))
        case _:
            asyncio.run(app.rebuild(load(MigrationSettings)))
            sys.stdout.write(
                "dropped; a console that runs ends, and reads the topics anew when its supervisor starts it\n"
            )


if __name__ == "__main__":
    sys.exit(main())
