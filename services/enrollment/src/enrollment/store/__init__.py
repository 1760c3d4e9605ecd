"""Enrollment's rows. Every function takes the connection first and runs one statement."""
