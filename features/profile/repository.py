"""The Feast repository of a workspace: generated from the feature schema, then applied."""

import hashlib
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pyarrow.parquet as pq
import yaml

from decisioning.errors import Refused
from decisioning.facts.schema import FeatureSchema
from features.feast_library import import_feast
from features.files import replace_file
from features.profile.archive import Archive
from features.profile.stores.sqlite import SqliteOnline
from features.sqlite_errors import REPAIR, size_of
from features.views import SIGNALS, SIGNALS_SCHEMA, Layout, views_of, write_views

DEFINITIONS = '''"""Generated from the feature schema; the next release writes it anew."""

from pathlib import Path

from features.repo.definitions import from_folder

subject, profile, scores, signals = from_folder(Path(__file__).resolve().parent)
'''

REPOSITORY = "feature_store.yaml"
PROJECT = "brain"
"""Feast's name for a new workspace. Older workspaces keep theirs, which was that of the folder they were made in."""
PACKED = "features.profile.stores.plugin.PackedOnlineStore"
"""Feast's name for our store in a SQLite file."""
TIMEOUT_S = 0.5
"""Time-out of Redis commands; without one, a request would wait for as long as the network does."""


def apply(
    workspace_data_dir: Path,
    schema: FeatureSchema,
    project: str = PROJECT,
    redis: str | None = None,
    *,
    keep: bool = False,
) -> None:
    """Bring repository, registry, online store and history files in line with `schema`; idempotent.

    `project` is Feast's name of the workspace; once it has one, it keeps it. `redis` is the address of the online
    store, as "host:port,db=0"; without it, the online store is the SQLite file in the workspace.

    A dropped feature leaves the registry; its history stays in the files for a rollback. If nothing has changed since
    the last call, this returns at once without importing Feast. An online store that is new, or has lost its data, is
    filled from the history. Raises Refused when the history of a feature does not fit its new dtype, and Unavailable
    when Redis cannot be reached.

    With `keep`, as for a rollback, values that do not fit are unknown until a release has their type again.
    """
    layout = Layout(workspace_data_dir.resolve())
    texts = _repository(layout, schema, _name(layout, project), redis)
    digest = hashlib.sha256(repr(sorted(texts.items())).encode()).hexdigest()
    mark = layout.applied
    if mark.exists() and mark.read_text() == digest and not _lost(layout, redis):
        return
    _write(layout, schema, texts, redis, keep=keep)
    from features.profile.offline import fill  # noqa: PLC0415  it imports this module

    register(layout)
    fill(layout.data, schema)
    if redis is not None:
        for file in ("online.db", "online.db-wal", "online.db-shm"):  # erasures no longer reach these files
            (layout.data / file).unlink(missing_ok=True)
    mark.write_text(digest)


def _write(layout: Layout, schema: FeatureSchema, texts: Mapping[str, str], redis: str | None, *, keep: bool) -> None:
    """Prepare the history files for the schema's features, then write the repository over them."""
    layout.repo.mkdir(parents=True, exist_ok=True)
    if not layout.home.exists() or not online_is(layout.data, redis):
        layout.home.write_text(uuid.uuid4().hex)
    archive = Archive(layout, views_of(schema))
    archive.prepare(keep=keep)
    archive.spool.close()
    pq.write_table(SIGNALS_SCHEMA.empty_table(), layout.history(SIGNALS))
    for name, text in texts.items():
        (layout.repo / name).write_text(text)


def _lost(layout: Layout, redis: str | None) -> bool:
    """Tell whether the online store no longer holds the data that was written to it."""
    if redis is None:
        return not size_of(layout.online) or not SqliteOnline(layout.online, layout.identity).filled()
    from features.profile.store import Store  # noqa: PLC0415  it imports this module

    return not Store(layout.data).online.filled()


def register(layout: Layout) -> None:
    """Apply the generated repository, as `feast apply` does: write registry rows and create the online store."""
    feast = import_feast()  # only a change needs it
    from features.repo.definitions import from_folder  # noqa: PLC0415  it imports Feast

    feast.FeatureStore(repo_path=str(layout.repo)).apply(list(from_folder(layout.repo)))


