"""Delivery: what is due, sent, stopped, and proven so."""
