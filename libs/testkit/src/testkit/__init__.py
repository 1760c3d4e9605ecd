"""Stack fixtures, builders and fakes for the tests."""
