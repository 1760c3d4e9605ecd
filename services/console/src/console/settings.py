"""What the console can be told, all as `SLUICE_…` in the environment."""
