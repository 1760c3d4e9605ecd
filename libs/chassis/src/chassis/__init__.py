"""What every service stands on: settings, clock, logging, pool, health, drain, migrations."""
