"""Sequence management: drafts, versions, status, receipts."""
