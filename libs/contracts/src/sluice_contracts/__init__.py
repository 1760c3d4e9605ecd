"""The wire contract of Sluice: every message, as pydantic models.

One module per part: `base` (what messages share), `topics`, `envelope` (CloudEvents), `sequences`, `contacts`,
`enrollment`, `delivery`, `erasure`, `answers`, `definition` (what a sequence is made of), `registry` (all of them).
"""
