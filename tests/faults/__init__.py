"""Faults: the whole of Sluice under load while one thing after another breaks, and a checker of what came of it."""
