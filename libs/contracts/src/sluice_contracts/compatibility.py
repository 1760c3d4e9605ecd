"""What may change in a message version: a new optional field, nothing else. Anything more is a new version.

`breaks` compares two JSON Schemas. What others send us (commands, definitions) may also be widened: what was accepted
stays accepted. What we send may not: a reader that was written for the old schema must be able to read the new data.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sluice_contracts.schemas import INPUTS, schemas

Schema = Mapping[str, Any]

_UPPER: Final = ("maximum", "maxLength", "maxItems", "maxProperties")
_LOWER: Final = ("minimum", "minLength", "minItems", "minProperties")


@dataclass(frozen=True, slots=True)
class Break:
    """A change that somebody would notice: where, and what."""

    place: str
    change: str

    def __str__(self) -> str:
        return f"{self.place}: {self.change}"


def breaks(old: Schema, new: Schema, *, written_by_others: bool) -> list[Break]:
    """Every change from one schema to the other that is more than a new optional field."""
    found = list(_Narrowing(old, new, widening=False).between(old, new, "data"))
    if not written_by_others:
        found += _Narrowing(new, old, widening=True).between(new, old, "data")
    return found


class _Narrowing:
    """Where `target` refuses what `subject` allows; with `widening`, subject and target are the new and the old one."""

    def __init__(self, subject_root: Schema, target_root: Schema, *, widening: bool) -> None:
        self._subject_root = subject_root
        self._target_root = target_root
        self._widening = widening

    def between(self, subject: Schema, target: Schema, place: str) -> Iterator[Break]:
        """The breaks of one place and all below it."""
        subject, target = _resolved(subject, self._subject_root), _resolved(target, self._target_root)
        alternatives, choices = _alternatives(subject), _alternatives(target)
        if len(alternatives) > 1 or len(choices) > 1:
            yield from self._between_unions(alternatives, choices, place)
            return
        yield from self._types(subject, target, place)
        yield from self._bounds(subject, target, place)
        yield from self._fields(subject, target, place)
        yield from self._contents(subject, target, place)

    def _between_unions(self, alternatives: Sequence[Schema], choices: Sequence[Schema], place: str) -> Iterator[Break]:
        for alternative in alternatives:
            tried = [list(self.between(alternative, choice, place)) for choice in choices]
            if all(tried):
                yield from min(tried, key=len)  # the choice that comes nearest tells best what has changed

    def _types(self, subject: Schema, target: Schema, place: str) -> Iterator[Break]:
        if not _types(subject) <= _types(target):
            yield self._break(place, "its type")
        values, allowed = _values(subject), _values(target)
        if allowed is not None and (values is None or not values <= allowed):
            yield self._break(place, "its list of values")
        for keyword in ("pattern", "format"):
            if keyword in target and subject.get(keyword) != target[keyword]:
                yield self._break(place, f"its {keyword}")

    def _bounds(self, subject: Schema, target: Schema, place: str) -> Iterator[Break]:
        for keyword in _UPPER:
            if keyword in target and subject.get(keyword, float("inf")) > target[keyword]:
                yield self._break(place, f"its {keyword}")
        for keyword in _LOWER:
            if keyword in target and subject.get(keyword, float("-inf")) < target[keyword]:
                yield self._break(place, f"its {keyword}")

    def _fields(self, subject: Schema, target: Schema, place: str) -> Iterator[Break]:
        fields, known = subject.get("properties", {}), target.get("properties", {})
        for name, schema in fields.items():
            if name in known:
                yield from self.between(schema, known[name], f"{place}.{name}")
            elif not self._widening and (known or fields):
                yield Break(f"{place}.{name}", "was removed")
        for name in sorted(set(target.get("required", ())) - set(subject.get("required", ()))):
            yield Break(f"{place}.{name}", "need no longer be there" if self._widening else "became required")

    def _contents(self, subject: Schema, target: Schema, place: str) -> Iterator[Break]:
        for keyword, inside in (("items", "[]"), ("additionalProperties", ".*")):
            has, wants = subject.get(keyword, True), target.get(keyword, True)
            if wants is True or (has is False and keyword == "additionalProperties"):
                continue
            if wants is False:
                yield self._break(place, "what else may be in it")
            else:
                yield from self.between({} if has is True else has, wants, place + inside)

    def _break(self, place: str, what: str) -> Break:
        return Break(place, f"{what} was {'widened' if self._widening else 'narrowed'}")


def _resolved(schema: Schema, root: Schema) -> Schema:
    while "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    return schema


def _alternatives(schema: Schema) -> Sequence[Schema]:
    found: Sequence[Schema] = schema.get("anyOf") or schema.get("oneOf") or (schema,)
    return found


def _types(schema: Schema) -> frozenset[str]:
    everything = {"object", "array", "string", "number", "integer", "boolean", "null"}
    named = schema.get("type")
    types = everything if named is None else {named} if isinstance(named, str) else set(named)
    return frozenset(types | {"integer"}) if "number" in types else frozenset(types)


def _values(schema: Schema) -> frozenset[str] | None:
    if "const" in schema:
        return frozenset({json.dumps(schema["const"])})
    return frozenset(json.dumps(value) for value in schema["enum"]) if "enum" in schema else None


def faults(baseline: Path, golden: Path) -> list[str]:
    """All that the models break of the baseline's schemas, and every golden file that was edited or is missing."""
    current = schemas()
    found = []
    for path in sorted(baseline.glob("*.json")):
        name = path.stem
        if name not in current:
            found.append(f"{name}: was removed")
            continue
        old = json.loads(path.read_text(encoding="utf-8"))
        found += [f"{name}: {each}" for each in breaks(old, current[name], written_by_others=name in INPUTS)]
    return found + edited(golden)


def edited(golden: Path) -> list[str]:
    """Every golden file whose bytes are not those that SHA256SUMS has, or that it does not have."""
    found = []
    recorded: dict[str, str] = {}
    for line in (golden / "SHA256SUMS").read_text(encoding="utf-8").splitlines():
        digest, name = line.split("  ", 1)
        recorded[name] = digest
    present = {path.name: path for path in golden.glob("*.json")}
    for name in sorted(recorded.keys() | present.keys()):
        if name not in present:
            found.append(f"{name}: the golden file was removed")
        elif name not in recorded:
            found.append(f"{name}: the golden file is not in SHA256SUMS")
        elif hashlib.sha256(present[name].read_bytes()).hexdigest() != recorded[name]:
            found.append(f"{name}: the golden file was edited")
    return found


def accept(baseline: Path, golden: Path) -> None:
    """Take what is new (never what breaks) into the baseline, and new golden files into SHA256SUMS."""
    baseline.mkdir(exist_ok=True)
    for name, schema in schemas().items():
        text = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        (baseline / f"{name}.json").write_text(text, encoding="utf-8")
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in sorted(golden.glob("*.json"))]
    (golden / "SHA256SUMS").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m sluice_contracts.compatibility`: 0 where nothing is broken, else 1 and what is."""
    home = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(prog="python -m sluice_contracts.compatibility", description=main.__doc__)
    parser.add_argument("--accept", action="store_true", help="take what is new and breaks nothing into the baseline")
    options = parser.parse_args(arguments)
    baseline, golden = home / "baseline", home / "golden"
    found = [fault for fault in faults(baseline, golden) if not (options.accept and fault.endswith("SHA256SUMS"))]
    for fault in found:
        sys.stderr.write(f"{fault}\n")
    if options.accept and not found:
        accept(baseline, golden)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
