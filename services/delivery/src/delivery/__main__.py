"""`python -m delivery plan | send | receive | migrate`."""

import argparse
import asyncio
import sys

from chassis.commands import exit_code, tell_applied
from chassis.settings import MigrationSettings, load

from delivery import app
from delivery.channels.settings import ChannelSettings
from delivery.settings import DeliverySettings

EXAMPLES = """
examples:
  SLUICE_DATABASE_URL=postgresql://delivery_app:…@127.0.0.1:5432/sluice \\
  SLUICE_KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:9092 python -m delivery plan

  SLUICE_EMAIL_HOST=mail.example SLUICE_EMAIL_FROM='Ada <ada@example.org>' … python -m delivery send

  SLUICE_MIGRATION_URL_FILE=/run/secrets/delivery-owner python -m delivery migrate

Run as many `send` as you like: they need no partitions and no group, and may come and go at any time.
A channel is there where its credentials are: SLUICE_EMAIL_HOST and SLUICE_EMAIL_FROM, SLUICE_WEBHOOK_SECRET,
SLUICE_WHATSAPP_PHONE_NUMBER_ID and SLUICE_WHATSAPP_TOKEN. What is for another channel waits.
Every setting is an environment variable SLUICE_…, or SLUICE_…_FILE with the path of a file that holds the value.
"""


def main() -> int:
    """Run one command; 0 where it is done, 1 where it failed, 2 where a setting or an argument is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m delivery",
        description="Delivery: what is due, sent, stopped, and proven so.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="plan | send | receive | migrate")
    commands.add_parser("plan", help="hear, plan, halt and publish until SIGTERM or SIGINT")
    commands.add_parser("send", help="send what is due until SIGTERM or SIGINT; run as many as you like")
    commands.add_parser("receive", help="take providers' reports over HTTP until SIGTERM or SIGINT")
    commands.add_parser("migrate", help="bring the database schema to the newest version, then end")
    asked = parser.parse_args()
    return exit_code(parser.prog, lambda: _run(asked.command))


def _run(command: str) -> None:
    match command:
        case "plan":
            asyncio.run(app.plan(load(DeliverySettings)))
        case "send":
            asyncio.run(app.send(load(DeliverySettings), load(ChannelSettings)))
        case "receive":
            asyncio.run(app.receive(load(DeliverySettings)))
        case _:
            tell_applied(asyncio.run(app.migrate(load(MigrationSettings))))


if __name__ == "__main__":
    sys.exit(main())
