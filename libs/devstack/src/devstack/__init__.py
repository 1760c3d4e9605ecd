"""Real Kafka and Postgres from pip alone, and the sink."""
