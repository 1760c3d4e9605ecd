"""Consume, inbox, transaction, outbox, relay, quarantine."""
