"""The ledger records of an import: entries for what its files say, and corrections of what earlier files said."""

from features.importing.records.corrections import corrections
from features.importing.records.entries import Entries

__all__ = ["Entries", "corrections"]