def settle(layout: Layout) -> bool:
    """Write the repository's paths anew if it was moved or copied, or was written before December 2026; tell if so."""
    file = layout.repo / REPOSITORY
    text = _yaml(layout, str(_read(layout)["project"]), online_at(layout))
    if file.read_text() == text:
        return False
    replace_file(file, lambda half: half.write_text(text), contended=True)
    return True


def separate(layout: Layout) -> None:
    """Give the workspace a name of its own in Feast, so that a copy shares no key of a Redis with the original.

    The next `apply` writes its keys from the history.
    """
    text = _yaml(layout, f"{PROJECT}_{uuid.uuid4().hex[:12]}", online_at(layout))
    replace_file(layout.repo / REPOSITORY, lambda half: half.write_text(text), contended=True)
    layout.home.unlink(missing_ok=True)
    layout.applied.unlink(missing_ok=True)


def data_folder(layout: Layout) -> Path | None:
    """Return the data folder that the repository was written for, or None if there is no repository yet."""
    if not (layout.repo / REPOSITORY).exists():
        return None
    registry = str(_read(layout)["registry"]["path"]).removeprefix("sqlite:///")
    return (layout.repo / unquote(registry)).resolve().parent


def online_at(layout: Layout) -> str | None:
    """Return the address of the Redis that the repository names, or None if it names the file in the workspace.

    Raises Refused if there is no repository yet.
    """
    address = _read(layout)["online_store"].get("connection_string")
    return None if address is None else str(address)


def online_is(workspace_data_dir: Path, redis: str | None) -> bool:
    """Tell whether the repository that was applied last has its online store at `redis` (None: the SQLite file)."""
    layout = Layout(workspace_data_dir.resolve())
    return (layout.repo / REPOSITORY).exists() and online_at(layout) == (redis and _connection(redis))


def _read(layout: Layout) -> Any:
    file = layout.repo / REPOSITORY
    if not file.exists():
        raise Refused("this workspace has no feature repository: run `brain release`, or `brain repair` if it had one")
    try:
        content = yaml.safe_load(file.read_text())
        content["online_store"]["type"], content["registry"]["path"], content["project"]
    except (ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        raise Refused(f"{file} is damaged or of another kind: {REPAIR}") from error
    return content


def _name(layout: Layout, project: str) -> str:
    """Return the name that the workspace has in Feast, or the one to give it.

    The keys in Redis hold the name, so it stays when the folder gets another name, and when there is a copy of it.
    """
    if (layout.repo / REPOSITORY).exists():
        return str(_read(layout)["project"])
    return re.sub(r"[^A-Za-z0-9]+", "_", project).strip("_") or PROJECT


def _repository(layout: Layout, schema: FeatureSchema, project: str, redis: str | None) -> dict[str, str]:
    """Return file name -> text of the generated repository."""
    return {
        REPOSITORY: _yaml(layout, project, redis),
        "definitions.py": DEFINITIONS,
        "schema.json": write_views(schema),
    }


def _yaml(layout: Layout, project: str, redis: str | None) -> str:
    """Return the text of feature_store.yaml.

    Paths are absolute, as the SQL registry and DuckDB resolve relative ones against the working directory.
    """
    online = ("type: redis", f"connection_string: {_quoted(_connection(redis))}") if redis else _file(layout)
    return (
        f"project: {project}\n"
        "provider: local\n"
        "entity_key_serialization_version: 3\n"
        "registry:\n"
        "  registry_type: sql\n"
        f"  path: {_quoted(f'sqlite:///{quote(str(layout.registry))}')}\n"
        "  serve_features_while_materializing: true\n"
        f"online_store:\n  {online[0]}\n  {online[1]}\n"
        "offline_store:\n"
        "  type: duckdb\n"
    )


def _file(layout: Layout) -> tuple[str, str]:
    return f"type: {PACKED}", f"path: {_quoted(str(layout.online))}"


def _connection(redis: str) -> str:
    """Return the address with the time-outs that it lacks."""
    limits = [f"{name}={TIMEOUT_S}" for name in ("socket_timeout", "socket_connect_timeout")]
    return ",".join([redis, *(limit for limit in limits if limit.partition("=")[0] not in redis)])


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
