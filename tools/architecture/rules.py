"""All rules that read files; what imports what is import-linter's (`.importlinter`)."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from tools.architecture import content, layout
from tools.architecture.source import Checkout, Fault

RULES: Final[tuple[Callable[[Checkout], Iterator[Fault]], ...]] = (
    layout.check_service_trees,
    layout.check_module_names,
    layout.check_workspace,
    content.check_neighbours,
    content.check_sql,
    content.check_clocks,
    content.check_transactions,
    content.check_subscribers,
    content.check_singletons,
)


def breaches(root: Path) -> list[Fault]:
    """Every breach in the checkout at `root`, by file."""
    checkout = Checkout(root)
    return sorted({fault for rule in RULES for fault in rule(checkout)})
