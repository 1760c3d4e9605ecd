"""How a table is written: a decorator per case."""

from collections.abc import Callable
from datetime import datetime

from testkit.cases.case import START, Play, Script


class TableOf:
    """Collects the cases of one table."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.scripts: list[Script] = []

    def case(self, title: str, *, start: datetime = START, **expected: str) -> Callable[[Play], Play]:
        """One case; `expected` says by name what is to be seen (`ada_in_other`: ada in the sequence `other`)."""

        def note(play: Play) -> Play:
            told = {name.replace("_", " "): line for name, line in expected.items()}
            self.scripts.append(Script(self._name, title, play, told, start))
            return play

        return note
