"""The sink: one small server that plays an SMTP server, a webhook receiver and the WhatsApp Cloud API.

Every arrival is written, with the sink's own clock, to an append-only file of JSON lines before it is answered. The
sink honours idempotency keys where told to, and can be told to fail. Run it with `python -m devstack.sink`.
"""

from devstack.sink.book import Arrival, Book
from devstack.sink.server import Sink, SinkSettings

__all__ = ["Arrival", "Book", "Sink", "SinkSettings"]
