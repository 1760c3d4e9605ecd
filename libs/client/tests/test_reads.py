"""The commands that ask the console: what they show, and what they say where it cannot answer."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sluice.addresses import CONSOLE_VARIABLE, find_console
from sluice.cli import app
from sluice.cli.frame import Link
from sluice.console import Console
from sluice.errors import NoAddress
from sluice.memory import MemoryTransport
from sluice_contracts import topics
from sluice_contracts.envelope import Envelope, encode
from sluice_contracts.sequences import SequencePublished
from typer.testing import CliRunner, Result

NOON = "2026-11-24T12:00:00Z"
LATER = "2026-11-26T08:00:00Z"
BOOKS = {
    "books_version": 7,
    "planned": 1_234,
    "pending": 1_000,
    "claimed": 4,
    "sent": 200,
    "failed": 10,
    "dropped": 15,
    "expired": 3,
    "unknown": 2,
    "as_of": NOON,
    "closed": True,
}
STANDING = {
    "contact_id": "ada",
    "sequence_id": "welcome",
    "enrollment_id": "e-1",
    "version": 1,
    "effective_version": 2,
    "via": "command",
    "enrolled_at": NOON,
    "status": "active",
    "reason": None,
    "ended_at": None,
    "ended_steps": ["hello"],
    "next": {"step_id": "tips", "channel": "email", "due_at": NOON, "leaves_at": LATER},
    "code": "outside_window",
    "answer": f"`tips` was due at {NOON}, outside its window, which opens at {LATER}.",
}
WHY = {
    "contact_id": "ada",
    "sequence_id": "welcome",
    "step_id": "tips",
    "enrollment_id": "e-1",
    "code": "removed",
    "answer": f"It was removed at {NOON}.",
    "due_at": None,
    "decisions": [{"at": NOON, "what": "removed from this sequence", "cause": "a removal asked for it"}],
    "since": NOON,
}
PLAN = {
    "sequence_id": "welcome",
    "faults": [],
    "from_version": 1,
    "to_version": 2,
    "in_flight": "follow",
    "steps": [
        {"step_id": "hello", "changes": [], "before": "1. email 0s", "after": "1. email 0s", "people": 0},
        {"step_id": "tips", "changes": ["delay"], "before": "2. email 2d", "after": "2. email 1d", "people": 40},
        {"step_id": "offer", "changes": ["removed"], "before": "3. email 1d", "after": None, "people": 3},
    ],
    "settings": ["delivery"],
    "inside": 43,
    "touched": 41,
    "due_at_once": 12,
    "finished_at_once": 3,
    "since": NOON,
}


class PlayedConsole:
    """Answers over HTTP what a test says, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[tuple[str, str, Mapping[str, list[str]], Any]] = []
        played = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                query = parse_qs(parts.query)
                played.asked.append((self.command, parts.path, query, json.loads(body) if body else None))
                status, answer = played.answer(parts.path, query)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(answer)

            do_POST = do_GET  # noqa: N815 - the base class calls it so

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, path: str, query: Mapping[str, list[str]]) -> tuple[int, bytes]:
        found = self.answers.get(path, (404, {"detail": "There is no such sequence."}))
        if callable(found):
            found = found(query)
        status, answer = found if isinstance(found, tuple) else (200, found)
        return status, answer if isinstance(answer, bytes) else json.dumps(answer).encode()


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Iterator[PlayedConsole]:
    played = PlayedConsole()
    monkeypatch.setenv(CONSOLE_VARIABLE, played.url)
    monkeypatch.setenv("TZ", "Europe/Berlin")
    yield played
    played.server.shutdown()
    played.server.server_close()


def run(*arguments: str, obj: Any = None, stdin: str | None = None) -> Result:
    found: Result = CliRunner().invoke(app, list(arguments), obj=obj, input=stdin)
    return found


def test_help_shows_an_example_of_every_question() -> None:
    names = ["books", "log", "versions", "contacts", "contact", "why", "scopes", "unknown list"]

    pages = {name: run(*name.split(), "--help") for name in names}

    assert [name for name, page in pages.items() if f"sluice {name}" not in page.stdout or page.exit_code] == []


