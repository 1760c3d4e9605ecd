"""What a sequence means: pure functions over plain data, the same in every service, in the simulation and in tests."""
