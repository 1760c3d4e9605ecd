"""What enrollment decides: pure functions over plain data."""
