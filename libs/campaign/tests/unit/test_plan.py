"""Which step comes next, whatever was edited meanwhile."""

from datetime import UTC, datetime, timedelta

import pytest
from campaign.definition import Definition, Step, read_definition
from campaign.plan import Finished, Planned, Position, next_step, plan
from hypothesis import given
from hypothesis import strategies as st

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def version(number: int, ids: str, *, hours: int = 1, channel: str = "email") -> Definition:
    """A definition whose steps are named by letters."""
    return Definition(number, tuple(Step(one, hours * HOUR, channel) for one in ids))


def follow(old: str, new: str, *, waits: str | None, ended: str = "") -> str | None:
    """Who stands there in the old version, and the step that is next in the new one."""
    step = next_step(
        version(2, new),
        after_step=ended[-1] if ended else None,
        step_id=waits,
        ended=tuple(ended),
        previous=version(1, old),
    )
    return None if step is None else step.step_id


@pytest.mark.parametrize(
    ("edit", "old", "new", "waits", "ended", "following"),
    [
        ("nothing changed", "abc", "abc", "b", "a", "b"),
        ("inserted before one's position", "abc", "xabc", "b", "a", "b"),
        ("inserted right before the step that is waited for", "abc", "axbc", "b", "a", "b"),
        ("inserted behind it", "abc", "abxc", "b", "a", "b"),
        ("inserted at the front, nothing sent yet", "abc", "xabc", "a", "", "a"),
        ("appended", "abc", "abcx", "c", "ab", "c"),
        ("the step that is waited for removed", "abc", "ac", "b", "a", "c"),
        ("it and what was before it removed", "abc", "c", "b", "a", "c"),
        ("it removed and another in its place", "abc", "axc", "b", "a", "x"),
        ("the last ones removed", "abc", "a", "b", "a", None),
        ("everything replaced, nothing sent yet", "abc", "xyz", "a", "", "x"),
        ("reordered", "abcd", "cabd", "c", "ab", "c"),
        ("reversed, one to go", "abc", "cba", "c", "ab", "c"),
        ("removed, and its followers moved to the front", "abcd", "cda", "b", "a", "c"),
    ],
)
def test_who_waits_for_a_step_follows_an_edit(
    edit: str, old: str, new: str, waits: str, ended: str, following: str | None
) -> None:
    assert follow(old, new, waits=waits, ended=ended) == following, edit


@pytest.mark.parametrize(
    ("edit", "old", "new", "ended", "following"),
    [
        ("nothing changed", "abc", "abc", "a", "b"),
        ("inserted behind the step that has just ended", "abc", "axbc", "a", "x"),
        ("inserted before it", "abc", "xabc", "a", "b"),
        ("it is gone", "abc", "bc", "a", "b"),
        ("it and what came next are gone", "abc", "c", "a", "c"),
        ("it has moved to the end: what was behind it is inserted before one's position", "abc", "bca", "a", None),
        ("it was the last", "ab", "ab", "ab", None),
        ("one was appended behind it", "ab", "abx", "ab", "x"),
        ("what ended before stands behind it now", "abc", "bac", "ab", "c"),
    ],
)
def test_who_has_just_ended_a_step_follows_an_edit(
    edit: str, old: str, new: str, ended: str, following: str | None
) -> None:
    assert follow(old, new, waits=None, ended=ended) == following, edit


def test_a_new_delay_counts_from_where_the_old_one_did() -> None:
    position = Position(NOON, step_id="b", ended=("a",))

    shortened = plan(position, version(2, "abc", hours=1), previous=version(1, "abc", hours=5))
    lengthened = plan(position, version(2, "abc", hours=9), previous=version(1, "abc", hours=5))

    assert shortened == Planned("b", "email:", NOON + HOUR, 2)
    assert lengthened == Planned("b", "email:", NOON + 9 * HOUR, 2)


def test_another_channel_or_sender_is_another_lane() -> None:
    moved = plan(Position(NOON), Definition(2, (Step("a", HOUR, "whatsapp", "sales"),)))

    assert moved == Planned("a", "whatsapp:sales", NOON + HOUR, 2)


@given(
    st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=8, unique=True), min_size=1, max_size=8),
    st.lists(st.booleans(), min_size=30, max_size=30),
)
def test_through_any_edits_nothing_is_sent_twice_and_it_comes_to_an_end(
    edits: list[list[str]], sends: list[bool]
) -> None:
    versions = [version(number, "".join(ids)) for number, ids in enumerate(edits, start=1)]
    current, ended = versions.pop(0), tuple[str, ...]()
    waits = plan(Position(NOON), current)
    for send in sends:
        if send and isinstance(waits, Planned):
            ended = (*ended, waits.step_id)
            waits = plan(Position(NOON, ended=ended), current)
        elif versions and isinstance(waits, Planned):
            waits = plan(Position(NOON, waits.step_id, ended), versions[0], previous=current)
            current = versions.pop(0)

    assert len(ended) == len(set(ended))
    assert isinstance(waits, Finished) or waits.step_id not in ended


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=8, unique=True))
def test_without_edits_every_step_comes_once_in_its_order(ids: list[str]) -> None:
    steps, ended = version(1, "".join(ids)), tuple[str, ...]()
    while isinstance(waits := plan(Position(NOON, ended=ended), steps, previous=steps), Planned):
        ended = (*ended, waits.step_id)

    assert list(ended) == ids


def test_a_published_definition_is_read_as_far_as_planning_needs_it() -> None:
    read = read_definition(
        3, {"name": "W", "steps": [{"step_id": "a", "after": "1d2h", "message": {"channel": "email", "subject": "S"}}]}
    )

    assert read.steps == (Step("a", timedelta(days=1, hours=2), "email"),)
    assert read.version == 3
