"""A fault that strikes nobody is no fault: what is measured amid it would show nothing."""

from typing import NoReturn, cast

import pytest
from devstack.errors import StackError
from devstack.stack import Stack

from benchmarks.arena import BenchmarkFailed
from benchmarks.breaking import Fault, freeze_senders, kill_senders, restart_kafka, restart_postgres


class Nobody:
    """A stack without processes."""

    def kill(self, name: str, _number: int) -> NoReturn:
        raise StackError(f"{name} is not running")


@pytest.mark.parametrize("fault", [kill_senders, freeze_senders, restart_postgres, restart_kafka])
async def test_a_fault_fails_where_whom_it_is_for_is_not_there(fault: Fault) -> None:
    with pytest.raises(BenchmarkFailed, match="was not there to be struck"):
        await fault(cast("Stack", Nobody()))
