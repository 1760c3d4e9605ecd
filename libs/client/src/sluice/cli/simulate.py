"""simulate"""

import gc
from collections.abc import Sequence
from datetime import date, datetime, tzinfo
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from sluice._clock import monotonic, utc_now
from sluice.cli.documents import read_published
from sluice.cli.frame import Session, Usage, command
from sluice.cli.local_time import as_json, find_zone, shown, zone_name
from sluice.cli.screen import Screen
from sluice.program import interruptible
from sluice.simulation.forecast import Forecast, forecast
from sluice.simulation.heat import HOURS, Cell, Quiet, floor_of, grid, wall_clock
from sluice.simulation.journey import Journey
from sluice.simulation.notation import EditGiven, read_edit, read_moment, read_pause, read_time
from sluice.simulation.people import read_people
from sluice.simulation.picture import COLOURS, draw
from sluice.simulation.scenario import Edit, Scenario, Via
from sluice.table import UnusableFile

app: Final = typer.Typer()

SAMPLES: Final = 5
GLYPHS: Final = ("··", "▁▁", "▂▂", "▃▃", "▅▅", "▆▆", "██")
"""By shade, where there are no colours."""
MISSING, PAUSED = "  ", "//"
REFUSALS: Final = {
    "opted_out": "opted out",
    "start_when": "start_when does not hold",
    "stop_when": "a stop condition holds already",
    "sequence_paused": "paused when they came",
    "not_yet": "would come later",
}
ENDS: Final = {
    "completed": "got every step",
    "in_progress": "still inside at the end",
    "success": "stopped by success",
    "failure": "stopped by failure",
    "failed": "failed: no address for the channel",
    "opted_out": "opted out",
}
COLLECT_AFTER_OBJECTS: Final = 100_000
SIMULATE: Final = "sluice simulate examples/welcome.json --contacts examples/contacts.csv"

Start = Annotated[
    str | None,
    typer.Option("--start", metavar="TIME", help="When it begins: 2027-03-26T08:00, with or without an offset."),
]
Until = Annotated[str, typer.Option("--until", metavar="TIME", help="When it ends: a time, or +30d.")]
Pauses = Annotated[
    list[str] | None,
    typer.Option(
        "--pause",
        metavar="FROM..TO[:OVERDUE]",
        help="A pause; the resume does shift (default), send-now, send-now:2h (not what is later than that) or "
        "skip; :admit at the end lets those in who came meanwhile. May be given several times.",
    ),
]
Edits = Annotated[
    list[str] | None,
    typer.Option(
        "--edit",
        metavar="TIME=FILE[:pin]",
        help="A definition published at that time; whoever is inside follows, or keeps the old one with :pin.",
    ),
]
Zone = Annotated[str | None, typer.Option("--zone", help="The zone of times without an offset, and of the picture.")]
Enters = Annotated[
    str | None,
    typer.Option("--enters", metavar="COLUMN", help="The column that says when each enters. Default: at --start."),
]
WayIn = Annotated[
    str | None,
    typer.Option("--via", metavar="trigger|import", help="Default: trigger where the definition has one."),
]
Svg = Annotated[Path | None, typer.Option("--svg", help="Write the heat map as a picture.")]
Limit = Annotated[int, typer.Option("--limit", min=0, help="How many contacts to show one by one.")]


@command(
    app,
    "simulate",
    needs="nothing",
    examples=[
        SIMULATE,
        f"{SIMULATE} --start 2027-03-26T08:00 --zone Europe/Berlin",
        f"{SIMULATE} --pause 2d..3d12h:skip --edit 5d=examples/welcome.json:pin",
        f"{SIMULATE} --svg heat.svg --json",
    ],
)
async def simulate(
    session: Session,
    file: Annotated[str, typer.Argument(metavar="DEFINITION", help="The definition as JSON; - reads stdin.")],
    contacts: Annotated[Path, typer.Option("--contacts", help="A CSV as contacts-import takes it.")],
    start: Start = None,
    until: Until = "+30d",
    pause: Pauses = None,
    edit: Edits = None,
    zone: Zone = None,
    enters: Enters = None,
    via: WayIn = None,
    svg: Svg = None,
    limit: Limit = SAMPLES,
) -> None:
    """Show who would get what and when, without sending anything.

    The same rules as in the services, on a virtual clock: delays, windows in each contact's zone, clock changes,
    conditions, pauses and edits. Rates of channels, replies and changes of contacts are not simulated. All contacts
    enter at --start, or when their column says; those in the same situation are worked out once.
    """
    began = monotonic()
    gc.set_threshold(COLLECT_AFTER_OBJECTS)
    shown_in = find_zone(zone)
    with interruptible():  # nothing is awaited, so an event loop would only note a Ctrl-C
        scenario = _scenario(file, start, until, pauses=pause or (), edits=edit or (), via=via, zone=shown_in)
        people = read_people(contacts, scenario, enters_column=enters, read_time=partial(read_time, zone=shown_in))
        found = forecast(scenario, people, zone=shown_in)
        took = monotonic() - began
        if svg is not None:
            _write(svg, draw(found, title=f"{Path(file).name}: messages an hour", zone_name=zone_name(shown_in)))
        _tell(session.screen, found, limit=limit, took=took, svg=svg)


