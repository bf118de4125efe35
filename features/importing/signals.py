"""Past signals in bulk, from Parquet or JSON lines: parsed and checked by a second process, kept by this one.

Each line or row is a CloudEvent, or just the attributes id, source, type, subject, time and data. What is there
already is not counted again, so a replay can be repeated; where one stopped is noted, so that it goes on from there.
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
from features.importing.tables import MAX_SAID, is_parquet
from features.ledger import Ledger, now_us
from features.ledger.records import Names
from features.signals.event import Event
from features.signals.intake import Intake
from features.signals.log import Added, Attempt, SignalRules, foresee

ATTRIBUTES: Final = ("id", "source", "type", "subject", "time", "data")
MAX_LINE: Final = 1_000_000
_FIRST_BLOCK: Final = 2_000
_LARGEST_BLOCK: Final = 100_000
"""Rows that are sorted by subject together, so that a state moves once for many events; what a resumed replay may do
twice. Each block is four times the one before, so that writing begins soon; the largest takes some 100 MB."""
_BATCH: Final = 10_000
_AT_ONCE: Final = 1_024
"""Events of a transaction: a third of the time is the disk's at commits; requests wait 50 ms for one at most."""
_IN_FLIGHT: Final = 2
_TURN_S: Final = 0.0003
_US: Final = pa.timestamp("us", tz="UTC")


