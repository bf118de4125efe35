"""The log of decisions as Parquet: what was served, with what probability, and what came of it; kept incrementally.

`parsing` makes rows and events of the ledger's records, `log` keeps them in weekly files, and `labels` says in one SQL
statement who was reached, with what label, stage, weight, value and complaint.
"""
