"""From Feast's layout of the online store, a row per subject and feature, to packed rows.

Until December 2026 the file held tables named after the folder that the workspace was made in. The new rows are made
from the history, which holds all that was ever stated of everyone who was not erased; copies of signals are made from
the ledger when they are first read.

Until December 2026 a fact could be told for a time ahead, and held against all that was told before that time. What was
stored so counts as of its recording since.
"""

import contextlib
import sys
from collections.abc import Iterator

from decisioning.errors import Unavailable
from decisioning.times import AS_RECORDED
from features.profile.archive import Archive, Step
from features.profile.loading import CHUNK, load_latest
from features.profile.stores.rows import Online, table_of
from features.profile.stores.sqlite import SqliteOnline
from features.profile.versions import Stamp, State, Statement, Version, newer
from features.views import Layout, ProfileView, read_views


def migrate(layout: Layout, online: SqliteOnline) -> None:
    """Bring the file into today's layout if it has another, once; after a crash the next call finishes the work."""
    if not online.outdated():
        return
    archive = Archive(layout, read_views(layout.repo / "schema.json"))
    with archive.exclusive():  # another process may do the same
        outdated = online.outdated()
        if outdated and not online.filled():
            archive.compact()
            for view in archive.views:
                with _shown(f"packing {view.name}", archive.rows(view)) as step:
                    load_latest(online, archive, view, step)
            online.fill()
        if outdated:
            with contextlib.suppress(Unavailable):  # someone reads the file: done when it is next opened
                online.retire(outdated)
    archive.spool.close()


def count_as_recorded(layout: Layout, online: Online) -> None:
    """Make what is stored count as of its recording at the latest, once; after a crash the next call does it again."""
    if not (layout.repo / "schema.json").exists():
        return
    archive = Archive(layout, read_views(layout.repo / "schema.json"))
    try:
        if not archive.spool.are_times_counted() and all(layout.history(v.name).exists() for v in archive.views):
            with archive.exclusive():  # another process may do the same
                archive.compact()
                for view in archive.views:
                    _count_as_recorded(archive, view, online)
                archive.spool.note_times_counted()
    finally:
        archive.spool.close()


def _count_as_recorded(archive: Archive, view: ProfileView, online: Online) -> None:
    statements = {s: [_counted(one) for one in own] for s, own in archive.later_than_recorded(view).items()}

    def change(subject: str, stored: State) -> State:
        state = {name: Version(version.value, _stamp(version.stamp)) for name, version in stored.items()}
        for statement in statements[subject]:
            state.update(newer(state, statement.versions))
        return state

    subjects = sorted(statements)
    for start in range(0, len(subjects), CHUNK):
        online.update(table_of(view), subjects[start : start + CHUNK], change)
    if statements:
        archive.restate(view, statements)


def _counted(statement: Statement) -> Statement:
    return Statement(_stamp(statement.stamp), statement.facts)


def _stamp(stamp: Stamp) -> Stamp:
    return Stamp(AS_RECORDED.counted_us(*stamp), stamp.created_us)


@contextlib.contextmanager
def _shown(what: str, total: int) -> Iterator[Step]:
    """Show a bar on standard error if it is a terminal."""
    from rich.console import Console  # noqa: PLC0415  a twentieth of a second, and needed once in a workspace's life
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(file=sys.stderr)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda n: bar.advance(task, n)
