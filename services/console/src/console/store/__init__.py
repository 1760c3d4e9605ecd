"""The tables of the console: one statement per function, the connection first."""
