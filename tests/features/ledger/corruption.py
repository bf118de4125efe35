"""Random changes to a ledger's tables that bypass the ledger: one change at a time, which is then undone."""

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json

from features.ledger import Fold, apply
from features.ledger.chain import genesis_hash, hash_body, record_hash
from features.ledger.past.kinds import ContactKinds
from features.ledger.snapshot import encode

TABLES = {
    "ledger_records": (
        "stream",
        "version",
        "kind",
        "at_us",
        "occurred_us",
        "body",
        "salt",
        "body_hash",
        "hash",
        "own_keys",
    ),
    "ledger_standings": ("stream", "version", "at_us", "head_hash", "body"),
    "ledger_keys": ("key", "stream", "version"),
    "checkpoints": ("number", "upto", "body", "signature"),
    "activations": ("seq", "environment", "release", "at_us", "by"),
    "releases": ("hash", "bytes"),
}
"""The protected tables and columns. `seq` of records is drawn separately, up to the last checkpoint."""


def _id(table: str) -> str:
    """Return the column by which a row is found."""
    return "key" if table == "ledger_keys" else "rowid"


def _is_erased(body: bytes | None) -> bool:
    """Tell whether a body is erased: overwritten with zeros, or deleted as earlier versions did."""
    return body is None or not any(body)


def _meaning(tables: dict[str, list[tuple[Any, ...]]]) -> dict[str, list[tuple[Any, ...]]]:
    """Return the tables with None in place of zeros, which mean the same."""
    return {
        table: [tuple(None if isinstance(v, bytes) and _is_erased(v) else v for v in row) for row in rows]
        for table, rows in tables.items()
    }


