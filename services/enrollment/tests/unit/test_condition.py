"""What delivery saw is decided with enrollment's own data, once they are as new."""

from campaign.conditions import Condition, Facts, StopWhen
from campaign.rules import Rules
from enrollment.domain.condition import Met, Weighed, weigh
from enrollment.domain.contact import Contact
from enrollment.domain.sequence import Sequence, Status
from hypothesis import given
from hypothesis import strategies as st
from messaging import Cause

WON = Facts({"stage": "Won"})
RULES = Rules(stop_when=StopWhen(success=(Condition("stage", "equals", "Won"),)))
OPEN = Facts({"stage": "Open"})


def met(condition: str = "success", *, contact_version: int = 2, sequence_version: int = 2) -> Met:
    return Met("e", "c", "s", condition, contact_version, sequence_version, Cause("tests", "1"))  # type: ignore[arg-type]


def contact(state_version: int | None) -> Contact:
    return Contact("c", state_version, 0, 7)


def sequence(version: int, *, follow: int = 1) -> Sequence:
    return Sequence("s", 1, Status.ACTIVE, 0, version=version, follow_version=follow, rules=RULES)


@given(
    st.one_of(st.none(), st.integers(1, 3)),
    st.integers(1, 3),
    st.booleans(),
    st.sampled_from([WON, OPEN, Facts(opted_out=True)]),
    st.sampled_from(["success", "failure", "opted_out"]),
    st.booleans(),
)
def test_nothing_is_decided_on_less_than_delivery_saw_and_nothing_ends_without_our_own_reason(
    state_version: int | None, version: int, heard: bool, facts: Facts, condition: str, channels: bool
) -> None:
    rules = RULES if heard else None
    found = weigh(met(condition), contact(state_version), sequence(version), rules, facts, channels=channels)

    if state_version is None or state_version < 2 or version < 2 or not heard:
        assert found is Weighed.WAIT
    elif facts is not OPEN:
        assert found == RULES.stop_when.met(facts)
    elif condition == "opted_out" and state_version == 2:
        assert found == ("opted_out" if channels else Weighed.WAIT)
    else:
        assert found is Weighed.LET_BE