@dataclass(slots=True)
class Block:
    """What came of some rows: events sorted by subject; `rows` counts from the beginning of the file.

    `parts`: each the events of one transaction as JSON, to be made objects again shortly before they are written.
    """

    rows: int
    parts: list[bytes] = field(default_factory=list)
    refused: int = 0
    said: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class Replayed:
    """What a replay did: `rows` read, of them accepted, there already, refused, or about erased subjects.

    `problems`: of the first that were refused, the row and what is wrong with it. `resumed_at`: rows that an earlier
    run had finished.
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
) -> Replayed:
    """Keeps the signals of a file, however late they are, as long as their type is kept.

    :param notes: folder for the note of how far it came, by the hash of the file's content
    :raises Refused: the file cannot be read; what was kept before stays
    :raises Unavailable: the ledger cannot be reached; run it again to go on
    """
    began_s = time.monotonic()
    total, note = _rows_of(path), notes / f"{_hash_of(path)}.rows"
    done = Replayed(resumed_at=_noted(note))
    done.rows = done.resumed_at
    terms = SignalRules(Release.from_bytes(release_bytes))
    with _taking_turns(), _parser(path, release_bytes, ledger.names, done.rows) as blocks:
        for block in blocks:
            for rows in _kept(ledger, terms, block, done):
                if progress:
                    progress(rows, max(total, rows), "signals")
            _note(note, block.rows)
    note.unlink(missing_ok=True)
    done.seconds = round(time.monotonic() - began_s, 3)
    return done


@contextmanager
def _taking_turns() -> Iterator[None]:
    """SQLite lets go of the interpreter for every row that the writer thread gives it; with Python's usual 5 ms to get
    it back, making parts ready beside it would take longer than one after the other."""
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(_TURN_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before_s)


def _kept(ledger: Ledger, terms: SignalRules, block: Block, done: Replayed) -> Iterator[int]:
    """How many rows are done after each part; one is written while the next is made ready."""
    first, flying = done.rows, deque[Future[Added]]()
    for n, part in enumerate(block.parts):
        if len(flying) == _IN_FLIGHT:
            _count(flying.popleft().result(), done)
            yield first + (block.rows - first) * n // len(block.parts)
        events = [Event(*packed) for packed in from_json(part)]
        flying.append(ledger.transact(Attempt(events, terms, foresee(ledger.select, events, terms))))
    while flying:
        _count(flying.popleft().result(), done)
    done.rows = block.rows
    done.refused += block.refused
    done.problems += block.said[: MAX_SAID - len(done.problems)]
    yield block.rows


def _count(added: Added, done: Replayed) -> None:
    counts = Counter(result.status for result in added.results)
    done.accepted += counts["accepted"]
    done.duplicate += counts["duplicate"]
    done.erased += counts["erased"]


class _parser:  # noqa: N801  a context manager, used as a function
    """A second process that reads and checks the file; gives its blocks."""

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
    """The second process."""
    gc.set_threshold(100_000, 50, 50)  # a block is hundreds of thousands of objects, none of them garbage
    with suppress(BrokenPipeError, KeyboardInterrupt):  # who asked has gone
        try:
            intake = Intake(Release.from_bytes(release_bytes), names, history=True)
            for block in blocks(path, intake, skip):
                sending.send(block)
            sending.send(None)
        except BrainError as error:
            sending.send(str(error))


def blocks(path: Path, intake: Intake, skip: int) -> Iterator[Block]:
    """The rows of a file after the first `skip`, checked; raises Refused."""
    rows = _parquet_rows(path, skip) if is_parquet(path) else _json_rows(path, skip)
    at, size = skip, _FIRST_BLOCK
    while (block := _checked(islice(rows, size), at, intake)).rows > at:
        yield block
        at, size = block.rows, min(4 * size, _LARGEST_BLOCK)


def _checked(rows: Iterable[Any], at: int, intake: Intake) -> Block:
    block, events, at_us = Block(at), list[Event](), now_us()
    for row in rows:
        block.rows += 1
        try:
            events.append(_event(row, intake, at_us))
        except RequestError as error:
            block.refused += 1
            if len(block.said) < MAX_SAID:
                block.said.append({"row": block.rows, "problem": str(error)})
    events.sort(key=attrgetter("stream"))
    packed = [(e.key, e.stream, e.type, e.occurred_us, e.recorded_us, e.fields) for e in events]
    block.parts = [to_json(packed[at : at + _AT_ONCE]) for at in range(0, len(packed), _AT_ONCE)]
    return block


def _event(row: object, intake: Intake, at_us: int) -> Event:
    """Of a row with `specversion`, as of any CloudEvent; else of its attributes. A past signal needs its time."""
    if not isinstance(row, Mapping):
        raise RequestError("event", "must be a JSON object")
    if row.get("time") is None:
        raise RequestError("time", "is missing")
    if "specversion" in row:
        return intake.event(row, at_us)
    id_, source, type_, subject, time, data = map(row.get, ATTRIBUTES)
    return intake.of_parts(id_, source, type_, subject, time, _from_text(data), at_us)


def _from_text(data: object) -> object:
    """Of a table, data is often JSON in a column of text."""
    if not isinstance(data, str):
        return data
    try:
        return from_json(data)
    except ValueError:
        raise RequestError("data", "is not JSON") from None


def _json_rows(path: Path, skip: int) -> Iterator[Any]:
    """What cannot be read is refused with its row, like anything else that is wrong with it."""
    with _opened(path) as file:
        for line in islice(file, skip, None):
            try:
                yield from_json(line) if len(line) <= MAX_LINE else None
            except ValueError:
                yield None


def _parquet_rows(path: Path, skip: int) -> Iterator[dict[str, Any]]:
    """Times as int microseconds; nulls in a struct of data are fields that were not given."""
    file = _parquet(path)
    columns = [name for name in (*ATTRIBUTES, "specversion") if name in file.schema_arrow.names]
    for batch in file.iter_batches(_BATCH, columns=columns):
        if skip >= batch.num_rows:
            skip -= batch.num_rows
            continue
        table = pa.table(batch.slice(skip)) if skip else pa.table(batch)
        skip = 0
        for row in _in_microseconds(table).to_pylist():
            yield row | {"data": _given(row.get("data"))}


def _given(data: Any) -> Any:
    """A struct has the fields of every type in the file."""
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


def _opened(path: Path) -> Any:
    try:
        return path.open("rb")
    except OSError as error:
        raise Refused(f"{path.name} cannot be read: {error.strerror}") from error


def _rows_of(path: Path) -> int:
    if is_parquet(path):
        return int(_parquet(path).metadata.num_rows)
    with _opened(path) as file:
        return sum(part.count(b"\n") for part in iter(partial(file.read, 1 << 20), b""))


def _hash_of(path: Path) -> str:
    with _opened(path) as file:
        return file_digest(file, "sha256").hexdigest()[:32]


def _noted(note: Path) -> int:
    try:
        return int(note.read_text())
    except (OSError, ValueError):
        return 0


def _note(note: Path, rows: int) -> None:
    note.parent.mkdir(parents=True, exist_ok=True)
    replace_file(note, lambda half: half.write_text(str(rows)))
