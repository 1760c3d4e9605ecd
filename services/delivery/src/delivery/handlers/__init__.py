"""What delivery does about each message: load, decide, save, say."""
