"""The contacts of a CSV, put together by situation: who is in the same one gets the same, at the same moments."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from campaign.conditions import Facts, all_hold
from campaign.definition import Definition
from campaign.window import CONTACT

from sluice.contacts import BrokenRule, check_line, contact_data, merge
from sluice.simulation.journey import Situation
from sluice.simulation.scenario import Scenario
from sluice.table import InvalidLine, UnusableFile, lines

INVALID_KEPT_MAX: Final = 1_000
ADDRESSLESS: Final = frozenset({"webhook"})
"""Channels that need no address of the contact."""

ReadTime = Callable[[str], datetime]
"""Reads the moment at which a contact enters; ValueError with the rule."""


@dataclass(slots=True)
class People:
    """The ids of contacts by situation, in the order of the file, and the lines that are none."""

    situations: dict[Situation, list[str]] = field(default_factory=dict)
    count: int = 0
    invalid: int = 0
    invalid_lines: list[InvalidLine] = field(default_factory=list)
    """The first 1,000 of them."""

    def refuse(self, line: InvalidLine) -> None:
        self.invalid += 1
        if len(self.invalid_lines) < INVALID_KEPT_MAX:
            self.invalid_lines.append(line)


def read_people(
    path: Path, scenario: Scenario, *, enters_column: str | None = None, read_time: ReadTime | None = None
) -> People:
    """Read the file as an import would, and sort its contacts by situation. Raises UnusableFile.

    Everybody enters at the start, or at the moment that stands in `enters_column`.
    """
    people, judge, first = People(), _Judge(scenario), dict[str, int]()
    column_seen = enters_column is None
    for line in lines(path):
        if isinstance(line, InvalidLine):
            people.refuse(line)
            continue
        try:
            check_line(line, first)
            enters_at = scenario.start
            if enters_column is not None and read_time is not None and enters_column in line.cells:
                column_seen = True
                enters_at = _enters_at(line.cells[enters_column], enters_column, scenario, read_time)
            contact = merge(None, line)
            assert contact is not None, "a new contact is a change"
            contact_data(contact)
        except BrokenRule as error:
            people.refuse(InvalidLine(line.number, str(error)))
            continue
        except (TypeError, ValueError):  # lone surrogates stand for bytes that are not UTF-8
            people.refuse(InvalidLine(line.number, "must be UTF-8"))
            continue
        people.situations.setdefault(judge.situation(contact, enters_at), []).append(line.contact_id)
        people.count += 1
    if not column_seen and people.count:
        raise UnusableFile(f"{path} has no moment in a column {enters_column}.")
    return people


def _enters_at(cell: str, column: str, scenario: Scenario, read_time: ReadTime) -> datetime:
    try:
        moment = read_time(cell)
    except ValueError as error:
        raise BrokenRule(f"{column}: {error}") from error
    if moment < scenario.start:
        raise BrokenRule(f"{column}: must not lie before --start")
    return moment


class _Judge:
    """Reduces a contact to what makes a difference in this scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self._versions = scenario.versions
        self._by_zone = any(_asks_for_zone(version) for version in scenario.versions)
        channels = {step.channel for version in scenario.versions for step in version.steps}
        self._channels = frozenset(channels - ADDRESSLESS)

    def situation(self, contact: dict[str, Any], enters_at: datetime) -> Situation:
        facts = Facts(contact["attributes"], contact["tags"], contact["opted_out"])
        addresses = contact["addresses"]
        return Situation(
            enters_at=enters_at,
            timezone=contact.get("timezone") if self._by_zone else None,
            opted_out=facts.opted_out,
            qualifies=tuple(all_hold(version.start_when, facts) for version in self._versions),
            stops=tuple(version.stop_when.met(facts) for version in self._versions),
            unreachable=frozenset(channel for channel in self._channels if channel not in addresses),
        )


def _asks_for_zone(version: Definition) -> bool:
    return version.window is not None and version.window.timezone == CONTACT