def test_books_are_shown_with_whether_they_close(console: PlayedConsole) -> None:
    console.answers["/sequences/welcome/books"] = BOOKS

    plain, machine = run("books", "welcome"), run("books", "welcome", "--json")

    assert "planned         1,234" in plain.stdout
    assert "As of 2026-11-24 13:00:00 CET; they close." in plain.stderr
    assert json.loads(machine.stdout) == BOOKS
    console.answers["/sequences/welcome/books"] = BOOKS | {"planned": 1_235, "closed": False}
    assert "THEY DO NOT CLOSE" in run("books", "welcome").stderr


def test_books_of_a_sequence_of_which_nothing_was_planned_say_so(console: PlayedConsole) -> None:
    console.answers["/sequences/welcome/books"] = BOOKS | {"books_version": 0, "planned": 0}

    found = run("books", "welcome")

    assert (found.exit_code, found.stdout) == (0, "Nothing has been planned in this sequence yet.\n")


def test_an_id_that_is_empty_is_told_apart_from_an_address_that_is_not_there(console: PlayedConsole) -> None:
    assert run("why", "", "welcome").stderr == "An id must not be empty.\n"


def test_the_log_has_six_numbers_and_on_request_each_step(console: PlayedConsole) -> None:
    numbers = {"enrolled": 9, "in_progress": 3, "completed": 2, "dropped": 1, "success": 2, "failed": 1}
    console.answers["/sequences/welcome/log"] = {"sequence_id": "welcome", **numbers, "since": NOON}
    step = {"step_id": "hello", "channel": "email", "waiting": 1, "sent": 8, "failed": 1, "expired": 0, "unknown": 0}
    console.answers["/sequences/welcome/funnel"] = {"steps": [step], "since": NOON}

    plain, with_steps = run("log", "welcome"), run("log", "welcome", "--steps")

    shown = {line.split()[0]: int(line.split()[1]) for line in plain.stdout.splitlines()}
    assert shown == numbers
    assert ["hello", "email", "1", "8", "1", "0", "0", "0", "0", "0", "0"] in [
        line.split() for line in with_steps.stdout.splitlines()
    ]


def test_contacts_are_asked_for_page_by_page_and_say_why_not_yet(console: PlayedConsole) -> None:
    def page(query: Mapping[str, list[str]]) -> dict[str, Any]:
        first = "after" not in query
        count = min(int(query["limit"][0]), 500 if first else 30)
        return {"items": [STANDING] * count, "next": "more" if first else None}

    console.answers["/sequences/welcome/contacts"] = page

    plain = run("contacts", "welcome", "--limit", "1", "--status", "active")
    many = run("contacts", "welcome", "--limit", "520", "--json")

    assert "outside its window, which opens at 2026-11-26 09:00:00 CET" in plain.stdout
    assert console.asked[0][2] == {"limit": ["1"], "status": ["active"]}
    assert len(json.loads(many.stdout)) == 520


def test_a_contact_is_shown_with_all_that_happened_to_it(console: PlayedConsole) -> None:
    event = {
        "at": NOON,
        "kind": "sent",
        "what": "`hello` was sent",
        "sequence_id": "welcome",
        "enrollment_id": "e-1",
        "step_id": "hello",
        "detail": {},
    }
    console.answers["/contacts/ada"] = {
        "contact_id": "ada",
        "known": True,
        "timezone": "Europe/Paris",
        "state_version": 3,
        "opted_out": False,
        "opted_out_channels": ["whatsapp"],
        "enrollments": [STANDING],
        "timeline": [event],
        "next": None,
        "since": NOON,
    }

    result = run("contact", "ada")

    assert "opted out  from whatsapp" in result.stdout
    assert "2026-11-24 13:00:00 CET  welcome   hello  `hello` was sent" in result.stdout
    assert "Times are those of Europe/Berlin." in result.stderr


