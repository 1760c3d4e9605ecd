"""Load, decide, save, emit: one function per message."""
