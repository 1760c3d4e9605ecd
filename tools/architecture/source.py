"""Python files as the rules see them: parsed once, names resolved through their imports."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One breach of one rule, in one file."""

    path: str
    line: int
    says: str

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else self.path
        return f"{place}: {self.says}"


@dataclass(frozen=True)
class Source:
    """One module: where it is and what it says."""

    root: Path
    file: Path

    @property
    def path(self) -> str:
        return self.file.relative_to(self.root).as_posix()

    @property
    def home(self) -> tuple[str, str]:
        """`("services", "delivery")` or `("libs", "messaging")`."""
        parts = self.file.relative_to(self.root).parts
        return parts[0], parts[1]

    @property
    def layer(self) -> str:
        """The first name below the package: `handlers`, `app`, …"""
        below = self.file.relative_to(self.root).parts[4:]
        return below[0].removesuffix(".py") if below else ""

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.file.read_text(encoding="utf-8"), filename=self.path)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """All of the tree. It is walked once: that costs more than parsing it."""
        return list(ast.walk(self.tree))

    @cached_property
    def names(self) -> dict[str, str]:
        """What each imported name stands for: `now_utc` → `datetime.datetime`."""
        found: dict[str, str] = {}
        for node in self.nodes:
            if isinstance(node, ast.Import):
                for name in node.names:
                    top = name.name.split(".", 1)[0]
                    found[name.asname or top] = name.name if name.asname else top
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for name in node.names:
                    found[name.asname or name.name] = f"{node.module}.{name.name}"
        return found

    def imports(self) -> Iterator[tuple[int, str]]:
        """Line and full name of every module that is imported, also inside functions."""
        for node in self.nodes:
            if isinstance(node, ast.Import):
                yield from ((node.lineno, name.name) for name in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.lineno, node.module

    def resolve(self, node: ast.expr) -> str | None:
        """The full name behind `dt.now` or `uuid4`; None for what does not come from an import."""
        match node:
            case ast.Name(id=name):
                return self.names.get(name)
            case ast.Attribute(value=value, attr=attr):
                owner = self.resolve(value)
                return f"{owner}.{attr}" if owner else None
            case _:
                return None

    def fault(self, line: int, says: str) -> Fault:
        return Fault(self.path, line, says)


@dataclass(frozen=True)
class Checkout:
    """The tree that is looked at."""

    root: Path

    @cached_property
    def sources(self) -> list[Source]:
        """Every module of the libraries and services, without their tests."""
        files = sorted([*self.root.glob("libs/*/src/**/*.py"), *self.root.glob("services/*/src/**/*.py")])
        return [Source(self.root, file) for file in files]

    @cached_property
    def services(self) -> list[str]:
        """The services by name."""
        return sorted(file.parent.name for file in self.root.glob("services/*/pyproject.toml"))
