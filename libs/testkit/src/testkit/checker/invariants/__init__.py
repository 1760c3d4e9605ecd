"""One module per promise or two; each function yields what broke it."""
