"""Parquet files, with plain types in place of those that only say how values are stored."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from features.importing.tables.row_numbers import Batch, RowNumbers

_ROWS: Final = 10_000
"""Rows of a Parquet file that are read at a time."""


class ParquetRows:
    """A Parquet file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with pq.ParquetFile(path) as file:
            self._schema, self._total = file.schema_arrow, file.metadata.num_rows

    @property
    def numbers(self) -> RowNumbers:
        """The rows, counted from 1."""
        return RowNumbers(1)

    def header(self) -> list[str]:
        """Return the names of the columns."""
        return list(self._schema.names)

    def sample(self) -> pa.RecordBatch:
        """Return the first rows."""
        return next((batch for batch, _, _ in self.batches(self.numbers)), _batch(self._schema.empty_table()))

    def batches(self, _: RowNumbers) -> Iterator[Batch]:
        """Yield batches, each with the rows up to its end, and all rows of the file."""
        done = 0
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(_ROWS):
                done += batch.num_rows
                yield _batch(batch), done, self._total


def _batch(batch: pa.RecordBatch | pa.Table) -> pa.RecordBatch:
    columns = [_plain(column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column) for column in batch]
    return pa.RecordBatch.from_arrays(columns, batch.schema.names)


def _plain(cells: pa.Array) -> pa.Array:
    """Return a column in the type of its values, without dictionary, view, extension or half precision."""
    type_ = cells.type
    if isinstance(type_, pa.BaseExtensionType):
        return _plain(cells.storage)
    if pa.types.is_dictionary(type_):
        return _plain(cells.dictionary_decode())
    if pa.types.is_string_view(type_) or pa.types.is_large_string(type_):
        return cells.cast(pa.string())
    return cells.cast(pa.float32()) if pa.types.is_float16(type_) else cells
