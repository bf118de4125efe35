"""Sales by voice, in steps."""
