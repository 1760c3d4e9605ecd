"""The console: what happened, to whom, and why, read from the topics alone."""
