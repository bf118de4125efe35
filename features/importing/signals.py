"""Imports past signals in bulk, from Parquet or JSON lines; a second process parses and checks, this one writes.

Each line or row is a CloudEvent, or just the attributes id, source, type, subject, time and data. Events that are in
the log already are not counted again, so an import can be repeated; an import that stopped resumes where it stopped.
"""

import gc
import multiprocessing
import sys
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from hashlib import file_digest
from itertools import islice
from multiprocessing.connection import Connection
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic_core import from_json, to_json

from decisioning.catalogue.release import Release
from decisioning.errors import BrainError, Refused, RequestError, Unavailable
from features.files import replace_file
from features.importing.plan import Progress
from features.importing.tables import MAX_LISTED, is_parquet
from features.ledger import Ledger, now_us
from features.ledger.records import Names
from features.signals.event import Event
from features.signals.intake import Intake
from features.signals.log import AddEvents, AddResult, SignalRules, predict_states

ATTRIBUTES: Final = ("id", "source", "type", "subject", "time", "data")
MAX_LINE: Final = 1_000_000
_FIRST_BLOCK: Final = 2_000
_LARGEST_BLOCK: Final = 100_000
"""Rows of a block. They are sorted by subject, so that a state is updated once for many events; a resumed import may
repeat at most one block. Each block is four times the one before, so that writing begins soon; the largest takes about
100 MB."""
_BATCH: Final = 10_000
"""Rows that are read from Parquet at a time."""
_EVENTS_PER_TRANSACTION: Final = 1_024
"""A third of the time goes to the disk at commits; requests wait for a transaction for 50 ms at most."""
_IN_FLIGHT: Final = 2
"""Transactions that may be unfinished at a time."""
_SWITCH_INTERVAL_S: Final = 0.0003
_US: Final = pa.timestamp("us", tz="UTC")


@dataclass(slots=True)
class Block:
    """Some rows of a file as events, sorted by subject; `rows` is the number of rows up to the end of the block.

    `parts`: the events of one transaction each, as JSON, which becomes objects again shortly before it is written.
    `problems`: row and problem of the first refused rows.
    """

    rows: int
    parts: list[bytes] = field(default_factory=list)
    refused: int = 0
    problems: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class ReplayResult:
    """What an import of signals did: `rows` read, and how many events were accepted, duplicates, erased or refused.

    `erased`: about erased subjects. `problems`: row and problem of the first refused rows. `resumed_at`: rows that an
    earlier run had finished.
    """

    rows: int = 0
    accepted: int = 0
    duplicate: int = 0
    erased: int = 0
    refused: int = 0
    resumed_at: int = 0
    seconds: float = 0.0
    problems: list[dict[str, Any]] = field(default_factory=list)


def import_signals(
    path: Path, release_bytes: bytes, ledger: Ledger, notes: Path, progress: Progress | None = None
) -> ReplayResult:
    """Write the signals of a file, however late they are, if their type is still retained at their age.

    :param notes: folder for a note of the rows finished, named by the hash of the file's content
    :raises Refused: the file cannot be read; events written before stay
    :raises Unavailable: the ledger cannot be reached; run it again to resume
    """
    started_s = time.monotonic()
    total, note = _rows_of(path), notes / f"{_hash_of(path)}.rows"
    result = ReplayResult(resumed_at=_read_note(note))
    result.rows = result.resumed_at
    rules = SignalRules(Release.from_bytes(release_bytes))
    with _short_switch_interval(), _ParserProcess(path, release_bytes, ledger.names, result.rows) as blocks:
        for block in blocks:
            for rows in _write_block(ledger, rules, block, result):
                if progress:
                    progress(rows, max(total, rows), "signals")
            _write_note(note, block.rows)
    note.unlink(missing_ok=True)
    result.seconds = round(time.monotonic() - started_s, 3)
    return result


@contextmanager
def _short_switch_interval() -> Iterator[None]:
    """Let threads alternate more often than every 5 ms, Python's default.

    SQLite releases the interpreter lock for each row that the writer thread gives it. If it had to wait 5 ms each time,
    preparing the next part meanwhile would take longer than doing both in turn.
    """
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before_s)


def _write_block(ledger: Ledger, rules: SignalRules, block: Block, result: ReplayResult) -> Iterator[int]:
    """Write a block and add to `result`; yield the number of finished rows after each part.

    The next part is prepared while one is being written.
    """
    first, pending = result.rows, deque[Future[AddResult]]()
    for n, part in enumerate(block.parts):
        if len(pending) == _IN_FLIGHT:
            _count(pending.popleft().result(), result)
            yield first + (block.rows - first) * n // len(block.parts)
        events = [Event(*packed) for packed in from_json(part)]
        pending.append(ledger.transact(AddEvents(events, rules, predict_states(ledger.select, events, rules))))
    while pending:
        _count(pending.popleft().result(), result)
    result.rows = block.rows
    result.refused += block.refused
    result.problems += block.problems[: MAX_LISTED - len(result.problems)]
    yield block.rows


