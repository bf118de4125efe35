"""A company's own files into a workspace: catalogue, release, profile, ledger."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from decisioning.catalogue.release import Release
from decisioning.errors import Refused
from features.importing import assign_paths, catalogue_files, checked_catalogue, make_plan, open_mapping, write
from features.importing import import_profile as upsert
from features.ledger import Ledger, now_us
from features.profile.offline import History
from features.profile.online import Profiles
from serving.brain import releasing
from serving.settings import Workspace

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Opened:
    """What commands work on beside a server: the ledger, the release that serves, and the history of profiles."""

    ledger: Ledger
    release: Release
    history: History


@contextmanager
def opened(workspace: Workspace) -> Iterator[Opened]:
    """Raises Refused before the first release."""
    with releasing.open_ledger(workspace) as ledger:
        active = ledger.active(workspace.settings.environment)
        if active is None:
            raise Refused(f"nothing is released in {workspace.settings.environment} yet: run `brain release`")
        release = Release.from_bytes(ledger.get_release(active))
        yield Opened(ledger, release, History(Profiles(releasing.open_store(workspace), release.schema)))


def import_log(
    workspace: Workspace, mapping: str, files: tuple[str, ...], by: str, progress: Progress
) -> dict[str, Any]:
    """Reads and checks everything, writes what the catalogue lacks, releases it, then brings the data in.

    Nothing is written where a file or the mapping is wrong.
    """
    source, folder = open_mapping(mapping)
    plan = make_plan(source, assign_paths(source, folder, files), now_us(), progress)
    before = {name.removeprefix("catalogue/"): text for name, text in releasing.existing_files(workspace).items()}
    texts = catalogue_files(plan, before, _schema(workspace))
    checked_catalogue(plan, texts, workspace.settings.environment)
    releasing.write_files(workspace, {f"catalogue/{name}": text for name, text in texts.items()})
    released = releasing.release(workspace, by)
    with opened(workspace) as store:
        written = write(
            plan, store.release.catalogue, store.ledger, store.history, workspace.settings.environment, progress
        )
    return {"mapping": source.mapping.id, **asdict(written), "release": released["release"]}


def import_profile(workspace: Workspace, file: Path, separator: str, progress: Progress) -> dict[str, Any]:
    """Sets facts of customers from a file whose columns are features."""
    with opened(workspace) as store:
        done = upsert(
            file,
            store.release.schema,
            store.ledger,
            store.history,
            now_us(),
            separator=separator,
            progress=progress,
        )
    return asdict(done)


def _schema(workspace: Workspace) -> Any:
    """The features that were released until now, or None."""
    with releasing.open_ledger(workspace) as ledger:
        active = ledger.active(workspace.settings.environment)
        return None if active is None else Release.from_bytes(ledger.get_release(active)).schema
