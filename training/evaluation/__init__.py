"""What a policy would have earned, read from the log of another one; and how well a model ranks and calibrates."""
