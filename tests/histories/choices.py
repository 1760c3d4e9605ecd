"""What histories choose from, and the definitions that they write."""

from datetime import timedelta
from typing import Any

from delivery.channels.base import Result
from delivery.domain.report import Kind
from hypothesis import strategies as st

SERVICES = st.sampled_from(["sequences", "enrollment", "delivery"])
SEQUENCES = st.sampled_from(["s1", "s1", "s2", "s3"])
CONTACTS = st.sampled_from(["anna", "bert", "cleo", "dora"])
STEP_IDS = ["a", "b", "c"]
POLICIES = {"a": "assume_sent", "b": "retry", "c": "assume_sent"}
AFTER = st.sampled_from(["0s", "1h", "1d"])
Steps = list[tuple[str, str, str]]
CHANNELS = st.sampled_from(["email", "webhook"])
SCOPES = st.sampled_from(["all", "channel:email", "channel:webhook"])
JUMPS = st.sampled_from(
    [timedelta(seconds=1), timedelta(seconds=11), timedelta(minutes=30), timedelta(hours=1)] * 2 + [timedelta(days=1)]
)
CHOICES = st.lists(st.integers(0, 200), min_size=1, max_size=20)
NUMBER = st.integers(0, 50)
DAYS_AT_THE_END = 1
RESULTS = {
    "sent": (Result.sent(), True),
    "refused": (Result.refused("gone", "no such address"), False),
    "busy": (Result.retry("busy", "try later"), False),
    "unknown, arrived": (Result.unknown("timeout", "no answer"), True),
    "unknown, lost": (Result.unknown("timeout", "no answer"), False),
}
"""What a call ends as, and whether the sink has the message then."""
LEAVING = [
    "from a sequence",
    "from a sequence",
    "from a campaign",
    "from everywhere",
    "is gone",
    "opts out",
    "opts out, says its record",
    "opts out of a channel",
    "replied an hour ago",
]
REPORTS: list[Kind] = ["delivered", "read", "bounced", "bounced", "complained"]
EDITS = ["follow", "pin", None, "save"]
STAGES = st.sampled_from([None, "New", "Won", "Lost"])
WON = [{"field": "stage", "op": "equals", "value": "Won"}]
LOST = [{"field": "stage", "op": "equals", "value": "Lost"}]
NEW = [{"field": "stage", "op": "equals", "value": "New"}]
Rules = dict[str, Any]


def window(opens: str, closes: str) -> dict[str, Any]:
    """Every day between these times, in a zone whose clocks never change."""
    days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    return {"days": days, "from": opens, "to": closes, "timezone": "Asia/Kolkata"}


RULES = st.fixed_dictionaries(
    {},
    optional={
        "trigger": st.sampled_from([["created"], ["updated"], ["created", "updated"]]).map(lambda on: {"on": on}),
        "start_when": st.just(NEW),
        "stop_when": st.sampled_from(
            [
                {"success": WON},
                {"success": WON, "failure": LOST, "on_reply": True},
                {"failure": LOST, "on_reply": True},
                {"on_reply": True},
            ]
        ),
        "enroll_once": st.just(False),
        "delivery": st.sampled_from([window("09:17", "18:17"), window("20:17", "04:17")]),
    },
)
MODES: list[dict[str, Any]] = [
    {},
    {"overdue": "shift"},
    {"overdue": "skip"},
    {"overdue": "send_now"},
    {"admit": "qualifying"},
    {"overdue": "skip", "admit": "qualifying"},
    {"overdue": "send_now", "max_lateness": "1h"},
]


def definition(name: str, steps: Steps, rules: Rules, *, campaign: bool, number: int) -> dict[str, Any]:
    """A definition whose every message says which one it is of."""

    def message(step: str, channel: str) -> dict[str, Any]:
        text = f"{name}/{number}/{step}."
        if channel == "email":
            return {"channel": "email", "subject": "Hi", "text": text}
        return {"channel": "webhook", "url": "https://crm.example/hook", "json": {"text": text}}

    made: dict[str, Any] = {
        "name": name,
        **rules,
        "steps": [
            {"step_id": step, "after": after, "message": message(step, channel), "on_unknown": POLICIES[step]}
            for step, after, channel in steps
        ],
    }
    if campaign:
        made["campaign"] = "spring"
    return made


STEPS = st.lists(
    st.tuples(st.sampled_from(STEP_IDS), AFTER, CHANNELS), min_size=1, max_size=3, unique_by=lambda s: s[0]
)
