"""The Python SDK and the command line of Sluice."""
