"""What every service stands on: settings, clock, logging, pool, migrations, health, drain, exit codes."""
