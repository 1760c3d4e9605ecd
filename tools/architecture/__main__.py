"""Check the rules of the architecture: every breach is one sentence that names its file."""

import argparse
import os
import sys
from pathlib import Path

from importlinter.cli import lint_imports

from tools.architecture.rules import breaches


def main() -> int:
    """0 where all rules hold."""
    arguments = argparse.ArgumentParser(prog="make arch", description=__doc__)
    arguments.add_argument("--root", type=Path, default=Path(), help="the checkout to look at")
    root = arguments.parse_args().root.resolve()

    faults = breaches(root)
    for fault in faults:
        print(fault)
    # The packages of the checkout that is looked at, whichever is installed.
    sys.path[:0] = [str(path) for path in sorted([*root.glob("libs/*/src"), *root.glob("services/*/src")])]
    os.chdir(root)
    imports = lint_imports(config_filename=".importlinter", no_logo=True)
    if faults:
        print(f"{len(faults)} {'breach' if len(faults) == 1 else 'breaches'} of the architecture, named above.")
    return 1 if faults or imports else 0


if __name__ == "__main__":
    sys.exit(main())
