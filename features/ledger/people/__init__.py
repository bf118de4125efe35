"""Handovers in the ledger: their rows, and those that decisions open."""
