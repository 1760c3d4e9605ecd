"""`python -m sluice.cli` is `sluice`."""

from sluice.program import main

main()
