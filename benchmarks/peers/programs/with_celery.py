"""Celery: the application that its workers load, and a program: `fill`, or `lead` with the numbers of jobs and workers.

Workers are started on a queue that is empty; the leader tells them to consume the full one, and says when all is done.
"""

import json
import os
import sys
import time
from datetime import UTC, datetime

from celery import Celery
from garbage import seldom

SOCKET = os.environ["PEER_SOCKET"]
FULL = "messages"
DUE = datetime(2026, 1, 1, tzinfo=UTC)
POLL_SECONDS = 0.05

app = Celery(
    "bench", broker=f"redis+socket://{SOCKET}?virtual_host=0", backend=f"redis+socket://{SOCKET}?virtual_host=1"
)
app.conf.update(
    task_acks_late=True,
    worker_prefetch_multiplier=128,
    worker_disable_rate_limits=True,
    worker_send_task_events=False,
    broker_transport_options={"visibility_timeout": 3_600},
    broker_connection_retry_on_startup=True,
)


seldom()


@app.task(name="send")
def send(message: dict[str, object]) -> None:
    pass


def fill() -> None:
    """Without waiting for the disk, since filling is not measured."""
    with app.producer_pool.acquire() as producer:
        server = producer.connection.default_channel.client
        durable = server.config_get("appendfsync")
        server.config_set("appendfsync", "no")
        for line in sys.stdin.buffer:
            send.apply_async((json.loads(line),), eta=DUE, queue=FULL, producer=producer)
        server.config_set("appendfsync", durable["appendfsync"])


def lead(jobs: int, workers: int) -> None:
    while len(app.control.ping(timeout=1.0)) < workers:
        pass
    results = app.backend.client
    print("ready", flush=True)
    sys.stdin.readline()
    app.control.add_consumer(FULL)
    with app.connection_for_read() as connection:
        broker = connection.default_channel.client
        # Finished is what has its result and is acknowledged.
        while results.dbsize() < jobs or broker.hlen("unacked"):
            time.sleep(POLL_SECONDS)
    print("done", flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "fill":
        fill()
    else:
        lead(int(sys.argv[2]), int(sys.argv[3]))
