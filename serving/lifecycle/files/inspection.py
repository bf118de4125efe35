"""What is wrong with the files of a workspace, apart from the ledger and the catalogue: one line for each flaw."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from decisioning.errors import BrainError
from features.decisions.log import LOG, DecisionLog
from features.profile.archive import Archive, is_another_workspaces
from features.profile.comparing import differing
from features.profile.repository import online_at
from features.profile.spool import Spool
from features.profile.stores.sqlite import SqliteOnline
from features.sqlite_errors import require_not_held, size_of
from features.views import Layout, ProfileView, read_views
from serving.settings import Workspace
from training.registry import Registry


def inspect(workspace: Workspace) -> list[str]:
    """Return every flaw of the profile, the models and the log of decisions."""
    parts = (profile_flaws(Layout(workspace.data)), Registry(workspace.data).flaws(), log_flaws(workspace.data / LOG))
    return [flaw for part in parts for flaw in part]


def profile_flaws(layout: Layout) -> Iterator[str]:
    """Yield what is wrong with the profile: each file by itself, then whether the online store is the history's."""
    if not layout.applied.exists():
        return
    try:
        views, redis = read_views(layout.repo / "schema.json"), online_at(layout)
    except Exception as error:  # noqa: BLE001 (a damaged file may hold anything)
        yield f"feature_repo: it cannot be read ({type(error).__name__})"
        return
    flaws = [*spool_flaws(layout), *_history_flaws(layout, views), *(() if redis else online_flaws(layout))]
    yield from flaws
    if not flaws and redis is None:
        archive = Archive(layout, views)
        online = SqliteOnline(layout.online, layout.identity)
        n = len({difference.subject for difference in differing(archive, online)})
        online.close()
        archive.spool.close()
        if n:
            yield f"online.db: the facts of {n} subjects are not those of the history"


def _history_flaws(layout: Layout, views: tuple[ProfileView, ...]) -> Iterator[str]:
    for view in views:
        if problem := history_problem(layout, view):
            yield f"{layout.history(view.name).name}: {problem}"


def history_problem(layout: Layout, view: ProfileView) -> str:
    """Return why a view's history cannot be used; empty if it can."""
    path = layout.history(view.name)
    return "it is another workspace's" if is_another_workspaces(path, layout.identity) else parquet_problem(path)


def spool_flaws(layout: Layout) -> Iterator[str]:
    """Yield what is wrong with the file of statements that are not in the history yet.

    :raises Unavailable: another program holds it just now, so that nothing is known of it
    """
    try:
        if not size_of(layout.spool):
            yield "spool.db: it is gone"
            return
        spool = Spool(layout.spool, layout.identity)
        spool.read()
        yield from (f"spool.db: {problem}" for problem in spool.damage())
        spool.close()
    except Exception as error:  # noqa: BLE001 (a damaged file may hold anything)
        yield _flaw("spool.db", error)


def online_flaws(layout: Layout) -> Iterator[str]:
    """Yield what is wrong with the SQLite file of the online store; raises as `spool_flaws` does."""
    try:
        if not size_of(layout.online):
            yield "online.db: it is gone"
            return
        online = SqliteOnline(layout.online, layout.identity)
        if not online.filled():
            yield "online.db: it holds nothing"
        yield from (f"online.db: {problem}" for problem in online.damage())
        online.close()
    except Exception as error:  # noqa: BLE001 (as above)
        yield _flaw("online.db", error)


def _flaw(name: str, error: Exception) -> str:
    """Return what an error says of a file; raises Unavailable if another program holds it, which is no flaw."""
    require_not_held(name, error)
    return f"{name}: {error if isinstance(error, BrainError) else f'it cannot be read ({type(error).__name__})'}"


def log_flaws(folder: Path) -> Iterator[str]:
    """Yield the files of the log of decisions that cannot be read."""
    yield from (f"{folder.name}/{name}: it is gone" for name in DecisionLog(folder).missing())
    for path in sorted(folder.glob("*/*.parquet")):
        if problem := parquet_problem(path):
            yield f"{folder.name}/{path.parent.name}/{path.name}: {problem}"


def parquet_problem(path: Path) -> str:
    """Return why a table cannot be read; empty if it can."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for _ in file.iter_batches():
                pass
    except FileNotFoundError:
        return "it is gone"
    except (pa.ArrowException, OSError, ValueError) as error:
        return f"it is damaged ({type(error).__name__})"
    return ""
