"""Reads the cells of a company's files as typed values; reports faults by file, row and column, never by value."""

from features.importing.tables.faults import MAX_LISTED, Faults, rows_of
from features.importing.tables.sheets import ColumnForm, Sheet

__all__ = ["MAX_LISTED", "ColumnForm", "Faults", "Sheet", "rows_of"]
