"""What the contract allows and this version cannot do yet is refused with its place, never accepted and ignored."""

import pytest

pytestmark = pytest.mark.stack

ANSWER_SECONDS_MAX = 30.0
