"""What the console hears."""
