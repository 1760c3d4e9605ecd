"""The tables of this service. Every function takes the connection first and runs one statement."""
