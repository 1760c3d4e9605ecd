"""`sluice dev …`: the local stack from the command line."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from chassis.clock import monotonic

from devstack.errors import StackError
from devstack.layout import repository
from devstack.logs import follow, tail
from devstack.progress import Progress
from devstack.stack import Stack
from devstack.state import ProcessInfo

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_NOT_RUNNING: Final = 3
EXIT_INTERRUPTED: Final = 130

app = typer.Typer(
    no_args_is_help=True,
    help="Run Kafka, Postgres, the services and the sink on this machine, without Docker.",
    add_completion=False,
)

Profile = Annotated[str, typer.Option(help="Which settings of deploy/kafka/topics.yaml the topics get.")]
Senders = Annotated[
    int | None,
    typer.Option(min=0, help="How many `delivery send` processes to run. Default: as many as before, at first one."),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def here() -> Path:
    """The checkout around the working directory, or else the one that this program was installed from."""
    for candidate in (Path.cwd(), *Path.cwd().parents):
        if (candidate / "deploy" / "postgres" / "roles.sql").is_file():
            return candidate
    return repository(Path.cwd())


@contextmanager
def plainly(*, interrupted: str = "interrupted") -> Iterator[None]:
    """A failure is one sentence and exit code 1, an interruption is one too and 130."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        yield
    except StackError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(EXIT_FAILED) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        typer.echo(f"error: {where}{error.strerror or error}", err=True)
        raise typer.Exit(EXIT_FAILED) from None
    except KeyboardInterrupt:
        typer.echo(f"\n{interrupted}", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


@app.command()
def up(
    stack_only: Annotated[
        bool, typer.Option("--stack-only", help="Kafka and Postgres, migrated, no services.")
    ] = False,
    profile: Profile = "local",
    senders: Senders = None,
) -> None:
    """Start what is not running, migrate, make the topics, and wait until all of it is ready."""
    with plainly(interrupted="interrupted; what this command had started was stopped"):
        stack = Stack.at(here(), profile=profile)
        progress = Progress(sys.stdout)
        addresses = stack.start(services=not stack_only, prepare=True, senders=senders, progress=progress)
        progress.say("all ready")
        typer.echo(f"\nKafka     {', '.join(addresses.kafka)}")
        typer.echo(f"Postgres  {addresses.postgres_admin_url.rpartition('@')[2]} (logins: sluice dev status --json)")
        if not stack_only:
            typer.echo(f"Sink      {addresses.sink_http}, smtp {addresses.sink_smtp}, writes {addresses.sink_file}")
        typer.echo(f"Logs      sluice dev logs ({stack.layout.logs})")


@app.command()
def down() -> None:
    """Stop everything and wait until it is gone. Data stay."""
    with plainly():
        stack = Stack.at(here())
        ran = stack.running()
        stack.stop()
        typer.echo("stopped" if ran else "nothing was running")


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show each process. Exit code 0: all ready, 1: some are not, 3: nothing runs."""
    with plainly():
        stack = Stack.at(here())
        processes = stack.processes()
        if as_json:
            typer.echo(json.dumps(_described(stack, processes), indent=1))
        elif processes:
            typer.echo(f"{'NAME':<18}{'STATE':<10}{'PID':>8}{'PORT':>7}{'RESTARTS':>10}{'UPTIME':>11}")
            for one in processes:
                typer.echo(_line(one))
        else:
            typer.echo("nothing is running: start it with `sluice dev up`")
        if not processes:
            raise typer.Exit(EXIT_NOT_RUNNING)
        if any(one.state != "ready" for one in processes):
            raise typer.Exit(EXIT_FAILED)


def _line(one: ProcessInfo) -> str:
    fault = f"  ({one.fault})" if one.fault and one.state != "ready" else ""
    return (
        f"{one.name:<18}{one.state:<10}{one.pid or '-':>8}{one.port or '-':>7}{one.restarts:>10}"
        f"{_uptime(one):>11}{fault}"
    )


def _uptime(one: ProcessInfo) -> str:
    if not one.pid:
        return "-"
    minutes, seconds = divmod(int(monotonic() - one.began), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def _described(stack: Stack, processes: list[ProcessInfo]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "running": bool(processes),
        "processes": [
            {
                "name": one.name,
                "state": one.state,
                "pid": one.pid,
                "port": one.port,
                "restarts": one.restarts,
                "uptime_seconds": round(monotonic() - one.began, 1) if one.pid else None,
                "fault": one.fault,
            }
            for one in processes
        ],
    }
    if processes:
        found["addresses"] = asdict(stack.addresses) | {"sink_file": str(stack.addresses.sink_file)}
    return found


@app.command()
def reset(yes: Yes = False) -> None:
    """Stop everything and delete its data, logs, ports and passwords."""
    with plainly():
        stack = Stack.at(here())
        if not yes:
            if not sys.stdin.isatty():
                typer.echo("error: this deletes all local data: say so with --yes", err=True)
                raise typer.Exit(EXIT_USAGE)
            typer.confirm(f"Delete all data of the stack in {stack.layout.home}?", abort=True)
        stack.reset()
        typer.echo("deleted")


@app.command()
def senders(count: Annotated[int, typer.Argument(min=0, help="How many there shall be.")]) -> None:
    """Have this many `delivery send` processes, while everything runs."""
    with plainly():
        progress = Progress(sys.stdout)
        Stack.at(here()).scale_senders(count, progress=progress)
        progress.say(f"{count} sender{'s' if count != 1 else ''}")


@app.command()
def logs(
    name: Annotated[
        str | None, typer.Argument(help="A process of `sluice dev status`; all of them if left out.")
    ] = None,
    following: Annotated[bool, typer.Option("-f", "--follow", help="Go on until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, help="How many old lines of each to show.")] = 20,
) -> None:
    """Show what the processes write."""
    with plainly():
        folder = Stack.at(here()).layout.logs
        files = tail(folder, name, lines=lines, write=typer.echo)
        if following:
            try:
                follow(folder, name, files, write=typer.echo)
            except KeyboardInterrupt:
                return


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def kafka(
    context: typer.Context,
    tool: Annotated[str, typer.Argument(help="console-producer, console-consumer, topics, consumer-groups, …")],
) -> None:
    """Run one of Kafka's own console tools against this stack; all further options are the tool's."""
    with plainly():
        command = Stack.at(here()).kafka_tool_command(tool, *context.args)
        sys.stdout.flush()
        os.execv(command[0], list(command))  # noqa: S606 - the terminal and its signals belong to the tool


if __name__ == "__main__":
    app(prog_name="sluice dev")
