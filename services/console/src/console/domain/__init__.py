"""What the console works out: pure functions over plain data."""
