"""What is read from a post of the WhatsApp Cloud API."""

from datetime import UTC, datetime
from typing import Any

import pytest
from delivery.domain.report import OptOut, Reply, Report, Sender, opaque
from delivery.domain.report_whatsapp import read_whatsapp
from hypothesis import given
from hypothesis import strategies as st

NAMES = ["entry", "changes", "value", "statuses", "messages", "user_preferences", "status", "id", "from", "type"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=12,
)


def post(*statuses: Any) -> dict[str, Any]:
    return {"entry": [{"changes": [{"value": {"statuses": list(statuses)}}]}]}


@pytest.mark.parametrize(("said", "kind"), [("delivered", "delivered"), ("read", "read"), ("failed", "bounced")])
def test_a_report_is_known_by_the_id_that_we_had_given(said: str, kind: str) -> None:
    found = read_whatsapp(post({"id": "wamid", "status": said, "biz_opaque_callback_data": "m"}))

    assert found.reports == [Report("m", kind, opaque("wamid"))]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "status",
    [
        {"id": "wamid", "status": "sent", "biz_opaque_callback_data": "m"},
        {"id": "wamid", "status": "delivered"},
        {"id": "wamid", "status": ["delivered"], "biz_opaque_callback_data": "m"},
        {"id": "wamid", "status": "delivered", "biz_opaque_callback_data": 7},
        None,
    ],
)
def test_what_says_nothing_new_is_passed_over(status: Any) -> None:
    assert len(read_whatsapp(post(status))) == 0


def test_several_come_in_their_order() -> None:
    found = read_whatsapp(
        post(*[{"status": said, "biz_opaque_callback_data": "m"} for said in ("delivered", "sent", "read")])
    )

    assert [one.kind for one in found.reports] == ["delivered", "read"]


WRITTEN = {"from": "4917012345678", "id": "wamid.R", "timestamp": "1772366400", "type": "text", "text": {"body": "Hi"}}
STOP = {"wa_id": "4917012345678", "category": "marketing_messages", "value": "stop", "timestamp": 1772366400}


def value_of(**value: Any) -> dict[str, Any]:
    return {"entry": [{"changes": [{"value": value}]}]}


def wrote(**changed: Any) -> Any:
    return read_whatsapp(value_of(messages=[{**WRITTEN, **changed}])).replies


def test_a_reply_is_known_by_what_it_quotes_and_by_its_number_and_its_text_is_not_kept() -> None:
    (found,) = wrote(context={"from": "1", "id": "wamid.Q"})

    sender = Sender(quoted=opaque("wamid.Q"), number="4917012345678")
    at = datetime(2026, 3, 1, 12, 0, 0, 999_999, tzinfo=UTC)
    assert found == Reply(opaque("wamid.R"), sender, "whatsapp", at)


@pytest.mark.parametrize("changed", [{"type": "system"}, {"type": "reaction"}, {"from": 7}, {"id": None}, {"type": []}])
def test_what_nobody_wrote_is_no_reply(changed: dict[str, Any]) -> None:
    assert wrote(**changed) == []


@pytest.mark.parametrize("said", [None, "", "soon", -1, "1e9", 10**15, True, 3.5])
def test_a_time_that_is_none_is_left_out(said: Any) -> None:
    (found,) = wrote(timestamp=said)

    assert found.at is None


def test_who_wants_no_marketing_any_more_has_opted_out_of_whatsapp() -> None:
    said = [STOP, {**STOP, "value": "resume"}, {**STOP, "wa_id": "?"}]

    (found,) = read_whatsapp(value_of(user_preferences=said)).opt_outs

    assert isinstance(found, OptOut)
    assert (found.sender.number, found.channel, found.reason) == ("4917012345678", "whatsapp", "marketing_messages")


@given(JSON)
def test_nothing_that_is_posted_breaks_it(document: Any) -> None:
    assert len(read_whatsapp(document)) >= 0


def test_nothing_of_a_providers_id_is_kept() -> None:
    said = "0192f3a4-5b6c-7d8e-9fa0-b1c2d3e4f5a6"

    assert not opaque(said).startswith(said[:8])
