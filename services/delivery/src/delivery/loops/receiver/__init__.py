"""Takes over HTTP what providers say and what recipients ask. What is not signed is refused."""

from delivery.loops.receiver.server import Receiver, ReceiverSecrets

__all__ = ["Receiver", "ReceiverSecrets"]
