"""The tables of delivery: one statement per function, the connection first."""
