"""What to do next for a customer: pure functions over data, no I/O."""
