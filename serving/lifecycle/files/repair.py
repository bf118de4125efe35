"""Make anew what other files of the workspace tell: the profile's files, copies of checkpoints and models, the log.

Each step finds out by itself whether there is something to do, so that a repair that was killed is run again. Nothing
here invents anything: the ledger and the secret can only be put back from a backup.
"""

import fcntl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import bindparam, select

from decisioning.catalogue.release import Release
from decisioning.errors import BrainError, Refused
from features.conversations import words
from features.decisions.log import LOG, DecisionLog
from features.ledger import Ledger, now_us
from features.ledger.checking.checkpoints import restore_file
from features.ledger.tables import SIGNAL_STATES
from features.profile.archive import Archive
from features.profile.comparing import differing
from features.profile.repository import apply, online_at
from features.profile.spool import Spool
from features.profile.store import Store
from features.profile.stores.rows import table_of
from features.profile.stores.sqlite import SqliteOnline
from features.profile.versions import State, newer, statements_in
from features.views import Layout, read_views, views_of
from serving.lifecycle.files.inspection import history_problem, log_flaws, online_flaws, spool_flaws
from serving.lifecycle.runs import LOCK
from serving.settings import Workspace
from training.registry import Registry

Progress = Callable[[int, int, str], None]
"""Called with what is done, how much there is, and what it is."""
Step = Iterator[tuple[bool, str]]
"""Yields whether something was made anew, or cannot be, and a line about it."""
_STATES = (
    select(SIGNAL_STATES.c.stream, SIGNAL_STATES.c.version, SIGNAL_STATES.c.body)
    .where(SIGNAL_STATES.c.stream > bindparam("after"))
    .order_by(SIGNAL_STATES.c.stream)
    .limit(500)
)


@dataclass(slots=True)
class RepairReport:
    """What was made anew, and what cannot be; a line for each."""

    repaired: list[str] = field(default_factory=list)
    cannot: list[str] = field(default_factory=list)


def repair(workspace: Workspace, ledger: Ledger, release: Release, progress: Progress) -> RepairReport:
    """Repair what can be repaired of a workspace whose ledger is whole, and say what was done.

    :raises Refused: the workspace is being served
    """
    report = RepairReport()
    with not_served(workspace):
        audit = ledger.audit(workspace.checkpoints_file)
        steps: tuple[Callable[[], Step], ...] = (
            lambda: restore_file(audit.database, audit.signer, workspace.checkpoints_file),
            lambda: _profile(workspace, ledger, release, progress),
            lambda: Registry(workspace.data).repair(),
            lambda: _log(workspace, ledger, release, progress),
            lambda: _words(ledger, release),
        )
        for step in steps:
            try:
                for done, line in step():
                    (report.repaired if done else report.cannot).append(line)
            except BrainError as error:
                report.cannot.append(str(error))
    return report


def _words(ledger: Ledger, release: Release) -> Step:
    """Delete the words of conversations that ended long enough ago."""
    if words.tend(ledger, release.catalogue.settings.handover.text_hours):
        yield True, "words: those of conversations that ended long ago are deleted"


@contextmanager
def not_served(workspace: Workspace) -> Iterator[None]:
    """Keep the workspace from being served meanwhile. Raises Refused if it is being served."""
    workspace.run.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (workspace.run / LOCK).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Refused("brain serve is running for this workspace; stop it first") from error
        yield


