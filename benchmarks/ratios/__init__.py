"""The figures: one module per pair of things that are measured in turns."""
