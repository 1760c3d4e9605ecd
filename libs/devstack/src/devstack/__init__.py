"""Real Kafka and Postgres from pip alone, the services beside them, and the sink."""
