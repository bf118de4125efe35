"""What the brain knows and remembers: profile and signals through Feast, the ledger through SQL."""
