"""What delivery does by itself: receipts, expired leases, planning, books, erasure, upkeep."""
