"""Removals, pauses and suspensions against real senders that claim and send at the same time, on real Postgres."""
