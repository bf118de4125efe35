"""What prepares the rows of an import of signals: it reads, checks and sorts them; a second process for long files.

The process sends one `Part` after the other and never gets more than a block ahead: the states that it reads are those
after the block before.
"""

import gc
import multiprocessing
import pickle
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from multiprocessing.connection import Connection
from operator import attrgetter
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, NamedTuple

from decisioning.catalogue.release import Release
from decisioning.errors import BrainError, Refused, RequestError, Unavailable
from features.importing.signals.rows import event, rows_after
from features.importing.tables import MAX_LISTED
from features.ledger import Ledger, now_us
from features.ledger.database import Database
from features.ledger.records import Names
from features.signals.blocks import Block, prepare
from features.signals.event import Event
from features.signals.intake import Intake
from features.signals.log import HotFetch
from features.signals.rules import SignalRules
from features.threads import watched

FIRST_ROWS: Final = 25_000
_MOST_ROWS: Final = 100_000
"""Rows that are sorted by subject together, so that a state is updated once for many events. A resumed import may
repeat at most as many. Each time they are four times as many as before, so that writing begins soon."""
_EVENTS: Final = 512
_MOST_EVENTS: Final = 4_096
"""Events of a part. It ends where a subject's events end, unless one subject has more than the most."""


class Finished(NamedTuple):
    """The rows of a file up to the end of a block, and how many of the block were refused.

    `problems`: row and problem of the first of them. `types`: type of signal -> rows of the block that are valid.
    """

    rows: int
    refused: int
    problems: list[dict[str, Any]]
    types: dict[str, int]


class Part(NamedTuple):
    """Events that are written together; the last part of the rows that were sorted together tells that they end."""

    block: Block
    finished: Finished | None


class ParserProcess:
    """A context manager that gives the parts of a file after the first `skip` rows, as the process prepares them.

    Those of the rows before are written meanwhile, and have to be acknowledged as one part.
    """

    def __init__(self, path: Path, release_bytes: bytes, ledger: Ledger, skip: int) -> None:
        spawning = multiprocessing.get_context("spawn")  # this process has threads
        self._pipe, theirs = spawning.Pipe()
        arguments = (theirs, path, release_bytes, ledger.names, ledger.address, skip)
        self._process = spawning.Process(target=_run, args=arguments, name="signals-parser", daemon=True)
        self._process.start()
        theirs.close()
        self._received: SimpleQueue[bytes] = SimpleQueue()

    def __enter__(self) -> "ParserProcess":
        self._receiver = watched("signals-parts", self._receive)
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.terminate()
        self._process.join()
        self._receiver.join()
        self._pipe.close()

    def waiting(self, most: int) -> list[Part]:
        """Wait for a part, and return it with those that follow already, up to about `most` events; none at the end.

        Raises what ended the process: Refused for a file that cannot be read, and Unavailable.
        """
        parts: list[Part] = []
        size = 0
        while not parts or (parts[-1].finished is None and size < most and not self._received.empty()):
            part = self._next()
            if part is None:
                break
            parts.append(part)
            size += len(part.block.rows)
        return parts

    def acknowledge(self, parts: int) -> None:
        """Tell the process that so many parts were written."""
        with suppress(BrokenPipeError):  # it has sent everything, and ended
            self._pipe.send(parts)

    def _next(self) -> Part | None:
        received = self._received.get()
        if not received:
            raise Unavailable("the process that reads the file ended early; run it again to go on")
        message: Part | BrainError | None = pickle.loads(received)  # noqa: S301 (it comes from a process of our own)
        if isinstance(message, BrainError):
            raise message
        return message

    def _receive(self) -> None:
        """Take parts out of the pipe as they come, so that the process goes on; they stay bytes until they are due."""
        with suppress(EOFError, OSError):
            while True:
                self._received.put(self._pipe.recv_bytes())
        self._received.put(b"")


def _run(pipe: Connection, path: Path, release_bytes: bytes, names: Names, address: str, skip: int) -> None:
    """Run in the second process: send parts, then None, or the error."""
    gc.set_threshold(100_000, 50, 50)  # a block is hundreds of thousands of objects, none of them garbage
    sender = _Sender(pipe)
    with suppress(BrokenPipeError, EOFError, KeyboardInterrupt):  # the first process has ended
        try:
            release, database = Release.from_bytes(release_bytes), Database(address)
            rules, intake = SignalRules(release), Intake(release, names, history=True)
            for part in parts(sorted_rows(path, intake, skip), rules, database.fetch_hot, sender.wait):
                sender.send(part)
            sender.send(None)
        except (Refused, Unavailable) as error:
            sender.send(error)


class _Sender:
    """Sends parts, and waits until all that were sent are written."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe, self._unfinished = pipe, 1  # the rows that the first process writes itself

    def send(self, message: object) -> None:
        self._pipe.send_bytes(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))
        self._unfinished += 1

    def wait(self) -> None:
        while self._unfinished:
            self._unfinished -= self._pipe.recv()


class SortedRows(NamedTuple):
    """The events of some rows of a file, sorted by subject, and what to tell once they are written."""

    events: list[Event]
    finished: Finished


def parts(
    blocks: Iterable[SortedRows], rules: SignalRules, fetch: HotFetch, wait: Callable[[], None]
) -> Iterator[Part]:
    """Yield the events of blocks, prepared.

    :param wait: returns once all parts that were yielded are written; called before states of theirs are read
    """
    for rows in blocks:
        ends = _ends(rows.events)
        wait()
        for n, (start, end) in enumerate(zip([0, *ends], ends, strict=False), 1):
            if start and rows.events[start - 1].stream == rows.events[start].stream:
                wait()
            last = rows.finished if n == len(ends) else None
            yield Part(prepare(fetch, rows.events[start:end], rules), last)


def _ends(events: Sequence[Event]) -> list[int]:
    """Return where parts end: after the last event of a subject, unless one subject has more than fit. At least one."""
    ends, start = list[int](), 0
    for at in range(1, len(events)):
        size = at - start
        whole = size >= _EVENTS and events[at - 1].stream != events[at].stream
        if whole or size == _MOST_EVENTS:
            ends.append(at)
            start = at
    return [*ends, len(events)]


def sorted_rows(path: Path, intake: Intake, skip: int) -> Iterator[SortedRows]:
    """Yield the rows of a file after the first `skip`. Raises Refused for a file that cannot be read."""
    rows, first, size = rows_after(path, skip), skip, FIRST_ROWS
    while (checked := _checked(islice(rows, size), first, intake)).finished.rows > first:
        yield checked
        first, size = checked.finished.rows, min(4 * size, _MOST_ROWS)


def _checked(rows: Iterable[Any], first: int, intake: Intake) -> SortedRows:
    """Return the events of `rows`, of which `first` is the number of rows before them in the file."""
    at, refused, recorded_us = first, 0, now_us()
    events, problems = list[Event](), list[dict[str, Any]]()
    for at, row in enumerate(rows, first + 1):
        try:
            events.append(event(row, intake, recorded_us))
        except RequestError as error:
            refused += 1
            if len(problems) < MAX_LISTED:
                problems.append({"row": at, "problem": str(error)})
    events.sort(key=attrgetter("stream"))
    return SortedRows(events, Finished(at, refused, problems, Counter(e.type for e in events)))
