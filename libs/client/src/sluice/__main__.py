"""`python -m sluice`, the same as `sluice`."""

from sluice.program import main

if __name__ == "__main__":
    main()