class Corruptor:
    """Makes random corruptions, one at a time, of a database and of its file of checkpoints.

    :param path: the database
    :param file: the file of checkpoints
    :param upto: the last `seq` that a checkpoint covers
    """

    def __init__(self, path: Path, file: Path, upto: int, seed: int) -> None:
        self.rng, self.file, self.upto = random.Random(seed), file, upto
        self.db = sqlite3.connect(path, isolation_level=None)
        self.lines = file.read_bytes()
        self.tables = {t: self.db.execute(f"SELECT {_id(t)}, * FROM {t} ORDER BY 1").fetchall() for t in TABLES}
        self.names = {t: [c[1] for c in self.db.execute(f"PRAGMA table_info({t})")] for t in TABLES}
        self.kinds: tuple[Callable[[], str | None], ...] = (
            *([self.change] * 6), self.drop, self.drop, self.swap, self.swap, self.copy, self.cut, self.rewrite,
            self.reorder, self.cut_checkpoints, self.edit_file,
        )  # fmt: skip

    @contextmanager
    def corrupted(self) -> Iterator[str]:
        """Make one corruption and yield its description; undo it at the end."""
        change = None
        while change is None:
            self.db.execute("BEGIN IMMEDIATE")
            try:
                change = self.rng.choice(self.kinds)()
            except sqlite3.IntegrityError:
                change = None  # the database refuses the change
            if change is None or not self._different():
                self.db.execute("ROLLBACK")
                change = None
        self.db.execute("COMMIT")
        yield change
        self._restore()

    def _different(self) -> bool:
        now = {t: self.db.execute(f"SELECT {_id(t)}, * FROM {t} ORDER BY 1").fetchall() for t in TABLES}
        return _meaning(now) != _meaning(self.tables) or self.file.read_bytes() != self.lines

    def _restore(self) -> None:
        self.file.write_bytes(self.lines)
        self.db.execute("BEGIN IMMEDIATE")
        for table, rows in self.tables.items():
            self.db.execute(f"DELETE FROM {table}")
            has_rowid = _id(table) == "rowid" and "seq" not in self.names[table]
            names = ["rowid", *self.names[table]] if has_rowid else self.names[table]
            marks = ",".join("?" * len(names))
            values = [row if has_rowid else row[1:] for row in rows]
            quoted = ",".join(f'"{n}"' for n in names)
            self.db.executemany(f"INSERT INTO {table} ({quoted}) VALUES ({marks})", values)
        self.db.execute("COMMIT")

    def _table(self) -> str:
        return self.rng.choice([*["ledger_records"] * 4, "ledger_standings", "ledger_standings", *TABLES])

    def _row(self, table: str) -> dict[str, Any]:
        row = self.rng.choice(self.tables[table])
        return dict(zip(("rowid", *self.names[table]), row, strict=True))

    def change(self) -> str:
        table = self._table()
        row, column = self._row(table), self.rng.choice(TABLES[table])
        value = self._other(table, column, row[column])
        self.db.execute(f'UPDATE {table} SET "{column}" = ? WHERE {_id(table)} = ?', (value, row["rowid"]))
        return f"{table}.{column} changed"

    def _other(self, table: str, column: str, value: Any) -> Any:
        """Return another value: that of another row, None, or a slightly different one."""
        kind = self.rng.random()
        if kind < 0.3:
            return self._row(table)[column]
        if kind < 0.4:
            return None
        if isinstance(value, int):
            return value + self.rng.choice([-1, 1, 10**6, -(10**6)])
        if isinstance(value, str):
            at = self.rng.randrange(max(1, len(value)))
            return value[:at] + self.rng.choice("0123456789abcdef") + value[at + 1 :]
        flipped = bytearray(value or b"x" * 16)
        if not flipped:
            return b"x" * 20
        flipped[self.rng.randrange(len(flipped))] ^= 1 << self.rng.randrange(8)
        return bytes(flipped)

    def drop(self) -> str:
        table = self._table()
        self.db.execute(f"DELETE FROM {table} WHERE {_id(table)} = ?", (self._row(table)["rowid"],))
        return f"a row of {table} dropped"

    def swap(self) -> str:
        """Swap one column of two rows, or all columns but the key."""
        table = self._table()
        one, two = self._row(table), self._row(table)
        columns = [c for c in TABLES[table] if c not in ("stream", "version", "key", "number", "hash", "seq")]
        if self.rng.random() < 0.5:
            columns = [self.rng.choice(columns or ["version"])]
        for row, other in ((one, two), (two, one)):
            for column in columns:
                self.db.execute(
                    f'UPDATE {table} SET "{column}" = ? WHERE {_id(table)} = ?', (other[column], row["rowid"])
                )
        return f"{', '.join(columns)} of two rows of {table} swapped"

    def copy(self) -> str:
        """Insert a row again under the next free key."""
        table = self.rng.choice(["ledger_records", "ledger_keys", "checkpoints", "activations"])
        row = self._row(table)
        row.pop("rowid")
        row.pop("seq", None)
        if table == "ledger_keys":
            row["key"] = sha256(row["key"]).digest()[:20]
        if table in ("ledger_records", "checkpoints"):
            name = "version" if table == "ledger_records" else "number"
            where, about = ("WHERE stream = ?", (row["stream"],)) if table == "ledger_records" else ("", ())
            row[name] = self.db.execute(f"SELECT max({name}) + 1 FROM {table} {where}", about).fetchone()[0]
        if table == "activations":
            row["seq"] = self.tables["activations"][0][1] - 1
        names = ",".join(f'"{n}"' for n in row)
        self.db.execute(f"INSERT INTO {table} ({names}) VALUES ({','.join('?' * len(row))})", tuple(row.values()))
        return f"a row of {table} repeated"

    def reorder(self) -> str:
        """Swap two records in the order of the whole ledger, or move one to its end."""
        rows = [r for r in self.tables["ledger_records"] if r[1] <= self.upto]
        one, two = self.rng.sample([r[1] for r in rows], 2)
        if self.rng.random() < 0.3:
            self.db.execute("UPDATE ledger_records SET seq = ? WHERE seq = ?", (10**6, one))
        else:
            for was, now in ((one, -1), (two, one), (-1, two)):
                self.db.execute("UPDATE ledger_records SET seq = ? WHERE seq = ?", (now, was))
        return "records reordered"

    def _records(self, stream: bytes) -> list[dict[str, Any]]:
        names = self.names["ledger_records"]
        rows = self.db.execute("SELECT * FROM ledger_records WHERE stream = ? ORDER BY version", (stream,)).fetchall()
        return [dict(zip(names, row, strict=True)) for row in rows]

    def cut(self) -> str | None:
        """Cut off the tail of a stream, with keys and standing, up to before what a checkpoint covers."""
        stream = self._row("ledger_standings")["stream"]
        seen = [r["version"] for r in self._records(stream) if r["seq"] <= self.upto]
        if not seen:
            return None
        remaining = self.rng.randrange(seen[-1])
        self.db.execute("DELETE FROM ledger_records WHERE stream = ? AND version > ?", (stream, remaining))
        self.db.execute("DELETE FROM ledger_keys WHERE stream = ? AND version > ?", (stream, remaining))
        return f"a stream cut to {remaining} records" if self._make_consistent(stream) else None

    def rewrite(self) -> str | None:
        """Change a record, and make every later hash and the standing consistent with it."""
        stream = self._row("ledger_standings")["stream"]
        records = [r for r in self._records(stream) if r["seq"] <= self.upto and not _is_erased(r["body"])]
        if not records:
            return None
        at = self.rng.choice(records)
        body = from_json(at["body"])
        body["source"] = "somebody else"
        raw = to_json(body)
        self.db.execute(
            "UPDATE ledger_records SET body = ?, body_hash = ? WHERE seq = ?",
            (raw, hash_body(at["salt"], raw), at["seq"]),
        )
        return "a record made anew" if self._make_consistent(stream) else None

    def _make_consistent(self, stream: bytes) -> bool:
        """Write chain and standing as a writer would have; return False if bodies are erased."""
        fold, head, at_us = Fold(stream.hex()), genesis_hash(stream.hex()), -(2**62)
        records = self._records(stream)
        for r in records:
            head = record_hash(head, r["kind"], r["at_us"], r["occurred_us"], r["body_hash"], r["own_keys"])
            self.db.execute("UPDATE ledger_records SET hash = ? WHERE seq = ?", (head, r["seq"]))
            at_us = r["at_us"]
            if _is_erased(r["body"]):
                return False
            fold = apply(fold, r["kind"], from_json(r["body"]), r["version"], r["occurred_us"])
        if not records:
            self.db.execute("DELETE FROM ledger_standings WHERE stream = ?", (stream,))
        self.db.execute(
            "UPDATE ledger_standings SET version = ?, at_us = ?, head_hash = ?, body = ? WHERE stream = ?",
            (fold.version, at_us, head, encode(fold, 0, ContactKinds(lambda *_: [])), stream),
        )
        return True

    def cut_checkpoints(self) -> str:
        remaining = self.rng.randrange(len(self.tables["checkpoints"]))
        self.db.execute("DELETE FROM checkpoints WHERE number > ?", (remaining,))
        return f"checkpoints cut to {remaining}"

    def edit_file(self) -> str:
        """Change or drop a line of the file of checkpoints, or swap two lines."""
        lines = self.lines.splitlines(keepends=True)
        one, two = self.rng.sample(range(len(lines)), 2)
        kind = self.rng.choice(["changed", "dropped", "swapped"])
        if kind == "changed":
            at = self.rng.randrange(len(lines[one]) - 1)
            lines[one] = lines[one][:at] + bytes([lines[one][at] ^ 1]) + lines[one][at + 1 :]
        elif kind == "dropped":
            del lines[min(one, two)]
        else:
            lines[one], lines[two] = lines[two], lines[one]
        self.file.write_bytes(b"".join(lines))
        return f"a line of the file {kind}"
