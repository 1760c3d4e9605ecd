"""The wire contract of Sluice: every message, as pydantic models."""
