"""Write what the console answers as an OpenAPI document; with --check, say whether the file is up to date."""

import json
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

from chassis.pool import Conn
from console.api.server import create

FILE: Final = Path(__file__).parents[1] / "docs" / "openapi" / "console.json"


def document() -> str:
    """The document, as text."""
    return json.dumps(create(_reads_nothing).openapi(), indent=2, ensure_ascii=False) + "\n"


def _reads_nothing() -> AbstractAsyncContextManager[Conn]:
    raise AssertionError("the document is written without a database")


def main(arguments: list[str]) -> int:
    """0 where it is written, or is as it should be."""
    written = document()
    if "--check" not in arguments:
        FILE.parent.mkdir(parents=True, exist_ok=True)
        FILE.write_text(written)
        return 0
    if FILE.exists() and FILE.read_text() == written:
        return 0
    print(f"{FILE.relative_to(Path.cwd())} is not what the console answers: run `make contracts`.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