def _count(added: AddResult, result: ReplayResult) -> None:
    counts = Counter(event.status for event in added.results)
    result.accepted += counts["accepted"]
    result.duplicate += counts["duplicate"]
    result.erased += counts["erased"]


class _ParserProcess:
    """A context manager that yields the file's blocks, read and checked by a second process."""

    def __init__(self, path: Path, release_bytes: bytes, names: Names, skip: int) -> None:
        spawning = multiprocessing.get_context("spawn")  # this process has threads
        self._receiving, sending = spawning.Pipe(duplex=False)
        self._process = spawning.Process(
            target=_parse, args=(sending, path, release_bytes, names, skip), name="signals-parser", daemon=True
        )
        self._process.start()
        sending.close()

    def __enter__(self) -> Iterator[Block]:
        return self._blocks()

    def __exit__(self, *exc: object) -> None:
        self._receiving.close()
        self._process.terminate()
        self._process.join()

    def _blocks(self) -> Iterator[Block]:
        while True:
            try:
                message = self._receiving.recv()
            except EOFError:
                raise Unavailable("the process that reads the file ended early; run it again to go on") from None
            if isinstance(message, str):
                raise Refused(message)
            if message is None:
                return
            yield message


def _parse(sending: Connection, path: Path, release_bytes: bytes, names: Names, skip: int) -> None:
    """Run in the second process: send blocks, then None, or the text of an error."""
    gc.set_threshold(100_000, 50, 50)  # a block is hundreds of thousands of objects, none of them garbage
    with suppress(BrokenPipeError, KeyboardInterrupt):  # the first process has ended
        try:
            intake = Intake(Release.from_bytes(release_bytes), names, history=True)
            for block in blocks(path, intake, skip):
                sending.send(block)
            sending.send(None)
        except BrainError as error:
            sending.send(str(error))


def blocks(path: Path, intake: Intake, skip: int) -> Iterator[Block]:
    """Yield the rows of a file after the first `skip`, as checked blocks. Raises Refused for an unreadable file."""
    rows = _parquet_rows(path, skip) if is_parquet(path) else _json_rows(path, skip)
    finished, size = skip, _FIRST_BLOCK
    while (block := _block(islice(rows, size), finished, intake)).rows > finished:
        yield block
        finished, size = block.rows, min(4 * size, _LARGEST_BLOCK)


def _block(rows: Iterable[Any], first: int, intake: Intake) -> Block:
    """Return the checked block of `rows`, of which `first` is the number of rows before them in the file."""
    block, events, recorded_us = Block(first), list[Event](), now_us()
    for row in rows:
        block.rows += 1
        try:
            events.append(_event(row, intake, recorded_us))
        except RequestError as error:
            block.refused += 1
            if len(block.problems) < MAX_LISTED:
                block.problems.append({"row": block.rows, "problem": str(error)})
    events.sort(key=attrgetter("stream"))
    packed = [(e.key, e.stream, e.type, e.occurred_us, e.recorded_us, e.fields) for e in events]
    starts = range(0, len(packed), _EVENTS_PER_TRANSACTION)
    block.parts = [to_json(packed[start : start + _EVENTS_PER_TRANSACTION]) for start in starts]
    return block


def _event(row: object, intake: Intake, recorded_us: int) -> Event:
    """Return the event of a row: a CloudEvent if it has `specversion`, else the attributes of one.

    Raises RequestError for a row that is no event, or has no time, which a past signal needs.
    """
    if not isinstance(row, Mapping):
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
        return from_json(data)
    except ValueError:
        raise RequestError("data", "is not JSON") from None


def _json_rows(path: Path, skip: int) -> Iterator[Any]:
    """Yield the rows after the first `skip`; None, which is refused with its row, for a line that is not JSON."""
    with _open(path) as file:
        for line in islice(file, skip, None):
            try:
                yield from_json(line) if len(line) <= MAX_LINE else None
            except ValueError:
                yield None


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


def _open(path: Path) -> Any:
    try:
        return path.open("rb")
    except OSError as error:
        raise Refused(f"{path.name} cannot be read: {error.strerror}") from error


def _rows_of(path: Path) -> int:
    if is_parquet(path):
        return int(_parquet(path).metadata.num_rows)
    with _open(path) as file:
        return sum(part.count(b"\n") for part in iter(partial(file.read, 1 << 20), b""))


def _hash_of(path: Path) -> str:
    with _open(path) as file:
        return file_digest(file, "sha256").hexdigest()[:32]


def _read_note(note: Path) -> int:
    try:
        return int(note.read_text())
    except (OSError, ValueError):
        return 0


def _write_note(note: Path, rows: int) -> None:
    note.parent.mkdir(parents=True, exist_ok=True)
    replace_file(note, lambda half: half.write_text(str(rows)))
