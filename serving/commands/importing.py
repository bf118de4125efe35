"""Import a company's own files into a workspace: catalogue, release, profiles, ledger."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from decisioning.catalogue.release import Release
from decisioning.facts.schema import FeatureSchema
from decisioning.review.approval import Person
from features.importing import (
    as_tables,
    assign_paths,
    catalogue_files,
    checked_catalogue,
    make_plan,
    open_mapping,
)
from features.importing import import_profile as upsert
from features.importing.opening import Stated
from features.importing.write import write
from features.ledger import Ledger, now_us
from features.profile.offline import History
from features.profile.online import Profiles
from serving.brain import releasing
from serving.brain.active import active_release, open_ledger
from serving.brain.releases.files import existing_files
from serving.settings import Workspace

Progress = Callable[[int, int, str], None]


@contextmanager
def open_stores(workspace: Workspace) -> Iterator[tuple[Ledger, Release, History]]:
    """Open what commands work on without a server: the ledger, the release that serves and the history of profiles.

    Raises Refused if nothing has been released yet.
    """
    with open_ledger(workspace) as ledger:
        name = active_release(ledger, workspace.settings.environment)
        release = Release.from_bytes(ledger.get_release(name))
        yield ledger, release, History(Profiles(releasing.open_store(workspace), release.schema))


def import_log(
    workspace: Workspace, mapping: str, files: tuple[str, ...], by: Person | str, progress: Progress
) -> dict[str, Any]:
    """Read and check all files, add what the catalogue lacks, release it, then import the data.

    Nothing is written if a file or the mapping is wrong.

    :param mapping: a recipe's name or the path of a mapping file
    :param by: who releases, as in `releasing.release`
    """
    source, folder = open_mapping(mapping)
    plan = make_plan(source, assign_paths(source, folder, files), now_us(), progress)
    existing = {name.removeprefix("catalogue/"): text for name, text in existing_files(workspace).items()}
    texts = catalogue_files(plan, existing, _released_schema(workspace))
    checked_catalogue(plan, texts, workspace.settings.environment)
    releasing.write_files(workspace, {f"catalogue/{name}": text for name, text in texts.items()})
    released = releasing.release(workspace, by)
    with open_stores(workspace) as (ledger, release, history):
        counts = write(plan, release.catalogue, ledger, history, workspace.settings.environment, progress)
    scores = [{"feature": score.name, "outcome": score.outcome} for score in source.mapping.scores]
    tables = {**as_tables(plan.counts), **({"scores": scores} if scores else {})}
    return {"mapping": source.mapping.id, **asdict(counts), "release": released["release"], **tables}


def import_profile(workspace: Workspace, file: Path, table: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Set facts of customers from a file whose columns are features; `table` states how it is written."""
    with open_stores(workspace) as (ledger, release, history):
        counts = upsert(file, release.schema, ledger, history, now_us(), stated=Stated(**table), progress=progress)
    return asdict(counts)


def _released_schema(workspace: Workspace) -> FeatureSchema | None:
    """Return the feature schema of the release that serves, or None before the first release."""
    with open_ledger(workspace) as ledger:
        active = ledger.active(workspace.settings.environment)
        return None if active is None else Release.from_bytes(ledger.get_release(active)).schema
