"""What a version says of entry and of an early end: all of a definition that enrollment asks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from campaign.conditions import Condition, Facts, StopWhen, all_hold, read_conditions, read_stop_when

NEVER: Final = StopWhen()


@dataclass(frozen=True, slots=True)
class Rules:
    """Who enters by itself, what ends it early, and whether a contact may enter only once."""

    triggers: frozenset[str] = frozenset()
    """Of `created` and `updated`; none: by command and import only."""
    start_when: tuple[Condition, ...] = ()
    stop_when: StopWhen = NEVER
    enroll_once: bool = True

    @property
    def conditional(self) -> bool:
        """Whether some change of a contact may end an enrollment."""
        return bool(self.stop_when.success or self.stop_when.failure)

    def qualifies(self, facts: Facts) -> bool:
        """Whether it lets in by itself: `start_when` holds, and nothing would end it at once.

        An opt-out is no matter of conditions: it refuses whoever asks.
        """
        return all_hold(self.start_when, facts) and self.stop_when.holding(facts) is None


def read_rules(document: Mapping[str, Any]) -> Rules:
    """The rules of a published definition; KeyError, TypeError or ValueError where they are none."""
    return Rules(
        triggers=frozenset((document.get("trigger") or {}).get("on", ())),
        start_when=read_conditions(document.get("start_when")),
        stop_when=read_stop_when(document.get("stop_when")),
        enroll_once=document.get("enroll_once", True),
    )