def _tell(screen: Screen, found: Forecast, *, limit: int, took: float, svg: Path | None) -> None:
    people = found.people
    if people.invalid:
        screen.note(f"{people.invalid:,} lines were left out:")
        screen.invalid_lines(people.invalid_lines, total=people.invalid)
    if screen.as_json:
        screen.write_json(_json(found, limit=limit, took=took))
        return
    _show(screen, found, limit=limit)
    if svg is not None:
        screen.note(f"The picture is in {svg}.")
    screen.note(f"{people.count:,} contacts in {len(people.situations):,} situations, worked out in {took:.1f} s.")


def _scenario(
    file: str,
    start: str | None,
    until: str,
    *,
    pauses: Sequence[str],
    edits: Sequence[str],
    via: str | None,
    zone: tzinfo,
) -> Scenario:
    now = utc_now().replace(second=0, microsecond=0)
    starts = now if start is None else read_moment(start, start=now, zone=zone, place="--start")

    def moment(text: str, place: str) -> datetime:
        return read_moment(text, start=starts, zone=zone, place=place)

    definition = read_published(file)
    return Scenario(
        starts,
        moment(until, "--until"),
        definition,
        edits=[_edit(read_edit(one, moment=partial(moment, place="--edit"), place="--edit")) for one in edits],
        pauses=[read_pause(one, moment=partial(moment, place="--pause"), place="--pause") for one in pauses],
        via=_via(via, has_trigger=bool(definition.triggers)),
    )


def _edit(given: EditGiven) -> Edit:
    return Edit(given.at, read_published(given.file), given.in_flight)


def _via(given: str | None, *, has_trigger: bool) -> Via:
    match given:
        case None:
            return "trigger" if has_trigger else "import"
        case "import":
            return "import"
        case "trigger" if has_trigger:
            return "trigger"
        case "trigger":
            raise Usage("--via: the definition has no trigger, so nobody would enter")
        case _:
            raise Usage("--via: must be trigger or import")


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UnusableFile(f"--svg: {file} cannot be written: {error.strerror}.") from error


def _show(screen: Screen, found: Forecast, *, limit: int) -> None:
    scenario, zone = found.scenario, found.zone
    screen.say(
        f"From {shown(scenario.start, zone)} to {shown(scenario.until, zone)} ({zone_name(zone)}): "
        f"{found.sent:,} messages to {found.entered:,} of {found.people.count:,} contacts."
    )
    for reason, count in sorted(found.refused.items(), key=lambda one: -one[1]):
        screen.say(f"  {count:>9,} do not enter: {REFUSALS[reason]}")
    for end, count in sorted(found.ends.items(), key=lambda one: -one[1]):
        screen.say(f"  {count:>9,} {ENDS[end]}")
    screen.say(f"  {found.nothing_sent:>9,} get nothing at all")
    screen.say("")
    screen.table(
        ["step", "channel", "sent", "expired", "failed", "first", "last"],
        [
            [
                step.step_id,
                step.channel,
                f"{step.sent:,}",
                f"{step.expired:,}",
                f"{step.failed:,}",
                _minute(step.first_at, zone) if step.first_at else "–",
                _minute(step.last_at, zone) if step.last_at else "–",
            ]
            for step in found.steps.values()
        ],
    )
    _show_heat(screen, found)
    samples = list(islice(found.journeys(), limit))
    if samples:
        screen.say("")
        screen.table(
            ["contact", "step", "what", "when", "was due"],
            [row for contact_id, journey in samples for row in _journey_rows(contact_id, journey, zone)],
        )


