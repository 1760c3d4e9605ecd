"""Merging a CSV into the contacts that there are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from sluice.contacts import BrokenRule, ContactsImport, ImportReport, check_line, merge
from sluice.event import event_of
from sluice.memory import MemoryTransport
from sluice.table import InvalidLine, Line, UnusableFile, lines
from sluice.transport import Transport
from sluice_contracts import topics
from sluice_contracts.contacts import ContactCreated

Write = Callable[..., bytes]


def known(**fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "contact_id": "c-1",
        "state_version": 4,
        "attributes": {"first_name": "Ada"},
        "tags": ["trial"],
        "addresses": {"email": "ada@example.com"},
        "opted_out": False,
    }
    return found | fields


def line(**cells: str) -> Line:
    return Line(2, {"contact_id": "c-1", **cells})


def test_a_new_contact_begins_at_version_one() -> None:
    state = merge(None, line(email="ada@example.com", tags="trial; web", timezone="Europe/Paris", first_name="Ada"))

    assert state == {
        "contact_id": "c-1",
        "state_version": 1,
        "attributes": {"first_name": "Ada"},
        "tags": ["trial", "web"],
        "addresses": {"email": "ada@example.com"},
        "timezone": "Europe/Paris",
        "opted_out": False,
    }


def test_the_same_again_changes_nothing() -> None:
    assert merge(known(), line(first_name="Ada", email="ada@example.com", tags="trial")) is None


def test_a_change_raises_the_version_by_one_and_keeps_the_rest() -> None:
    state = merge(known(), line(whatsapp="+331"))

    assert state == known(state_version=5, addresses={"email": "ada@example.com", "whatsapp": "+331"})


def test_columns_that_are_absent_or_empty_take_nothing_away() -> None:
    assert merge(known(language="fr"), Line(2, {"contact_id": "c-1"})) is None


def test_an_opt_out_is_never_taken_back() -> None:
    assert merge(known(opted_out=True), line(opted_out="false")) is None


def test_an_opt_out_in_the_file_counts() -> None:
    assert merge(known(), line(opted_out="yes")) == known(state_version=5, opted_out=True)


def test_fields_of_a_later_contract_are_kept() -> None:
    assert merge(known(score=7), line(plan="pro")) == known(
        state_version=5, score=7, attributes={"first_name": "Ada", "plan": "pro"}
    )


def test_an_unclear_opt_out_is_a_fault_that_tells_no_value() -> None:
    with pytest.raises(BrokenRule, match="opted_out: must be true or false") as broken:
        merge(None, line(opted_out="perhaps"))

    assert "perhaps" not in str(broken.value)


def test_lines_have_the_numbers_that_an_editor_shows(tmp_path: Path) -> None:
    file = tmp_path / "contacts.csv"
    file.write_text('contact_id,note\nc-1,"two\nlines"\n\nc-2,x,too many\nc-3,\n')

    found = list(lines(file))

    assert found == [
        Line(2, {"contact_id": "c-1", "note": "two\nlines"}),
        InvalidLine(5, "has more cells than the header line"),
        Line(6, {"contact_id": "c-3"}),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("email\na@b\n", "contact_id"),
        ("contact_id,a,a\n", "twice"),
        ("contact_id,\n", "without a name"),
        ("", "header"),
    ],
)
def test_a_file_without_a_usable_header_is_refused_as_a_whole(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "contacts.csv"
    file.write_text(text)

    with pytest.raises(UnusableFile, match=said):
        list(lines(file))


async def import_file(transport: Transport, file: Path) -> ImportReport:
    return await ContactsImport(transport, file, source="test", actor=None).run()


async def state_of(transport: Transport, contact_id: str) -> list[dict[str, Any]]:
    batches = transport.read_to_end(topics.CONTACTS_EVENTS)
    events = [event_of(record) async for batch in batches for record in batch]
    return [dict(event.data) for event in events if event is not None and event.key == contact_id]


async def test_an_import_writes_only_what_changes(transport: Transport, write: Write, tmp_path: Path) -> None:
    gone, same, changed, new = (f"{tmp_path.name}-{name}"[-60:].lstrip("_-") for name in ("g", "s", "c", "n"))
    for contact_id in (gone, same, changed):
        state = ContactCreated.model_validate(known(contact_id=contact_id, opted_out=True))
        value = write(state)
        await (await transport.send(topics.CONTACTS_EVENTS, key=contact_id, value=value))
    await (await transport.send(topics.CONTACTS_EVENTS, key=gone, value=None))
    file = tmp_path / "contacts.csv"
    file.write_text(f"contact_id,first_name,opted_out\n{gone},Ada,\n{same},Ada,no\n{changed},Eve,no\n{new},Eve,\n")

    first = await import_file(transport, file)
    again = await import_file(transport, file)

    assert (first.created, first.updated, first.unchanged, first.invalid) == (2, 1, 1, 0)
    assert first.confirmed == first.handed_over == 3
    assert (again.created, again.updated, again.unchanged) == (0, 0, 4)
    (*_, last) = await state_of(transport, changed)
    assert last == known(contact_id=changed, state_version=5, attributes={"first_name": "Eve"}, opted_out=True)
    (*_, reborn) = await state_of(transport, gone)
    assert (reborn["state_version"], reborn["opted_out"]) == (1, False)


async def test_invalid_lines_are_left_out_with_their_numbers_and_no_values(tmp_path: Path) -> None:
    file = tmp_path / "contacts.csv"
    file.write_bytes(
        b"contact_id,first_name,opted_out,timezone\n"
        b"c-1,Ada,,\n"
        b"bad id,secret,,\n"
        b"c-1,secret,,\n"
        b"c-2,\xff secret,,\n"
        b"c-3,,secret,\n"
        b"c-4,,,sec\x01ret\n"
        b",secret,,\n"
        b"c-5,Eve,,\n"
    )
    transport = MemoryTransport()

    report = await import_file(transport, file)

    assert report.created == 2
    assert [found.number for found in report.invalid_lines] == [3, 4, 5, 6, 7, 8]
    assert not any("secret" in found.rule for found in report.invalid_lines)
    assert "stands already on line 2" in report.invalid_lines[1].rule


async def test_a_contact_past_its_limit_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "contacts.csv"
    file.write_text("contact_id,a,b\nc-1," + "x" * 40_000 + "," + "y" * 40_000 + "\n")

    report = await import_file(MemoryTransport(), file)

    assert [found.rule for found in report.invalid_lines] == ["must be at most 64 KiB as JSON"]


async def test_what_is_written_is_keyed_by_the_contact_and_valid(tmp_path: Path) -> None:
    file = tmp_path / "contacts.csv"
    file.write_text("contact_id,email,plan\nc-1,a@example.com,pro\nc-2,b@example.com,free\n")
    transport = MemoryTransport()

    await import_file(transport, file)

    events = [event_of(record) for record in transport.records(topics.CONTACTS_EVENTS)]
    assert sorted((event.key, event.name) for event in events if event) == [
        ("c-1", "ContactCreated"),
        ("c-2", "ContactCreated"),
    ]
    assert all(event is not None and isinstance(event.message(), ContactCreated) for event in events)
    assert len({event.id for event in events if event}) == 2
    assert all(
        orjson.loads(record.value or b"")["specversion"] == "1.0" for record in transport.records("contacts.events")
    )


@pytest.mark.parametrize(
    ("cells", "place"),
    [
        ({"email": "nobody"}, "email"),
        ({"email": "Ada <ada@example.com>"}, "email"),
        ({"email": "ada@example.com, b@example.com"}, "email"),
        ({"email": "@example.com"}, "email"),
        ({"timezone": "Mars/Phobos"}, "timezone"),
        ({"timezone": "../etc"}, "timezone"),
        ({"contact_id": "no id"}, "contact_id"),
    ],
)
def test_a_line_that_nobody_could_be_reached_by_is_refused_with_its_place(cells: dict[str, str], place: str) -> None:
    with pytest.raises(BrokenRule, match=f"^{place}: "):
        check_line(line(**cells), {})


@pytest.mark.parametrize(
    "cells",
    [{"email": "ada@example.com"}, {"email": "a+b@bücher.example"}, {"timezone": "America/Argentina/Ushuaia"}, {}],
)
def test_an_ordinary_line_passes(cells: dict[str, str]) -> None:
    check_line(line(**cells), {})
