"""What runs besides the readers."""