def _profile(workspace: Workspace, ledger: Ledger, release: Release, progress: Progress) -> Step:
    layout, redis = Layout(workspace.data.resolve()), workspace.settings.online_store.redis
    views = views_of(release.schema)
    yield from _spool(layout)
    archive = Archive(layout, views)
    erased = [erasure.stream for erasure in ledger.erasures.listed()]
    for view in views:
        if problem := history_problem(layout, view):
            kept = archive.restore(view)
            yield True, f"{view.name}.parquet was made anew ({problem}): {kept:,} rows of it could be read"
    if erased:
        archive.forget(erased)  # what is not cleaned yet must not be written online again
    yield from _repository(layout)
    was_lost = redis is None and any(online_flaws(layout))
    if was_lost:
        _remove(layout.online)
    apply(workspace.data, release.schema, redis=redis, keep=True)
    if was_lost:
        yield True, "online.db was filled from the history"
    store = Store(workspace.data)
    if isinstance(store.online, SqliteOnline):
        if changed := _both_ways(archive, store.online, ledger):
            yield True, f"the facts of {changed:,} subjects are the same in history and online store again"
        archive.compact()
    archive.spool.close()
    if copied := _signals(store, ledger, progress):
        yield True, f"the signals of {copied:,} subjects were copied from the ledger"


def _remove(database: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)


def _spool(layout: Layout) -> Step:
    """Replace a spool that cannot be used; what only it had is in the online store, too."""
    if layout.applied.exists() and (flaws := list(spool_flaws(layout))):
        _remove(layout.spool)
        Spool(layout.spool, layout.identity).close()
        yield True, f"spool.db was made anew ({flaws[0].partition(': ')[2]})"


def _repository(layout: Layout) -> Step:
    """Let the next `apply` write the repository anew if it cannot be read."""
    try:
        read_views(layout.repo / "schema.json")
        online_at(layout)
    except Exception:  # noqa: BLE001 (a damaged file may hold anything)
        for name in ("feature_store.yaml", "schema.json", ".applied"):
            (layout.repo / name).unlink(missing_ok=True)
        yield True, "feature_repo was written anew"


def _both_ways(archive: Archive, online: SqliteOnline, ledger: Ledger) -> int:
    """Write to the history what only the online store has, and the other way round; return of how many subjects."""
    changed = set[str]()
    for subject, view, lacking, further in list(differing(archive, online)):
        if _is_erased(ledger, subject):
            archive.forget([subject])
            online.forget([table_of(view)], [subject])
            continue
        changed.add(subject)
        with archive.spool.writing():
            for statement in statements_in([further]):
                archive.spool.append(subject, statement)
            if lacking:
                online.update(table_of(view), [subject], _merging(lacking))
    return len(changed)


def _merging(lacking: State) -> Callable[[str, State], State]:
    return lambda _, stored: newer(stored, lacking)


def _is_erased(ledger: Ledger, subject: str) -> bool:
    rows = ledger.select(select(SIGNAL_STATES.c.body).where(SIGNAL_STATES.c.stream == subject))
    return bool(rows) and rows[0].body is None


def _signals(store: Store, ledger: Ledger, progress: Progress) -> int:
    """Copy the states of signals that the online store has otherwise; return how many."""
    copied, done = 0, 0
    for rows in _pages(ledger):
        wanted = {row.stream: (row.version, row.body) for row in rows if row.body is not None}
        stored = dict(zip(wanted, store.read_signals(list(wanted)), strict=True))
        other = {s: state for s, state in wanted.items() if stored[s] != state}
        if newer_copies := [s for s in other if (copy := stored[s]) is not None and copy.version > other[s][0]]:
            store.online.forget([store.signals], newer_copies)
        store.write_signals(other)
        copied, done = copied + len(other), done + len(rows)
        progress(done, done, "signals")
    return copied


def _pages(ledger: Ledger) -> Iterator[Sequence[Any]]:
    after = ""
    while rows := ledger.select(_STATES, {"after": after}):
        yield rows
        after = rows[-1].stream


def _log(workspace: Workspace, ledger: Ledger, release: Release, progress: Progress) -> Step:
    """Read the log of decisions from the ledger again if a file of it cannot be read."""
    folder = workspace.data / LOG
    if any(log_flaws(folder)):
        added = DecisionLog(folder).rebuild(ledger, release, now_us(), progress)
        yield True, f"the log of decisions was made anew: {added.rows:,} rows"
