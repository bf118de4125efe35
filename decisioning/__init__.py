"""The decision engine: pure functions over data, without I/O, that choose what to do next for a customer."""
