"""From Feast's layout of the online store, a row per subject and feature, to packed rows.

Until December 2026 the file held tables named after the folder that the workspace was made in. The new rows are made
from the history, which holds all that was ever stated of everyone who was not erased; copies of signals are made from
the ledger when they are first read.
"""

import contextlib
import sys
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from decisioning.errors import Unavailable
from features.profile.archive import Archive, Step
from features.profile.loading import load_latest
from features.profile.stores.sqlite import SqliteOnline
from features.views import Layout, read_views


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


@contextlib.contextmanager
def _shown(what: str, total: int) -> Iterator[Step]:
    """Show a bar on standard error if it is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(file=sys.stderr)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda n: bar.advance(task, n)
