"""`python -m sluice_contracts.generate`: write the JSON Schemas and AsyncAPI documents of this repository."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from sluice_contracts.asyncapi import SERVICES, document
from sluice_contracts.schemas import schemas
from sluice_contracts.topics_file import load

HERE: Final = Path(__file__).resolve().parents[4]
NOTICE: Final = (
    "# Generated from libs/contracts and deploy/kafka/topics.yaml by `make contracts`; not edited by hand.\n"
)


class _Dumper(yaml.SafeDumper):
    """Block style throughout: no anchors, texts of several lines as such."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _write_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _write_text)


def documents(root: Path) -> dict[Path, str]:
    """Every generated file of the repository at `root`, by its path in it."""
    folder = Path("docs", "asyncapi")
    specs = {spec.name: spec for spec in load(root / "deploy" / "kafka" / "topics.yaml", "production")}
    files = {
        folder / "schemas" / f"{name}.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        for name, schema in schemas().items()
    }
    for service in SERVICES:
        content = document(service, specs=specs, golden=root / "libs" / "contracts" / "golden")
        text = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
        files[folder / f"{service.name}.yaml"] = NOTICE + text
    return files


def stale(root: Path) -> list[Path]:
    """The generated files that are missing, differ, or are no longer generated."""
    wanted = documents(root)
    folder = root / "docs" / "asyncapi"
    present = {path.relative_to(root) for pattern in ("*.yaml", "schemas/*.json") for path in folder.glob(pattern)}
    differing = {path for path in wanted.keys() & present if (root / path).read_text(encoding="utf-8") != wanted[path]}
    return sorted(differing | (wanted.keys() ^ present))


def write(root: Path) -> list[Path]:
    """Bring the generated files up to date; returns those that were not."""
    changed = stale(root)
    wanted = documents(root)
    for path in changed:
        if path not in wanted:
            (root / path).unlink()
            continue
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(wanted[path], encoding="utf-8")
    return changed


def main(arguments: Sequence[str] | None = None) -> int:
    """Write docs/asyncapi; with --check write nothing and end with 1 where a file there is stale."""
    parser = argparse.ArgumentParser(prog="python -m sluice_contracts.generate", description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="only tell what is stale")
    parser.add_argument("--root", type=Path, default=HERE, help="the repository")
    options = parser.parse_args(arguments)
    if options.check:
        found = stale(options.root)
        for path in found:
            sys.stderr.write(f"{path} is stale: run `make contracts`\n")
        return 1 if found else 0
    for path in write(options.root):
        sys.stdout.write(f"wrote {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
