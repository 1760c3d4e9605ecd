"""The rules of the architecture that a tool can see: `make arch`."""
