"""What every command of the command line has in common: options, exit codes, sentences for what goes wrong."""

import asyncio
import getpass
import inspect
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Any, Final, Literal

import typer

from sluice import addresses
from sluice.cli.screen import Screen
from sluice.client import ANSWER_SECONDS_MAX, Sluice
from sluice.console import Console
from sluice.errors import AnswerTimeout, CommandRefused, NoAddress, ReceiptTimeout, SluiceError, Unreachable
from sluice.kafka import KafkaTransport
from sluice.program import EXIT_INTERRUPTED, interruptible
from sluice.transport import Transport

SOURCE: Final = "sluice-cli"


class Exit(IntEnum):
    """What the exit code says."""

    OK = 0
    REFUSED = 1
    USAGE = 2
    NO_ANSWER = 3
    INTERRUPTED = EXIT_INTERRUPTED


class Usage(SluiceError):
    """The command cannot be run as it was given."""


@dataclass(frozen=True, slots=True)
class Link:
    """The way to one deployment: its transport, its name, and the hint for where Kafka does not answer."""

    transport: Transport
    deployment: str
    hint: str = ""


Connect = Callable[[str | None], Link]
"""Makes the link for `--bootstrap`; a test gives one without a Kafka."""


def connect(bootstrap: str | None) -> Link:
    """The real one."""
    address = addresses.find(bootstrap)
    return Link(KafkaTransport(address.servers), ",".join(address.servers), address.hint)


@dataclass
class Session:
    """One run of one command."""

    screen: Screen
    connect: Connect
    bootstrap: str | None = None
    console_url: str | None = None
    actor: str | None = None
    seconds_max: float | None = None
    command_id: str | None = None
    link: Link | None = None
    sluice: Sluice | None = None
    on_interrupt: Callable[[], str] | None = None
    """Explains a half-done import."""
    endless: bool = False
    """It goes on until it is interrupted: that is no failure, and nothing is said of it on stdout."""
    exit_code: Exit = Exit.OK

    def ask(self) -> Console:
        """The console, to be entered."""
        return Console(self.console_url)

    def open(self) -> Sluice:
        """The client, to be entered."""
        self.link = self.connect(self.bootstrap)
        self.sluice = Sluice(
            transport=self.link.transport,
            source=SOURCE,
            actor=self.actor or _login(),
            seconds_max=self.seconds_max or ANSWER_SECONDS_MAX,
        )
        return self.sluice


Body = Callable[..., Awaitable[None]]

Bootstrap = Annotated[
    str | None,
    typer.Option(
        "--bootstrap",
        metavar="HOST:PORT",
        help=f"Where Kafka is. Default: {addresses.VARIABLE}, else the local stack of the checkout.",
    ),
]
ConsoleUrl = Annotated[
    str | None,
    typer.Option(
        "--console",
        metavar="URL",
        help=f"Where the console is. Default: {addresses.CONSOLE_VARIABLE}, else the local stack of the checkout.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON on stdout; messages go to stderr.")]
Timeout = Annotated[
    float | None,
    typer.Option("--timeout", metavar="SECONDS", min=0.1, help="How long to wait at most. Default: 30, imports 120."),
]
Actor = Annotated[
    str | None,
    typer.Option("--actor", envvar="SLUICE_ACTOR", help="Who asks. Default: your login name."),
]
SequenceId = Annotated[str, typer.Argument(metavar="SEQUENCE", help="The id of the sequence.")]
CommandId = Annotated[
    str | None,
    typer.Option("--command-id", metavar="ID", help="Try a command again that got no answer: it is done once."),
]