def _show_heat(screen: Screen, found: Forecast) -> None:
    rows, busiest = grid(found), found.busiest
    if busiest is None:
        return
    peak = busiest[1]
    screen.say("")
    screen.paint(Text(" " * 12 + "".join(f"{hour:02}" if hour % 3 == 0 else "  " for hour in HOURS), style="dim"))
    for row in rows:
        if isinstance(row, Quiet):
            screen.paint(Text(f"{row.days:>5} days   nothing", style="dim"))
            continue
        line = Text(f"{row.day:%a %d %b}  ".ljust(12))
        for cell in row.cells:
            line.append_text(_painted(cell, colours=screen.has_colours))
        line.append(f"  {row.sent:>9,}")
        line.append(f"  {row.note}" if row.note else "", style="dim")
        screen.paint(line)
    legend = Text(" " * 12)
    before = -1
    for shade, colour in enumerate(COLOURS):
        least = floor_of(shade, peak) if shade else 0
        if least > before:
            legend.append("██" if screen.has_colours else GLYPHS[shade], style=colour if screen.has_colours else "")
            legend.append(f" {least:,}  ")
        before = max(before, least)
    if found.scenario.pauses:
        legend.append(f"{PAUSED} paused")
    screen.paint(legend)
    screen.say(f"{'':12}Busiest: {_hour(busiest[0])} with {peak:,} messages.")


def _painted(cell: Cell, *, colours: bool) -> Text:
    if not cell.exists:
        return Text(MISSING)
    if cell.paused and not cell.sent:
        return Text(PAUSED, style="#c2410c" if colours else "")
    return Text("██", style=COLOURS[cell.shade]) if colours and cell.shade else Text(GLYPHS[cell.shade], style="")


def _journey_rows(contact_id: str, journey: Journey, zone: tzinfo) -> list[list[str]]:
    rows = [
        [one.step_id, one.kind, _minute(one.at, zone), "" if one.due_at == one.at else _minute(one.due_at, zone)]
        for one in journey.happenings
    ]
    if journey.entered_at is None:
        rows.append(["–", f"does not enter: {REFUSALS[journey.refused or 'not_yet']}", "", ""])
    elif journey.end is not None:
        when = _minute(journey.ended_at, zone) if journey.ended_at else ""
        rows.append(["–", ENDS[journey.end], when, ""])
    elif journey.waits_for is not None:
        due = "paused" if journey.due_at is None else _minute(journey.due_at, zone)
        rows.append([journey.waits_for, "still to come", due, ""])
    return [[contact_id if number == 0 else "", *row] for number, row in enumerate(rows)]


def _json(found: Forecast, *, limit: int, took: float) -> dict[str, Any]:
    scenario, zone = found.scenario, found.zone
    return {
        "start": as_json(scenario.start, zone),
        "until": as_json(scenario.until, zone),
        "zone": zone_name(zone),
        "via": scenario.via,
        "contacts": found.people.count,
        "invalid": found.people.invalid,
        "invalid_lines": [{"line": line.number, "rule": line.rule} for line in found.people.invalid_lines],
        "situations": len(found.people.situations),
        "entered": found.entered,
        "refused": dict(found.refused),
        "ends": dict(found.ends),
        "nothing_sent": found.nothing_sent,
        "sent": found.sent,
        "expired": found.expired,
        "steps": [
            {
                "step_id": step.step_id,
                "channel": step.channel,
                "sent": step.sent,
                "expired": step.expired,
                "failed": step.failed,
                "first_at": as_json(step.first_at, zone),
                "last_at": as_json(step.last_at, zone),
            }
            for step in found.steps.values()
        ],
        "hours": [
            {"at": as_json(wall_clock(*hour, zone), zone), "sent": sent} for hour, sent in sorted(found.hours.items())
        ],
        "journeys": [_journey_json(*one, zone) for one in islice(found.journeys(), limit)],
        "seconds": round(took, 3),
    }


def _journey_json(contact_id: str, journey: Journey, zone: tzinfo) -> dict[str, Any]:
    return {
        "contact_id": contact_id,
        "entered_at": as_json(journey.entered_at, zone),
        "refused": None if journey.entered_at else journey.refused or "not_yet",
        "steps": [
            {
                "step_id": one.step_id,
                "what": one.kind,
                "at": as_json(one.at, zone),
                "due_at": as_json(one.due_at, zone),
                "version": one.version,
            }
            for one in journey.happenings
        ],
        "end": journey.end,
        "ended_at": as_json(journey.ended_at, zone),
        "waits_for": journey.waits_for,
        "due_at": as_json(journey.due_at, zone),
    }


def _minute(moment: datetime, zone: tzinfo) -> str:
    local = moment.astimezone(zone)
    return f"{local:%a %d %b %H:%M %Z}"


def _hour(hour: tuple[date, int]) -> str:
    return f"{hour[0]:%a %Y-%m-%d} {hour[1]:02}:00"
