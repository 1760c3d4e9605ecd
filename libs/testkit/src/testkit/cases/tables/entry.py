"""Who enters, who does not, and what ends an enrollment before its last step."""

from typing import Any, Final

from sluice_contracts.enrollment import EnrollContact

from testkit.cases.case import Case, email, whatsapp
from testkit.cases.tables.script import TableOf

TABLE: Final = TableOf("entry and exit")
case: Final = TABLE.case

A, B = email("a"), email("b", "1d")
NEW: Final = [{"field": "status", "op": "equals", "value": "New"}]
WON: Final = {"success": [{"field": "stage", "op": "equals", "value": "Won"}]}
LOST: Final = {"failure": [{"field": "stage", "op": "equals", "value": "Lost"}]}


def _trigger(*on: str) -> dict[str, Any]:
    return {"trigger": {"on": list(on)}, "start_when": NEW}


@case("trigger on created", ada="entered by trigger 0 · a 0 · b 1d · completed 1d", bob="nothing", carl="nothing")
async def created(c: Case) -> None:
    await c.launch(A, B, **_trigger("created"))
    await c.record("ada", attributes={"status": "New"})
    await c.record("bob", attributes={"status": "Old"})
    await c.record("carl", attributes={"status": "Old"})
    await c.until("1h")
    await c.record("carl", attributes={"status": "New"})
    await c.until("2d")


@case("trigger on updated", ada="nothing", bob="entered by trigger 1h · a 1h · b 1d1h · completed 1d1h")
async def updated(c: Case) -> None:
    await c.launch(A, B, **_trigger("updated"))
    await c.record("ada", attributes={"status": "New"})
    await c.record("bob", attributes={"status": "Old"})
    await c.until("1h")
    await c.record("bob", attributes={"status": "New"})
    await c.until("2d")


@case(
    "trigger on both, once",
    ada="entered by trigger 0 · a 0 · b 1d · completed 1d",
    bob="entered by trigger 1h · a 1h · b 1d1h · completed 1d1h",
)
async def both(c: Case) -> None:
    await c.launch(A, B, **_trigger("created", "updated"))
    await c.record("ada", attributes={"status": "New"})
    await c.record("bob", attributes={"status": "Old"})
    await c.until("1h")
    await c.record("ada", attributes={"score": 1})
    await c.record("bob", attributes={"status": "New"})
    await c.until("2h")
    await c.record("bob", attributes={"score": 1})
    await c.until("2d")


@case(
    "who was there before the sequence enters by an update only",
    ada="entered by trigger 1h · a 1h · b 1d1h · completed 1d1h",
)
async def there_before(c: Case) -> None:
    await c.record("ada", attributes={"status": "New"})
    await c.settled()
    await c.launch(A, B, **_trigger("created", "updated"))
    await c.until("1h")
    await c.record("ada", attributes={"score": 1})
    await c.until("2d")


@case("a command enrolls regardless of start_when", ada="a 0 · b 1d · completed 1d")
async def by_command(c: Case) -> None:
    await c.launch(A, B, start_when=NEW)
    await c.enroll("ada")
    await c.until("2d")


@case("already in", ada="a 0 · refused: already_enrolled 1h · b 1d · completed 1d")
async def already_in(c: Case) -> None:
    await c.launch(A, B)
    await c.enroll("ada")
    await c.until("1h")
    await c.enroll("ada")
    await c.until("2d")


@case("been in, and once is enough", ada="a 0 · completed 0 · refused: already_enrolled 1h")
async def been_in(c: Case) -> None:
    await c.launch(A)
    await c.enroll("ada")
    await c.until("1h")
    await c.enroll("ada")
    await c.until("2d")


@case(
    "enroll_once false: again after its end, never twice at once",
    ada="a 0 · refused: already_enrolled 1h · b 1d · completed 1d · a 1d1h · b 2d1h · completed 2d1h",
)
async def again(c: Case) -> None:
    await c.launch(A, B, enroll_once=False)
    await c.enroll("ada")
    await c.until("1h")
    await c.enroll("ada")
    await c.until("1d1h")
    await c.enroll("ada")
    await c.until("3d")


@case("enroll_once switched off by an edit: who is done may enter again", ada="a 0 · completed 0 · a 1h · completed 1h")
async def switched_off(c: Case) -> None:
    await c.launch(A)
    await c.enroll("ada")
    await c.until("1h")
    await c.launch(A, enroll_once=False)
    await c.enroll("ada")
    await c.until("2d")


@case(
    "enroll_once switched on by an edit: who was in is in no more",
    ada="a 0 · completed 0 · refused: already_enrolled 1h",
)
async def switched_on(c: Case) -> None:
    await c.launch(A, enroll_once=False)
    await c.enroll("ada")
    await c.until("1h")
    await c.launch(A, enroll_once=True)
    await c.enroll("ada")
    await c.until("2d")


@case("a draft lets nobody in", enroll="refused: sequence_not_active")
async def draft(c: Case) -> None:
    await c.save(A, B)
    await c.record("ada")
    await c.note("enroll", EnrollContact(sequence_id=c.sequence(), contact_id=c.contact("ada")))


