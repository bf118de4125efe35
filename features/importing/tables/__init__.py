"""Reads a company's files as Arrow columns; reports faults by file, row and column, never by value."""

from features.importing.tables.faults import MAX_LISTED, Faults, rows_of
from features.importing.tables.sheets import Sheet, is_parquet, read_parts, read_sheet

__all__ = ["MAX_LISTED", "Faults", "Sheet", "is_parquet", "read_parts", "read_sheet", "rows_of"]
