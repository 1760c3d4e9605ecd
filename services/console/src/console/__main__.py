"""`python -m console run | migrate`."""
