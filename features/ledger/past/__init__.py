"""The contacts and outcomes of streams: what records change in them, where they are kept, and what decisions read."""
