"""`make demo`: the whole life of a sequence, told on the terminal, with every promise counted."""
