"""Every case of what the words mean, on real Kafka and Postgres: what was expected, and what was seen."""
