"""Opens tables as people have them: recognises how a file is written, or says what a person has to state."""

from features.importing.opening.stated import Stated
from features.importing.opening.table import OpenedTable, open_table

__all__ = ["OpenedTable", "Stated", "open_table"]
