"""How the database of a ledger is connected to, and what of it can be read."""
