"""The command line of Sluice: `sluice --help`."""

import importlib
import importlib.util
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Final

import typer

from sluice.cli import contacts, delivery, reads, sequences, simulate, states, watch
from sluice.cli.frame import Exit
from sluice.cli.screen import Screen
from sluice.program import interruptible

STACK: Final = "devstack.cli"
DISTRIBUTIONS: Final = ("sluice-client", "sluice-workspace")
"""What brings this program: its own package, or a checkout as a whole."""

HELP: Final = """Drip campaigns that have stopped when you stop them.

Kafka is found through --bootstrap, SLUICE_KAFKA_BOOTSTRAP_SERVERS, or the local stack of the checkout.

\b
Exit codes:
  0    done
  1    refused; nothing changed (of an import: a part was refused)
  2    the command cannot be run as it was given
  3    no answer in time, or Kafka cannot be reached
  130  interrupted
"""

app: Final = typer.Typer(name="sluice", help=HELP, no_args_is_help=True, add_completion=False, rich_markup_mode="rich")
local: Final = typer.Typer()


@local.command(
    "dev",
    help="The local stack: up, down, status, reset, logs.",
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
)
def dev(ctx: typer.Context) -> None:
    """Hand over to the local stack's own commands, where that package is installed."""
    if importlib.util.find_spec("devstack") is None or importlib.util.find_spec(STACK) is None:
        Screen(as_json=False).fail("The local stack is not installed here: install sluice-devstack, or use a checkout.")
        raise typer.Exit(Exit.USAGE)
    stack = importlib.import_module(STACK)
    with interruptible():
        typer.main.get_command(stack.app).main(args=ctx.args, prog_name="sluice dev", standalone_mode=True)


@local.command("version", help="Show the version.")
def show_version(
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON on stdout.")] = False,
) -> None:
    """Show the version of the client."""
    found = _version()
    Screen(as_json=as_json).result(f"sluice {found}", {"version": found})


def _version() -> str:
    for distribution in DISTRIBUTIONS:
        with suppress(PackageNotFoundError):
            return version(distribution)
    return "unknown"


for part in (sequences.app, states.app, contacts.app, delivery.app, reads.app, simulate.app, watch.app, local):
    app.add_typer(part)
