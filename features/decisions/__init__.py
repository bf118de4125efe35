"""The log of decisions as Parquet: what was served, with what probability, and what came of it; kept incrementally."""