_EVERYWHERE: Final[dict[str, tuple[Any, Any]]] = {"as_json": (AsJson, False)}
_SYSTEMS: Final[dict[str, dict[str, tuple[Any, Any]]]] = {
    "kafka": {"bootstrap": (Bootstrap, None)},
    "console": {"console_url": (ConsoleUrl, None)},
    "both": {"bootstrap": (Bootstrap, None), "console_url": (ConsoleUrl, None)},
    "nothing": {},
}
_ASKING: Final[dict[str, tuple[Any, Any]]] = {"actor": (Actor, None), "seconds_max": (Timeout, None)}
_ONE_COMMAND: Final[dict[str, tuple[Any, Any]]] = {"command_id": (CommandId, None)}


def command(
    app: typer.Typer,
    name: str,
    *,
    examples: Sequence[str],
    asks: bool = False,
    one_command: bool = False,
    needs: Literal["kafka", "console", "both", "nothing"] = "kafka",
) -> Callable[[Body], Body]:
    """Register an async function as a command: its parameters after the session, and the options all share."""
    shared = {**_SYSTEMS[needs], **_EVERYWHERE, **(_ASKING if asks else {}), **(_ONE_COMMAND if one_command else {})}

    def register(body: Body) -> Body:
        def run(ctx: typer.Context, **given: Any) -> None:
            common = {option: given.pop(option) for option in shared}
            screen = Screen(as_json=common.pop("as_json"))
            session = Session(screen, ctx.obj if ctx.obj is not None else connect, **common)
            code = execute(session, body(session, **given))
            if code is not Exit.OK:
                raise typer.Exit(int(code))

        own = list(inspect.signature(body, eval_str=True).parameters.values())[1:]
        added = [
            inspect.Parameter(option, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
            for option, (annotation, default) in shared.items()
        ]
        first = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
        parameters = [first, *(one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own), *added]
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        app.command(name, help=_help(body, examples))(run)
        return body

    return register


def execute(session: Session, work: Awaitable[None]) -> Exit:
    """Run a command to its end and say what went wrong, if anything did."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL + 1)  # what it would say is said in a sentence below
    screen = session.screen
    try:
        with interruptible():
            asyncio.run(_awaited(work))
    except CommandRefused as error:
        screen.refused(error)
        return Exit.REFUSED
    except (AnswerTimeout, ReceiptTimeout) as error:
        screen.fail(f"{error} (--command-id {error.command_id})", code="timeout", command_id=error.command_id)
        return Exit.NO_ANSWER
    except Unreachable as error:
        hint = session.link.hint if session.link is not None else ""
        screen.fail(f"{error} {hint}".rstrip(), code="unreachable")
        return Exit.NO_ANSWER
    except NoAddress as error:
        screen.fail(str(error), code="usage")
        return Exit.USAGE
    except SluiceError as error:
        screen.fail(str(error), code="usage")
        return Exit.USAGE
    except (KeyboardInterrupt, asyncio.CancelledError):
        _explain_interruption(session)
        return Exit.INTERRUPTED
    except BrokenPipeError:
        _silence_stdout()
        return Exit.OK
    return session.exit_code


async def _awaited(work: Awaitable[None]) -> None:
    await work


def _explain_interruption(session: Session) -> None:
    if session.endless:
        session.screen.note("No longer watching.")
        return
    if session.on_interrupt is not None:
        session.screen.fail(session.on_interrupt(), code="interrupted")
        return
    open_commands = session.sluice.outstanding if session.sluice is not None else {}
    if not open_commands:
        session.screen.fail("Interrupted.", code="interrupted")
    for command_id, kind in open_commands.items():
        session.screen.fail(
            f"Interrupted. {kind} may have been sent and may still be carried out. Its id is {command_id}: "
            f"try again with --command-id {command_id}, then it is done once, and answered.",
            code="interrupted",
            command_id=command_id,
        )


def _silence_stdout() -> None:
    """Whoever read our output has gone (`| head`): the interpreter shall not complain when it ends."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _help(body: Body, examples: Sequence[str]) -> str:
    lines = "\n".join(f"  {example}" for example in examples)
    return f"{inspect.getdoc(body)}\n\n\b\nExamples:\n{lines}"


def _login() -> str | None:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return None
