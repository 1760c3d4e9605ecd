"""What a removal and a deletion halt, and what they leave."""

from typing import Any, Final

from sluice_contracts.enrollment import EnrollContact, RemoveContact

from testkit.cases.case import Case, email
from testkit.cases.tables.script import TableOf

TABLE: Final = TableOf("removal")
case: Final = TABLE.case

A, B = email("a"), email("b", "1d")


async def _both(c: Case, **more: Any) -> None:
    for name in ("s", "other"):
        await c.launch(A, B, name=name, **more)
        await c.enroll("ada", sequence=name)
    await c.until("12h")


@case("from a sequence", ada="a 0 · removed 12h", ada_in_other="a 0 · b 1d · completed 1d")
async def from_a_sequence(c: Case) -> None:
    await _both(c)
    await c.remove("ada")
    await c.until("2d")


@case("from a campaign: every sequence of it", ada="a 0 · removed 12h", ada_in_other="a 0 · removed 12h")
async def from_a_campaign(c: Case) -> None:
    await _both(c, campaign=f"campaign {c.unique}")
    await c.ask(RemoveContact(contact_id=c.contact("ada"), campaign=f"campaign {c.unique}"))
    await c.until("2d")


@case("from everywhere", ada="a 0 · removed 12h", ada_in_other="a 0 · removed 12h")
async def from_everywhere(c: Case) -> None:
    await _both(c)
    await c.remove("ada", sequence=None)
    await c.until("2d")


@case("removed and enrolled again: refused", ada="a 0 · removed 12h · refused: removed 1d")
async def stays_removed(c: Case) -> None:
    await c.launch(A, B)
    await c.enroll("ada")
    await c.until("12h")
    await c.remove("ada")
    await c.until("1d")
    await c.enroll("ada")
    await c.until("2d")


@case(
    "removed with allow_reentry and enrolled again: from the start",
    ada="a 0 · removed 12h · a 1d · b 2d · completed 2d",
)
async def may_come_again(c: Case) -> None:
    await c.launch(A, B)
    await c.enroll("ada")
    await c.until("12h")
    await c.remove("ada", allow_reentry=True)
    await c.until("1d")
    await c.enroll("ada")
    await c.until("3d")


@case("removed before it ever entered: blocked all the same", ada="refused: removed 1h")
async def before_entry(c: Case) -> None:
    await c.launch(A, B)
    await c.record("ada")
    await c.remove("ada")
    await c.until("1h")
    await c.enroll("ada")
    await c.until("2d")


@case("everywhere blocks only what it has ended", ada="a 0 · removed 12h", ada_in_other="a 1d · b 2d · completed 2d")
async def everywhere_then_elsewhere(c: Case) -> None:
    await c.launch(A, B)
    await c.launch(A, B, name="other")
    await c.enroll("ada")
    await c.until("12h")
    await c.remove("ada", sequence=None)
    await c.until("1d")
    await c.enroll("ada", sequence="other")
    await c.until("3d")


@case("while paused: a resume brings nothing back", ada="a 0 · removed 18h")
async def while_paused(c: Case) -> None:
    await c.launch(A, B)
    await c.enroll("ada")
    await c.until("12h")
    await c.pause()
    await c.until("18h")
    await c.remove("ada")
    await c.until("1d")
    await c.resume(overdue="send_now")
    await c.until("3d")


@case("an edit brings nothing back", ada="a 0 · removed 12h")
async def then_an_edit(c: Case) -> None:
    await c.launch(A, B)
    await c.enroll("ada")
    await c.until("12h")
    await c.remove("ada")
    await c.launch(A, email("b", "1h"))
    await c.until("2d")


@case("the others go on", ada="a 0 · removed 12h", bob="a 0 · b 1d · completed 1d")
async def the_others(c: Case) -> None:
    await c.launch(A, B)
    await c.enroll("ada", "bob")
    await c.until("12h")
    await c.remove("ada")
    await c.until("2d")


@case(
    "deleted: nothing more, for ever; its id never comes back",
    ada="a 0 · refused: deleted 1d",
    state="gone",
    enroll="refused: deleted",
    ada_in_other="a 0 · b 1d · completed 1d",
)
async def deleted(c: Case) -> None:
    await _both(c)
    await c.delete()
    await c.until("1d")
    await c.note("enroll", EnrollContact(sequence_id=c.sequence(), contact_id=c.contact("ada")))
    await c.until("2d")
    c.noted["state"] = c.state()


@case("deleted while paused", ada="a 0", state="gone")
async def deleted_while_paused(c: Case) -> None:
    await c.launch(A, B)
    await c.enroll("ada")
    await c.until("12h")
    await c.pause()
    await c.delete()
    await c.until("2d")
    c.noted["state"] = c.state()


@case("the account deletes the contact: removed everywhere", ada="a 0 · removed 12h", ada_in_other="a 0 · removed 12h")
async def forgotten(c: Case) -> None:
    await _both(c)
    await c.forget("ada")
    await c.until("2d")


@case(
    "a new contact under the id of a deleted one inherits nothing",
    ada="a 0 · removed 12h · a 1d · b 2d · completed 2d",
)
async def born_again(c: Case) -> None:
    await c.launch(A, B)
    await c.enroll("ada")
    await c.until("12h")
    await c.forget("ada")
    await c.until("1d")
    c.versions["ada"] = 0
    await c.record("ada")
    await c.settled()
    await c.enroll("ada")
    await c.until("3d")


@case("… but an opt-out", ada="a 0 · stopped: opted_out 6h · removed 12h · refused: opted_out 1d")
async def opted_out_for_ever(c: Case) -> None:
    await c.launch(A, B)
    await c.launch(A, B, name="other")
    await c.enroll("ada")
    await c.until("6h")
    await c.opt_out("ada")
    await c.until("12h")
    await c.forget("ada")
    await c.until("1d")
    c.versions["ada"] = 0
    await c.record("ada")
    await c.settled()
    await c.enroll("ada")
    await c.until("3d")


SCRIPTS: Final = TABLE.scripts
