"""A workspace with the online store in Feast's layout is brought into today's when it is opened, and only then."""

import shutil
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import select

from decisioning.errors import Unavailable
from decisioning.facts.standing_rules import NO_PAST
from features.ledger import Ledger
from features.ledger.tables import SIGNAL_STATES
from features.profile.offline import History
from features.profile.online import Profiles
from features.profile.store import Store
from features.profile.stores import sqlite
from features.profile.stores.rows import table_of
from features.profile.stores.sqlite import SqliteOnline
from features.profile.versions import Stamp, State, Version, decode_stamps
from features.views import read_views
from serving.brain.runtime import Brain
from serving.commands.importing import open_stores
from serving.settings import Workspace
from tests.features.conftest import NOW_US
from tests.recorded.test_recorded_ledger import unpack

SECRET = "Gerkesklooster-Stroobos"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The workspace that commit b29a19b wrote, which the tests copy."""
    return unpack(tmp_path_factory.mktemp("recorded"))


@pytest.fixture
def workspace(recorded: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the workspace in a folder of another name."""
    shutil.copytree(recorded.root, tmp_path / "copied")
    return Workspace.open(tmp_path / "copied")


def stored_by_feast(file: Path, view: str) -> dict[str, State]:
    """Return what a view's table in Feast's layout says of each subject, read with Feast's own means.

    Nothing counts as later than it was recorded: some facts were told for a few microseconds after.
    """
    from feast.infra.key_encoding_utils import deserialize_entity_key
    from feast.protos.feast.types.Value_pb2 import Value

    with sqlite3.connect(file) as db:
        rows = db.execute(f"SELECT entity_key, feature_name, value FROM recorded_{view}").fetchall()
    cells: dict[str, dict[str, object]] = {}
    for key, name, value in rows:
        subject = deserialize_entity_key(key, 3).entity_values[0].string_val
        proto = Value.FromString(value)
        field = proto.WhichOneof("val")
        cells.setdefault(subject, {})[name] = getattr(proto, field) if field else None
    return {
        subject: {
            n: Version(own.get(n), Stamp(min(stamp), stamp.created_us))
            for n, stamp in decode_stamps(own[f"_{view}_stamps"]).items()
        }
        for subject, own in cells.items()
    }


def bytes_of(file: Path) -> bytes:
    return b"".join(
        file.with_name(file.name + suffix).read_bytes()
        for suffix in ("", "-wal")
        if file.with_name(file.name + suffix).exists()
    )


def test_every_value_and_time_is_what_feast_held(workspace) -> None:
    file = workspace.data / "online.db"
    views = read_views(workspace.data / "feature_repo" / "schema.json")
    before = {view.name: stored_by_feast(file, view.name) for view in views}
    online = Store(workspace.data).online
    assert isinstance(online, SqliteOnline)
    for view in views:
        states = online.states(table_of(view), list(before[view.name]))
        assert dict(zip(before[view.name], states, strict=True)) == before[view.name]
    assert len(before["profile"]) == 42
    assert {name for (name,) in online.writer.execute("SELECT name FROM sqlite_master WHERE type = 'table'")} == {
        "facts",
        "packing",
        "rewrites",
    }


def test_nothing_of_who_is_not_in_the_history_any_more_stays_in_the_file(workspace) -> None:
    """A table that was named after another folder still holds people who were erased since."""
    file = workspace.data / "online.db"
    with sqlite3.connect(file) as db:
        db.execute("CREATE TABLE other_profile AS SELECT * FROM recorded_profile")
        db.execute("UPDATE other_profile SET value = ?, entity_key = 'erased'", (SECRET.encode(),))
    assert SECRET.encode() in bytes_of(file)
    online = Store(workspace.data).online
    assert isinstance(online, SqliteOnline)
    assert online.outdated() == []
    assert SECRET.encode() not in bytes_of(file)
    assert online.writer.execute("PRAGMA secure_delete").fetchone() == (1,)


@pytest.mark.parametrize(("where", "step"), [(SqliteOnline, "fill"), (SqliteOnline, "retire"), (sqlite, "empty_log")])
def test_a_migration_that_was_interrupted_is_finished_by_the_next_opening(workspace, monkeypatch, where, step) -> None:
    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    views = read_views(workspace.data / "feature_repo" / "schema.json")
    before = stored_by_feast(workspace.data / "online.db", "profile")
    with monkeypatch.context() as patch:
        patch.setattr(where, step, crash)
        with pytest.raises(KeyboardInterrupt):
            Store(workspace.data).online  # noqa: B018  opened at its first use
    online = Store(workspace.data).online
    assert isinstance(online, SqliteOnline)
    assert online.outdated() == []
    assert dict(zip(before, online.states(table_of(views[0]), list(before)), strict=True)) == before


def test_a_file_that_someone_reads_is_used_at_once_and_swept_later(workspace, monkeypatch) -> None:
    def busy(*_: object) -> None:
        raise Unavailable("read elsewhere")

    with monkeypatch.context() as patch:
        patch.setattr(sqlite, "empty_log", busy)
        online = Store(workspace.data).online
        assert isinstance(online, SqliteOnline)
        assert online.filled()
    assert online.outdated() == ["retired_profile"]
    assert SqliteOnline(workspace.data / "online.db").filled()
    Store(workspace.data).online  # noqa: B018  opened at its first use
    assert online.outdated() == []


def test_signals_of_the_old_file_are_copied_from_the_ledger_when_they_are_read(workspace) -> None:
    with sqlite3.connect(workspace.data / "online.db") as db:
        assert db.execute("SELECT count(*) FROM recorded_signals").fetchone() > (0,)
    brain = Brain(workspace)
    try:
        (stream,) = brain.ledger.select(select(SIGNAL_STATES.c.stream).where(SIGNAL_STATES.c.body.is_not(None)))[0]
        version = brain.ledger.read_with_signals(stream, rules=NO_PAST)[1][0]
        assert brain._store.read_signals([stream]) == [None]
        brain.snapshot.signals.read([stream], NOW_US)
    finally:
        brain.close()
    (copy,) = Store(workspace.data).read_signals([stream])
    assert copy is not None
    assert copy.version == version


def test_a_copy_in_another_folder_has_the_facts_and_shares_nothing_with_the_original(workspace, recorded) -> None:
    """Feast's project was named after the folder, and its files by absolute paths."""
    with open_stores(workspace) as (ledger, release, history):
        assert isinstance(ledger, Ledger)
        frame_before = history.archive.table(history.archive.views[0])
        stream = frame_before["subject"][0].as_py()
        assert history.profiles.read([stream], now_us=NOW_US)[0].raw
        other = Store(recorded.data)
        profiles = Profiles(other, release.schema)
        name = next(f.name for f in release.schema.of_source("profile") if f.dtype == "float")
        profiles.write(stream, {name: 3.25}, NOW_US * 2, now_us=NOW_US * 2)
        assert history.profiles.read([stream], now_us=NOW_US)[0].raw.get(name) != (3.25, NOW_US * 2)
        feast = history.profiles.store.feast
        assert str(recorded.root) not in (workspace.data / "feature_repo" / "feature_store.yaml").read_text()
        paths = [view.batch_source.path for view in feast.list_feature_views()]
        assert [Path(path).parent for path in paths] == [workspace.data.resolve() / "offline"] * 3
        assert isinstance(history, History)
