"""Who would get what and when: the rules of the services on a virtual clock, without Kafka and without a service."""