def test_why_answers_in_one_sentence_and_then_with_every_decision(console: PlayedConsole) -> None:
    console.answers["/contacts/ada/why"] = WHY

    plain = run("why", "ada", "welcome", "--step", "tips")
    machine = run("why", "ada", "welcome", "--json")

    assert plain.stdout.splitlines()[0] == "It was removed at 2026-11-24 13:00:00 CET.  (removed)"
    assert "removed from this sequence  a removal asked for it" in plain.stdout
    assert [query for _, _, query, _ in console.asked] == [
        {"sequence": ["welcome"], "step": ["tips"]},
        {"sequence": ["welcome"]},
    ]
    assert json.loads(machine.stdout) == WHY


def test_versions_are_listed_and_one_can_be_saved_again(console: PlayedConsole) -> None:
    definition = {"name": "Welcome", "steps": []}
    version = {"version": 1, "published_at": NOON, "steps": ["hello", "tips"], "definition": definition}
    console.answers["/sequences/welcome"] = {"versions": [version]}

    listed, older = run("versions", "welcome"), run("versions", "welcome", "--definition", "1")
    missing = run("versions", "welcome", "--definition", "9")

    assert "hello, tips" in listed.stdout
    assert json.loads(older.stdout) == definition
    assert (missing.exit_code, missing.stderr) == (1, "There is no such version.\n")


def test_unknown_messages_and_scopes_are_listed(console: PlayedConsole) -> None:
    message = {
        "message_id": "m-1",
        "contact_id": "ada",
        "sequence_id": "welcome",
        "enrollment_id": "e-1",
        "step_id": "tips",
        "channel": "email",
        "attempt": 1,
        "reason": "timeout",
        "at": NOON,
    }
    console.answers["/unknown"] = {"items": [message, message | {"sequence_id": "other"}], "next": None}
    scope = {"scope": "channel:email", "suspended": True, "epoch": 3, "reason": "9 of 10", "in_flight": 2, "at": NOON}
    console.answers["/scopes"] = {"items": [scope]}

    one, all_of_them, scopes = run("unknown", "list", "--sequence", "other"), run("unknown", "list"), run("scopes")

    assert one.stdout.count("m-1") == 1
    assert all_of_them.stdout.count("m-1") == 2
    assert "sluice unknown retry" in one.stderr
    row = "channel:email  suspended  2026-11-24 13:00:00 CET  2         9 of 10"
    assert scopes.stdout.splitlines()[1].rstrip() == row


@pytest.mark.parametrize(
    ("answer", "exit_code", "said"),
    [
        ((404, {"detail": "There is no such sequence."}), 1, "There is no such sequence."),
        ((422, {"detail": "step: is not a valid id."}), 1, "step: is not a valid id."),
        ((503, {"detail": "The database does not answer."}), 3, "cannot answer: The database does not answer."),
        ((404, b"<html>"), 3, "is no console of Sluice"),
        ((200, b"[]"), 3, "is no console of Sluice"),
    ],
)
def test_what_the_console_cannot_answer_is_one_sentence(
    console: PlayedConsole, answer: object, exit_code: int, said: str
) -> None:
    console.answers["/sequences/welcome/books"] = answer

    result = run("books", "welcome")

    assert result.exit_code == exit_code
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_console_that_is_not_there_is_named_with_what_to_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONSOLE_VARIABLE, "http://127.0.0.1:1")

    by_variable = run("books", "welcome")
    given = run("books", "welcome", "--console", "http://127.0.0.1:2", "--json")

    assert by_variable.exit_code == given.exit_code == 3
    assert f"http://127.0.0.1:1 cannot be reached. Check {CONSOLE_VARIABLE}." in by_variable.stderr
    assert json.loads(given.stdout)["error"]["code"] == "unreachable"
    assert "--console" in given.stderr


