"""Imports a file of past signals: another process prepares blocks of rows and states, this one writes them.

The first block is prepared here while the other process starts; most files have no other.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

from decisioning.catalogue.release import Release
from features.files import replace_file
from features.importing.plan import Progress
from features.importing.signals import parser
from features.importing.signals.parser import Part, SortedRows
from features.importing.signals.rows import content_hash, count_rows
from features.importing.tables import MAX_LISTED
from features.ledger import Ledger
from features.ledger.database import enlarge_cache
from features.signals.blocks import AddBlocks
from features.signals.intake import Intake
from features.signals.rules import SignalRules

_FEWEST, _MOST = 1_024, 8_192
"""Events of a transaction. The more, the fewer pages are written twice."""
_WITHIN_S: Final = 0.04
"""How long a transaction may take, if it has more than the fewest events: decisions wait for it."""


@dataclass(slots=True)
class ReplayResult:
    """What an import of signals did: `rows` read, and how many events were accepted, duplicates, erased or refused.

    `erased`: about erased subjects. `problems`: row and problem of the first refused rows. `resumed_at`: rows that an
    earlier run had finished. `types`: type of signal -> valid rows that this run read.
    """

    rows: int = 0
    accepted: int = 0
    duplicate: int = 0
    erased: int = 0
    refused: int = 0
    resumed_at: int = 0
    seconds: float = 0.0
    problems: list[dict[str, Any]] = field(default_factory=list)
    types: dict[str, int] = field(default_factory=dict)


def import_signals(
    path: Path, release_bytes: bytes, ledger: Ledger, notes: Path, progress: Progress | None = None
) -> ReplayResult:
    """Write the signals of a file, however late they are, if their type is still retained at their age.

    :param notes: folder for a note of the rows finished, named by the hash of the file's content
    :raises Refused: the file cannot be read; events written before stay
    :raises Unavailable: the ledger cannot be reached; run it again to resume
    """
    started_s = time.monotonic()
    total, note = count_rows(path), notes / f"{content_hash(path)}.rows"
    release = Release.from_bytes(release_bytes)
    replay = _Replay(ledger, SignalRules(release), note, _Counter(total, progress))
    blocks = parser.sorted_rows(path, Intake(release, ledger, history=True), replay.done)
    following = replay.done + parser.FIRST_ROWS
    if total <= following:
        replay.prepare_and_write(blocks)
    else:
        with parser.ParserProcess(path, release_bytes, ledger, following) as other:
            replay.prepare_and_write(islice(blocks, 1))
            other.acknowledge(1)
            while prepared := other.waiting(replay.size):
                replay.write(prepared)
                other.acknowledge(len(prepared))
    note.unlink(missing_ok=True)
    replay.result.seconds = round(time.monotonic() - started_s, 3)
    return replay.result


class _Counter(NamedTuple):
    """Tells how many of the rows are done; `total` may be too small by one."""

    total: int
    progress: Progress | None

    def tell(self, done: int) -> None:
        if self.progress is not None:
            self.progress(done, max(self.total, done), "signals")


class _Replay:
    """Writes parts, adds up what became of them, and counts the rows.

    `done`: the rows that are finished, at least. `size`: the events that the next transaction should have.
    """

    def __init__(self, ledger: Ledger, rules: SignalRules, note: Path, counter: _Counter) -> None:
        self._ledger, self._rules, self._note, self._counter = ledger, rules, note, counter
        self.done = _read_note(note)
        self.result = ReplayResult(rows=self.done, resumed_at=self.done)
        self.size = _FEWEST
        self._repeated = False
        ledger.transact(enlarge_cache).result()
        counter.tell(self.done)  # the time left is estimated from what follows

    def prepare_and_write(self, blocks: Iterable[SortedRows]) -> None:
        """Prepare blocks in this process, and write them."""
        waiting: list[Part] = []

        def write() -> None:
            if waiting:
                self.write(waiting)
                waiting.clear()

        for part in parser.parts(blocks, self._rules, self._ledger.select_hot, write):
            waiting.append(part)
            if part.finished is not None or sum(len(p.block.rows) for p in waiting) >= self.size:
                write()

    def write(self, prepared: Sequence[Part]) -> None:
        """Write parts in one transaction; after the last part of a block, note its rows."""
        started_s = time.monotonic()
        blocks = [part.block for part in prepared]
        added = self._ledger.transact(AddBlocks(blocks, self._rules, look_up=self._repeated)).result()
        took_s = time.monotonic() - started_s
        self.size = min(max(round(sum(added) * _WITHIN_S / took_s), _FEWEST), _MOST)
        self._repeated = added.duplicate > sum(block.duplicate for block in blocks)
        self.result.accepted += added.accepted
        self.result.duplicate += added.duplicate
        self.result.erased += added.erased
        self.done += sum(added)
        self._finish(prepared[-1])
        self._counter.tell(self.done)

    def _finish(self, last: Part) -> None:
        if last.finished is None:
            return
        self.done = self.result.rows = last.finished.rows
        self.result.refused += last.finished.refused
        for type_, rows in last.finished.types.items():
            self.result.types[type_] = self.result.types.get(type_, 0) + rows
        self.result.problems += last.finished.problems[: MAX_LISTED - len(self.result.problems)]
        _write_note(self._note, self.done)


def _read_note(note: Path) -> int:
    try:
        return int(note.read_text())
    except (OSError, ValueError):
        return 0


def _write_note(note: Path, rows: int) -> None:
    note.parent.mkdir(parents=True, exist_ok=True)
    replace_file(note, lambda half: half.write_text(str(rows)))
