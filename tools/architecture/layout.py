"""The same tree in every service, and nothing in it that has no name for what it owns."""

import configparser
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tools.architecture.source import Checkout, Fault

LAYERS: Final = {
    "__init__": "what the service is, in one sentence",
    "__main__": "the command line of its processes",
    "app": "the composition root",
    "settings": "its settings",
    "routes": "which message goes to which handler",
    "loops": "what runs besides the consumers",
    "handlers": "load, decide, save, emit",
    "store": "its SQL",
    "domain": "its pure rules",
}
PACKAGES: Final = frozenset({"handlers", "store", "domain"})
EXTRA: Final = {"delivery": {"channels": "the ways out"}, "console": {"api": "what is answered over HTTP"}}
BESIDE: Final = ("README.md", "pyproject.toml", "migrations", "src", "tests/unit", "tests/component")

NAMELESS: Final = frozenset({"util", "utils", "common", "helper", "helpers", "manager", "managers", "misc", "shared"})
IGNORED: Final = frozenset({"__pycache__", "py.typed"})


def check_service_trees(checkout: Checkout) -> Iterator[Fault]:
    """Each service has exactly the layers that all have, and the files beside them."""
    for service in checkout.services:
        yield from _beside(checkout.root, service)
        yield from _layers(checkout.root, service)


def _beside(root: Path, service: str) -> Iterator[Fault]:
    home = root / "services" / service
    for name in BESIDE:
        if not (home / name).exists():
            yield Fault(f"services/{service}/{name}", 0, "is missing; every service has it")
    for entry in sorted((home / "src").iterdir()) if (home / "src").is_dir() else ():
        if entry.name not in {service, *IGNORED} and not entry.name.endswith(".egg-info"):
            yield Fault(f"services/{service}/src/{entry.name}", 0, f"is stray: src holds the package {service} alone")


def _layers(root: Path, service: str) -> Iterator[Fault]:
    package = root / "services" / service / "src" / service
    wanted = LAYERS | EXTRA.get(service, {})
    for name, purpose in wanted.items():
        module, folder = package / f"{name}.py", package / name
        must_be_folder = name in PACKAGES or name in EXTRA.get(service, {})
        if (module.is_file() and not must_be_folder) or (folder / "__init__.py").is_file():
            continue
        shape = f"{name}/__init__.py" if must_be_folder else f"{name}.py"
        path = f"services/{service}/src/{service}/{shape}"
        yield Fault(path, 0, f"is missing: every service has the layer {name} ({purpose})")
    for entry in sorted(package.iterdir()):
        if entry.name in IGNORED or entry.name.startswith("."):
            continue
        if entry.name.removesuffix(".py") not in wanted:
            path = f"services/{service}/src/{service}/{entry.name}"
            layers = ", ".join(name for name in wanted if not name.startswith("__"))
            yield Fault(path, 0, f"is stray: it belongs into one of the layers {layers}")


def check_module_names(checkout: Checkout) -> Iterator[Fault]:
    """A module is named by the noun that it owns."""
    for source in checkout.sources:
        parts = {*source.file.relative_to(checkout.root).parts[4:-1], source.file.stem}
        for name in sorted(parts & NAMELESS):
            yield source.fault(0, f"a module is named by what it owns, and {name!r} owns nothing")


def check_workspace(checkout: Checkout) -> Iterator[Fault]:
    """Every package is installed for development, and every service has its layers checked."""
    root = checkout.root
    workspace = tomllib.loads((root / "pyproject.toml").read_text())
    installed = set(workspace["tool"]["hatch"]["build"]["dev-mode-dirs"])
    for package in sorted([*root.glob("libs/*/pyproject.toml"), *root.glob("services/*/pyproject.toml")]):
        source = (package.parent / "src").relative_to(root).as_posix()
        if source not in installed:
            yield Fault("pyproject.toml", 0, f"does not install {source}: add it to dev-mode-dirs")
    contracts = configparser.ConfigParser()
    contracts.read(root / ".importlinter")
    layered = {
        name
        for section in contracts.sections()
        if contracts.get(section, "type", fallback="") == "layers"
        and contracts.getboolean(section, "exhaustive", fallback=False)
        for name in contracts.get(section, "containers", fallback="").split()
    }
    for service in checkout.services:
        if service not in layered:
            yield Fault(".importlinter", 0, f"has no exhaustive layers for services/{service}")
