"""Links to unsubscribe: ours are read, and nobody else can make one."""

import base64
from uuid import UUID

from delivery.domain.unsubscribe import Unsubscription, read_token, token_of
from hypothesis import given
from hypothesis import strategies as st

KEY = b"a secret that never changes"
IDS = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._:-]{0,63}\Z")


@given(st.uuids(), IDS)
def test_a_link_leads_to_whom_it_was_made_for(message_id: UUID, contact_id: str) -> None:
    token = token_of(str(message_id), contact_id, key=KEY)

    assert read_token(token, key=KEY) == Unsubscription(str(message_id), contact_id)
    assert token_of(str(message_id), contact_id, key=KEY) == token
    assert read_token(token, key=b"another secret") is None


@given(st.uuids(), IDS, st.integers(0, 10_000), st.integers(1, 255))
def test_whatever_is_changed_of_it_makes_it_nobodys(message_id: UUID, contact_id: str, place: int, change: int) -> None:
    token = token_of(str(message_id), contact_id, key=KEY)
    held = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    held[place % len(held)] ^= change

    assert read_token(base64.urlsafe_b64encode(bytes(held)).decode().rstrip("="), key=KEY) is None


@given(st.text(max_size=300) | st.text(alphabet="ABCxyz019_-", min_size=40, max_size=220))
def test_no_guess_is_a_link(token: str) -> None:
    assert read_token(token, key=KEY) is None
