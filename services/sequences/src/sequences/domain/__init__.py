"""The rules of a sequence's life: pure functions of a state, a command or receipt, and the time."""
