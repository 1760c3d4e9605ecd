"""The rules of delivery: pure, without I/O, clocks or ids."""