@case("a contact that nobody knows", enroll="refused: contact_unknown")
async def unknown_contact(c: Case) -> None:
    await c.launch(A, B)
    await c.note("enroll", EnrollContact(sequence_id=c.sequence(), contact_id=c.contact("nobody")))


@case("while paused: refused, and not let in by a resume alone", ada="refused: sequence_paused 1h")
async def paused(c: Case) -> None:
    await c.launch(A, B)
    await c.pause()
    await c.until("1h")
    await c.enroll("ada")
    await c.until("2h")
    await c.resume()
    await c.until("2d")


@case(
    "admit qualifying: who was refused while paused and qualifies now is let in",
    ada="refused: sequence_paused 1h · entered by admit 2h · a 2h · b 1d2h · completed 1d2h",
    bob="refused: sequence_paused 1h",
    carl="refused: sequence_paused 1h · entered by admit 2h · a 2h · b 1d2h · completed 1d2h",
)
async def admit(c: Case) -> None:
    await c.launch(A, B, **_trigger("created"))
    await c.pause()
    await c.until("1h")
    await c.record("ada", attributes={"status": "New"})
    await c.record("bob", attributes={"status": "Old"})
    await c.record("carl", attributes={"status": "Old"})
    await c.settled()
    await c.enroll("bob", "carl")
    await c.record("carl", attributes={"status": "New"})
    await c.until("2h")
    await c.resume(admit="qualifying")
    await c.until("2d")


@case("a success condition ends it", ada="a 0 · stopped: success 12h")
async def success(c: Case) -> None:
    await c.launch(A, B, stop_when=WON)
    await c.enroll("ada")
    await c.until("12h")
    await c.record("ada", attributes={"stage": "Won"})
    await c.until("2d")


@case("a failure condition ends it", ada="a 0 · stopped: failure 12h")
async def failure(c: Case) -> None:
    await c.launch(A, B, stop_when=LOST)
    await c.enroll("ada")
    await c.until("12h")
    await c.record("ada", attributes={"stage": "Lost"})
    await c.until("2d")


@case(
    "a condition that comes with an edit ends who fulfils it, before the next message",
    ada="a 0 · kept back: success 1d · stopped: success 1d",
)
async def by_an_edit(c: Case) -> None:
    await c.record("ada", attributes={"stage": "Won"})
    await c.launch(A, B)
    await c.enroll("ada")
    await c.until("12h")
    await c.launch(A, B, stop_when=WON)
    await c.until("2d")


# Delivery may hear of the entry before it hears of the end: then it has looked at the condition, too.
@case(
    "a condition that holds at entry: in, and out at once",
    ada="stopped: success 0 OR stopped: success 0 · kept back: success 0",
)
async def at_entry(c: Case) -> None:
    await c.record("ada", attributes={"stage": "Won"})
    await c.launch(A, B, stop_when=WON)
    await c.enroll("ada")
    await c.until("2d")


@case("a trigger does not let in whom a condition would end", ada="nothing")
async def not_by_trigger(c: Case) -> None:
    await c.launch(A, B, stop_when=WON, **_trigger("created"))
    await c.record("ada", attributes={"stage": "Won", "status": "New"})
    await c.until("2d")


@case(
    "a reply ends it where the sequence says so",
    ada="a 0 · stopped: replied 12h",
    ada_in_other="a 0 · b 1d · completed 1d",
)
async def reply(c: Case) -> None:
    await c.launch(A, B, stop_when={"on_reply": True})
    await c.launch(A, B, name="other")
    await c.enroll("ada")
    await c.enroll("ada", sequence="other")
    await c.until("12h")
    await c.reply("ada")
    await c.until("2d")


@case(
    "an opt-out ends all, and nothing enters any more",
    ada="a 0 · stopped: opted_out 12h",
    ada_in_other="a 0 · stopped: opted_out 12h",
    ada_in_third="refused: opted_out 1d",
)
async def opt_out(c: Case) -> None:
    for name in ("s", "other", "third"):
        await c.launch(A, B, name=name)
    await c.enroll("ada")
    await c.enroll("ada", sequence="other")
    await c.until("12h")
    await c.opt_out("ada")
    await c.until("1d")
    await c.enroll("ada", sequence="third")
    await c.until("2d")


@case("an opt-out in the contact's record ends all", ada="a 0 · stopped: opted_out 12h")
async def opt_out_in_the_record(c: Case) -> None:
    await c.launch(A, B)
    await c.enroll("ada")
    await c.until("12h")
    await c.record("ada", opted_out=True)
    await c.until("2d")


@case(
    "an opt-out of one channel: the other channel goes on, the first message on that one ends it",
    ada="a 0 · w 1d · kept back: opted_out 2d · stopped: opted_out 2d",
)
async def opt_out_of_a_channel(c: Case) -> None:
    await c.launch(A, whatsapp("w", "1d"), B, email("d", "1d"))
    await c.enroll("ada")
    await c.until("12h")
    await c.opt_out("ada", channel="email")
    await c.until("4d")


SCRIPTS: Final = TABLE.scripts
