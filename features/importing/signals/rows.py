"""The rows of a file of past signals, Parquet or JSON lines (packed by gzip or zip, or not), as events."""

from codecs import BOM_UTF8
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import file_digest
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from decisioning.errors import Refused, RequestError
from decisioning.strict_json import read_json
from features.importing.opening import Stated
from features.importing.opening.packed import container, open_unpacked
from features.importing.opening.table import refusing
from features.signals.event import Event
from features.signals.intake import Intake

ATTRIBUTES: Final = ("id", "source", "type", "subject", "time", "data")
MAX_LINE: Final = 1_000_000
_BATCH: Final = 10_000
"""Rows that are read from Parquet at a time."""
_US: Final = pa.timestamp("us", tz="UTC")


def rows_after(path: Path, skip: int) -> Iterator[Any]:
    """Yield what the rows of a file after the first `skip` hold, for `event`. Raises Refused if it cannot be read."""
    return _parquet_rows(path, skip) if _is_parquet(path) else _json_rows(path, skip)


def _is_parquet(path: Path) -> bool:
    with refusing(path):
        return container(path, Stated())[0] == "parquet"


def event(row: object, intake: Intake, recorded_us: int) -> Event:
    """Return the event of a row: a CloudEvent if it has `specversion`, else the attributes of one.

    Raises RequestError for a row that is no event, or has no time, which a past signal needs.
    """
    if isinstance(row, RequestError):
        raise row
    if not isinstance(row, dict):
        raise RequestError("event", "must be a JSON object")
    if row.get("time") is None:
        raise RequestError("time", "is missing")
    if "specversion" in row:
        return intake.event(row, recorded_us)
    id_, source, type_, subject, time, data = map(row.get, ATTRIBUTES)
    return intake.of_parts(id_, source, type_, subject, time, _parsed_data(data), recorded_us)


def _parsed_data(data: object) -> object:
    """Return `data`, parsed if it is text: in a table it is often JSON in a column of text."""
    if not isinstance(data, str):
        return data
    try:
        return read_json(data)
    except ValueError:
        raise RequestError("data", "is not JSON") from None


def _json_rows(path: Path, skip: int) -> Iterator[Any]:
    """Yield the rows after the first `skip`; what `event` refuses with its row for a line that is not JSON."""
    with _unpacked(path) as file:
        for number, line in enumerate(islice(file, skip, None), skip):
            try:
                text = line if number else line.removeprefix(BOM_UTF8)
                yield read_json(text) if len(line) <= MAX_LINE else None
            except ValueError:
                yield None
            except RequestError as repeated_key:
                yield repeated_key


def _parquet_rows(path: Path, skip: int) -> Iterator[dict[str, Any]]:
    """Yield the rows after the first `skip`, with times as int microseconds and data without null fields."""
    file = _parquet(path)
    columns = [name for name in (*ATTRIBUTES, "specversion") if name in file.schema_arrow.names]
    for batch in file.iter_batches(_BATCH, columns=columns):
        if skip >= batch.num_rows:
            skip -= batch.num_rows
            continue
        table = pa.table(batch.slice(skip)) if skip else pa.table(batch)
        skip = 0
        for row in _in_microseconds(table).to_pylist():
            yield row | {"data": _without_nulls(row.get("data"))}


def _without_nulls(data: Any) -> Any:
    """Return a struct without its null fields, since its type has the fields of every signal type in the file."""
    return {name: value for name, value in data.items() if value is not None} if isinstance(data, dict) else data


def _in_microseconds(table: pa.Table) -> pa.Table:
    at = table.schema.get_field_index("time")
    if at < 0 or not pa.types.is_timestamp(table.schema.field(at).type):
        return table
    column = table.column(at)
    if column.type.tz is None:
        raise Refused("the column `time` has times without a time zone: write them in UTC")
    return table.set_column(at, "time", column.cast(_US, safe=False).cast(pa.int64()))


def _parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise Refused(f"{path.name} cannot be read as Parquet") from error


@contextmanager
def _unpacked(path: Path) -> Iterator[BufferedReader]:
    """Yield the file's unpacked bytes; raises Refused if it is a workbook, or damaged."""
    with refusing(path):
        kind, compression = container(path, Stated())
        if kind is not None:
            raise Refused(f"{path.name} is a {kind}: past signals are read from Parquet or JSON lines")
        with open_unpacked(path, compression) as (file, _):
            yield file


def count_rows(path: Path) -> int:
    """Return the number of rows of a file."""
    if _is_parquet(path):
        return int(_parquet(path).metadata.num_rows)
    with _unpacked(path) as file:
        return sum(part.count(b"\n") for part in iter(partial(file.read, 1 << 20), b""))


def content_hash(path: Path) -> str:
    """Return a hash of a file's content, as 32 hex characters."""
    with refusing(path), path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()[:32]