def test_where_the_console_is(tmp_path: Path) -> None:
    (tmp_path / ".devstack").mkdir()
    (tmp_path / ".devstack" / "ports.json").write_text(json.dumps({"kafka": 1, "console-http": 8_123}))
    inside = tmp_path / "docs"
    inside.mkdir()

    assert find_console("https://c.example/", environment={}).url == "https://c.example"
    assert find_console(environment={CONSOLE_VARIABLE: "http://a:1"}, folder=inside).url == "http://a:1"
    assert find_console(environment={}, folder=inside).url == "http://127.0.0.1:8123"
    with pytest.raises(NoAddress, match=CONSOLE_VARIABLE):
        find_console(environment={}, folder=Path("/"))
    with pytest.raises(NoAddress, match="must begin with http"):
        find_console("localhost:8123", environment={})


async def test_from_python_the_console_is_asked_in_the_same_way(console: PlayedConsole) -> None:
    console.answers["/contacts/a%3Ab/why"] = WHY
    console.answers["/contacts/a:b/why"] = WHY

    async with Console() as asked:
        found = await asked.why("a:b", "welcome")

    assert found["code"] == "removed"


def state_of(definition: Mapping[str, Any] | None) -> Any:
    """The state of a sequence in a Kafka that is played."""
    transport = MemoryTransport()
    if definition is not None:
        state = SequencePublished.model_validate(
            {
                "sequence_id": "welcome",
                "state_version": 3,
                "status": "active",
                "epoch": 1,
                "revision": 2,
                "version": 1,
                "draft": definition,
                "published": {"name": "Welcome", "steps": []},
                "in_flight": "follow",
                "clock_offset_seconds": 0.0,
                "updated_at": NOON,
            }
        )
        value = encode(Envelope(id="1", source="played", type=state.TYPE), state.to_json())
        transport.write(topics.SEQUENCES_EVENTS, "welcome", value)
    return lambda _: Link(transport, deployment="memory")


def test_without_a_terminal_a_plan_is_shown_and_nothing_is_published(console: PlayedConsole) -> None:
    console.answers["/sequences/welcome/plan"] = PLAN
    draft = {"name": "Welcome", "steps": [{"step_id": "hello"}]}

    plain = run("publish", "welcome", "--plan", obj=state_of(draft))
    machine = run("publish", "welcome", "--plan", "--pin", "--json", obj=state_of(draft))

    assert plain.exit_code == 0
    assert "welcome: version 1 → version 2" in plain.stdout
    assert ["tips", "delay", "2.", "email", "2d", "2.", "email", "1d", "40"] in [
        line.split() for line in plain.stdout.splitlines()
    ]
    assert "Of 43 inside 41 are touched: 12 messages become due at once, 3 have no step left." in plain.stdout
    assert "hello" not in plain.stdout
    assert "Nothing was published" in plain.stderr
    assert console.asked[0][3] == {"definition": draft, "in_flight": "follow"}
    assert console.asked[1][3]["in_flight"] == "pin"
    assert json.loads(machine.stdout) == {"plan": PLAN}


def test_a_plan_that_could_not_be_published_is_refused_with_its_faults(console: PlayedConsole) -> None:
    console.answers["/sequences/welcome/plan"] = PLAN | {"faults": [{"place": "steps", "rule": "is required"}]}

    result = run("publish", "welcome", "--plan", "--yes", obj=state_of({"name": "Welcome"}))
    missing = run("publish", "welcome", "--plan", obj=state_of(None))

    assert result.exit_code == missing.exit_code == 1
    assert "steps: is required" in result.stderr
    assert "there is no such sequence" in missing.stderr


PROGRAM = """
import sys
from sluice.cli import app
from sluice.cli.frame import Link
from sluice.memory import MemoryTransport

app(sys.argv[1:], obj=lambda _: Link(MemoryTransport(), deployment="memory"))
"""


@pytest.mark.parametrize("arguments", [["watch", "--json"], ["books", "welcome", "--watch", "--json"]])
def test_what_goes_on_for_ever_ends_quietly(console: PlayedConsole, arguments: list[str]) -> None:
    console.answers["/sequences/welcome/books"] = BOOKS

    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        first = (program.stdout if "books" in arguments else program.stderr).readline()
        program.send_signal(signal.SIGINT)
        out, messages = program.communicate(timeout=20)

    assert program.returncode == 130
    assert first
    assert out == ""
    assert messages == "No longer watching.\n"
