"""What is read from a post of the WhatsApp Cloud API."""

from typing import Any

import pytest
from delivery.domain.report import Report, opaque, read_reports
from hypothesis import given
from hypothesis import strategies as st

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["entry", "changes", "value", "statuses", "status", "id"]), inner, max_size=3)
    ),
    max_leaves=12,
)


def post(*statuses: Any) -> dict[str, Any]:
    return {"entry": [{"changes": [{"value": {"statuses": list(statuses)}}]}]}


@pytest.mark.parametrize(("said", "kind"), [("delivered", "delivered"), ("read", "read"), ("failed", "bounced")])
def test_a_report_is_known_by_the_id_that_we_had_given(said: str, kind: str) -> None:
    found = read_reports(post({"id": "wamid", "status": said, "biz_opaque_callback_data": "m"}))

    assert found == [Report("m", kind, opaque("wamid"))]  # type: ignore[arg-type]


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
    assert read_reports(post(status)) == []


def test_several_come_in_their_order() -> None:
    found = read_reports(
        post(*[{"status": said, "biz_opaque_callback_data": "m"} for said in ("delivered", "sent", "read")])
    )

    assert [one.kind for one in found] == ["delivered", "read"]


@given(JSON)
def test_nothing_that_is_posted_breaks_it(document: Any) -> None:
    assert isinstance(read_reports(document), list)
