"""Under which version an enrollment is."""

import pytest
from campaign.versions import effective_version, followed_version


@pytest.mark.parametrize(("newest", "follow", "followed"), [(None, None, None), (3, None, 3), (3, 2, 2)])
def test_those_inside_follow_the_newest_unless_the_state_names_one(
    newest: int | None, follow: int | None, followed: int | None
) -> None:
    assert followed_version(newest, follow) == followed


@pytest.mark.parametrize(("followed", "effective"), [(None, 2), (1, 2), (2, 2), (4, 4)])
def test_an_enrollment_is_under_what_it_entered_or_a_later_one_that_all_follow(
    followed: int | None, effective: int
) -> None:
    assert effective_version(2, followed) == effective
