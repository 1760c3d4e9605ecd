"""Enrollment: who is in which sequence, and who may not be."""
