"""The senders: they claim what is due, send it, and book what became of it. Operators add and remove them at will."""
