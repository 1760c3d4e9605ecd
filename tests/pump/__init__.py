"""The three services' code on real Postgres in one process, moved one step at a time; whoever drives chooses each step.

A record travels as it does between processes, but through lists instead of Kafka: what a service has said stands in its
outbox, a relay takes it from there in order, lane by lane, into the partitions of its topic, and each reader of a
partition goes on at its own pace. So every order among topics that Kafka allows can be had on purpose, and a relay or
a process may be killed at any point. Kafka itself, and locks between transactions that run at the same time, are under
test elsewhere (`libs/messaging/tests`, `tests/e2e`, `tests/races`): here one transaction runs at a time.
"""
