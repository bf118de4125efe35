"""The generated Feast repository, as Feast's own command line, registry and user interface show it."""

import asyncio
import shutil
import socket
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner

from decisioning.errors import Refused
from decisioning.facts.schema import Feature, FeatureSchema
from features.profile.loading import unfit
from features.profile.offline import History, fill
from features.profile.online import Profiles, open_profiles
from features.profile.repository import apply
from tests.features.conftest import FEATURES, SCHEMA

ENTITIES = pa.table({"subject": ["s1"], "event_timestamp": pa.array([5], pa.timestamp("us", "UTC"))})


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def registered(data: Path) -> dict[str, set[str]]:
    """Return view -> its features, from the registry as another process reads it."""
    from feast import FeatureStore

    views = FeatureStore(repo_path=str(data / "feature_repo")).list_feature_views()
    return {v.name: {f.name for f in v.features} for v in views}


def test_features_are_registered_by_source_and_nothing_else(world) -> None:
    assert registered(world.data) == {
        "profile": {"age", "fee_eur", "fresh_eur", "hardship", "plan", "city", "since", "_profile_stamps"},
        "scores": {"churn_risk", "_scores_stamps"},
        "signals": {"_signals_version", "_signals_state"},
    }


def test_apply_again_is_quick_and_needs_no_feast(world) -> None:
    before = (world.data / "registry.db").read_bytes()
    start_s = time.perf_counter()
    apply(world.data, SCHEMA, "a-workspace")
    assert time.perf_counter() - start_s < 0.1
    assert (world.data / "registry.db").read_bytes() == before


@pytest.mark.promise("serving.feast")
def test_feast_command_line_lists_and_applies(world) -> None:
    from feast.cli.cli import cli

    repo = str(world.data / "feature_repo")
    listed = CliRunner().invoke(cli, ["-c", repo, "feature-views", "list"])
    assert listed.exit_code == 0, listed.output
    assert "profile" in listed.output
    assert "scores" in listed.output
    applied = CliRunner().invoke(cli, ["-c", repo, "apply"])
    assert applied.exit_code == 0, applied.output
    assert registered(world.data)["scores"] == {"churn_risk", "_scores_stamps"}


def test_internal_views_are_told_from_features_by_tag_and_description(world) -> None:
    from feast import FeatureStore

    store = FeatureStore(repo_path=str(world.data / "feature_repo"))
    assert {v.name for v in store.list_feature_views(tags={"holds": "features"})} == {"profile", "scores"}
    (internal,) = store.list_feature_views(tags={"holds": "state"})
    assert internal.name == "signals"
    assert internal.description.startswith("Internal: ")
    assert all(v.description for v in store.list_feature_views())


@pytest.mark.promise("serving.feast")
def test_feast_ui_shows_the_project(world) -> None:
    from feast.ui_server import get_app

    app = get_app(world.profiles.store.feast, "a_workspace")
    assert "a_workspace" in get_body(app, "/projects-list.json", "")
    assert "churn_risk" in get_body(app, "/api/v1/feature_views", "project=a_workspace")


def get_body(app, path: str, query: str) -> str:
    """Return the body of one GET, without a network."""
    scope = {"type": "http", "method": "GET", "path": path, "query_string": query.encode(), "headers": []}
    body: list[bytes] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b""}

    async def send(message: dict[str, Any]) -> None:
        body.append(message.get("body", b""))

    asyncio.run(app(scope, receive, send))
    return b"".join(body).decode()


def test_a_dropped_feature_leaves_the_registry_and_returns_with_a_rollback(data) -> None:
    apply(data, SCHEMA, "ws")
    open_profiles(data, SCHEMA).write("s1", {"city": "Utrecht", "age": 30}, 1, now_us=2)
    smaller = FeatureSchema(tuple(f for f in FEATURES if f.name != "city"))
    apply(data, smaller, "ws")
    assert "city" not in registered(data)["profile"]
    assert open_profiles(data, smaller).read(["s1"], now_us=3)[0].facts == {"age": 30}
    apply(data, SCHEMA, "ws")
    assert open_profiles(data, SCHEMA).read(["s1"], now_us=3)[0].facts == {"age": 30, "city": "Utrecht"}


def test_a_process_that_is_open_sees_what_another_applied(data) -> None:
    """Pitfall: Feast resolves views from one registry cache per process, which does not expire in time."""
    apply(data, FeatureSchema(FEATURES[:1]), "ws")
    old = open_profiles(data, FeatureSchema(FEATURES[:1]))
    old.read(["s1"], now_us=1)
    History(old).point_in_time(ENTITIES)
    apply(data, SCHEMA, "ws")
    new = Profiles(old.store, SCHEMA)
    new.write("s1", {"plan": "plus"}, 1, now_us=2)
    assert new.read(["s1"], now_us=3)[0].facts == {"plan": "plus"}
    assert History(new).point_in_time(ENTITIES)["plan"].to_pylist() == ["plus"]


@pytest.mark.parametrize("compacted", [True, False])
def test_a_history_that_does_not_fit_a_new_dtype_is_refused(data, compacted) -> None:
    apply(data, SCHEMA, "ws")
    profiles = open_profiles(data, SCHEMA)
    profiles.write("s1", {"city": "Utrecht", "age": 3}, 1, now_us=2)
    if compacted:
        profiles.archive.compact()
    changed = tuple(Feature(name="city", dtype="float") if f.name == "city" else f for f in FEATURES)
    with pytest.raises(Refused, match="city"):
        apply(data, FeatureSchema(changed), "ws")
    widened = FeatureSchema(tuple(Feature(name="age", dtype="float") if f.name == "age" else f for f in FEATURES))
    apply(data, widened, "ws")
    assert open_profiles(data, widened).read(["s1"], now_us=3)[0].facts["age"] == 3.0


@pytest.mark.promise("profile.releases-side-by-side")
def test_a_rollback_is_never_refused_and_loses_nothing_that_its_types_do_not_fit(data) -> None:
    older, newer = (
        FeatureSchema(tuple(Feature(name="age", dtype=dtype) if f.name == "age" else f for f in FEATURES))
        for dtype in ("int", "string")
    )

    def known(schema: FeatureSchema) -> list[tuple[object, object]]:
        """Return what is served and what the history says, for each of three customers."""
        profiles = open_profiles(data, schema)
        subjects = ["s1", "s2", "s3"]
        entities = pa.table({"subject": subjects, "event_timestamp": pa.array([99] * 3, pa.timestamp("us", "UTC"))})
        past = History(profiles).point_in_time(entities)["age"].to_pylist()
        return [(s.facts.get("age"), p) for s, p in zip(profiles.read(subjects, now_us=99), past, strict=True)]

    apply(data, older)
    open_profiles(data, older).write("s1", {"age": 41}, 1, now_us=2)
    apply(data, newer)
    profiles = open_profiles(data, newer)
    profiles.write("s2", {"age": "old"}, 1, now_us=2)
    profiles.write("s3", {"age": "older", "city": "Delft"}, 1, now_us=2)
    profiles.archive.compact()
    with pytest.raises(Refused, match="age"):
        apply(data, older)
    apply(data, older, keep=True)
    assert known(older) == [(41, 41), (None, None), (None, None)]
    assert open_profiles(data, older).archive.statements_of("s2")[0].facts == {"age": "old"}
    back = open_profiles(data, older)
    back.write("s2", {"city": "Gouda"}, 3, now_us=3)
    back.write("s3", {"age": 50}, 3, now_us=3)
    at_5 = pa.array([5], pa.timestamp("us", "UTC"))
    History(back).import_profiles(pa.table({"subject": ["s2"], "event_timestamp": at_5, "fee_eur": [1.5]}))
    assert known(older) == [(41, 41), (None, None), (50, 50)]
    (data / "online.db").unlink()
    for suffix in ("-wal", "-shm"):
        (data / f"online.db{suffix}").unlink(missing_ok=True)
    fill(data, older)
    assert known(older) == [(41, 41), (None, None), (50, 50)]
    apply(data, newer)
    assert [past for _, past in known(newer)] == ["41", "old", "50"]
    assert known(newer)[1] == ("old", "old")
    apply(data, older, keep=True)
    assert known(older) == [(41, 41), (None, None), (50, 50)]


def test_a_rollback_can_tell_of_how_many_a_value_does_not_fit(data) -> None:
    whole, half = (
        FeatureSchema(tuple(Feature(name="age", dtype=dtype) if f.name == "age" else f for f in FEATURES))
        for dtype in ("int", "float")
    )
    apply(data, whole)
    apply(data, half)
    profiles = open_profiles(data, half)
    for subject, age in (("s1", 40.5), ("s2", 41.0), ("s3", 42.5)):
        profiles.write(subject, {"age": age}, 1, now_us=2)
    profiles.write("s3", {"age": 43.0}, 3, now_us=3)
    profiles.archive.compact()
    assert unfit(profiles.archive) == {}
    apply(data, whole, keep=True)
    back = open_profiles(data, whole)
    assert unfit(back.archive) == {"age": 1}
    assert [one.facts.get("age") for one in back.read(["s1", "s2", "s3"], now_us=9)] == [None, 41, 43]


def test_a_process_on_the_previous_release_cannot_break_the_history(data) -> None:
    apply(data, SCHEMA, "ws")
    before = open_profiles(data, SCHEMA)
    swapped = {"age": Feature(name="age", dtype="string"), "city": Feature(name="city", dtype="bool")}
    apply(data, FeatureSchema(tuple(swapped.get(f.name, f) for f in FEATURES)), "ws")
    before.write("s1", {"age": 30, "city": "x", "since": 4}, 1, now_us=2)
    assert before.archive.compact() == 1
    frame = History(Profiles(before.store, FeatureSchema(FEATURES[6:7]))).point_in_time(ENTITIES)
    assert frame["since"].to_pylist() == [4]


def test_a_schema_that_was_never_applied_is_refused(data) -> None:
    apply(data, FeatureSchema(FEATURES[:2]), "ws")
    with pytest.raises(Refused, match="brain release"):
        open_profiles(data, SCHEMA)


def test_no_repository_yet_is_said_plainly(data) -> None:
    with pytest.raises(Refused, match="brain release"):
        open_profiles(data, SCHEMA)


def test_a_moved_workspace_works_once_applied_again(data, tmp_path) -> None:
    """Pitfall: the SQL registry and DuckDB resolve relative paths against the working directory; ours are absolute."""
    apply(data, SCHEMA, "ws")
    open_profiles(data, SCHEMA).write("s1", {"age": 30}, 1, now_us=2)
    moved = tmp_path / "moved"
    shutil.move(data, moved)
    apply(moved, SCHEMA, "ws")
    profiles = open_profiles(moved, SCHEMA)
    assert profiles.read(["s1"], now_us=3)[0].facts == {"age": 30}
    assert History(profiles).point_in_time(ENTITIES)["age"].to_pylist() == [30]
    assert not data.exists()


@pytest.mark.parametrize("released", [True, False])
def test_a_copy_in_another_folder_has_the_facts_and_leaves_the_original_alone(data, tmp_path, released) -> None:
    apply(data, SCHEMA)
    open_profiles(data, SCHEMA).write("s1", {"age": 30}, 1, now_us=2)
    copied = tmp_path / "another" / "data"
    shutil.copytree(data, copied)
    if released:
        apply(copied, SCHEMA)
    profiles = open_profiles(copied, SCHEMA)
    assert profiles.read(["s1"], now_us=3)[0].facts == {"age": 30}
    profiles.write("s1", {"age": 31}, 2, now_us=3)
    assert History(profiles).point_in_time(ENTITIES)["age"].to_pylist() == [31]
    assert profiles.store.feast.get_online_features(["profile:age"], [{"subject": "s1"}]).to_dict()["age"] == [31]
    original = open_profiles(data, SCHEMA)
    assert original.read(["s1"], now_us=3)[0].facts == {"age": 30}
    assert History(original).point_in_time(ENTITIES)["age"].to_pylist() == [30]


@pytest.mark.promise("serving.copies")
@pytest.mark.parametrize(("name", "other"), [("a[bc]", "ab"), ("a*", "abc"), ("age=99", "b"), ("20%25 of?", "c")])
def test_a_folders_name_reads_no_other_workspaces_history(data, tmp_path, name, other) -> None:
    apply(data, SCHEMA)
    for age, folder in ((31, name), (77, other)):
        copied = tmp_path / folder / "data"
        shutil.copytree(data, copied)
        apply(copied, SCHEMA)
        open_profiles(copied, SCHEMA).write("s1", {"age": age}, 1, now_us=2)
        History(open_profiles(copied, SCHEMA)).point_in_time(ENTITIES)
    profiles = open_profiles(tmp_path / name / "data", SCHEMA)
    assert History(profiles).point_in_time(ENTITIES)["age"].to_pylist() == [31]


@pytest.mark.promise("serving.inside-the-workspace")
def test_nothing_is_sent_and_nothing_written_outside_the_workspace(data, world, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("Feast opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    apply(data, SCHEMA, "ws")
    open_profiles(data, SCHEMA).write("s1", {"age": 30}, 1, now_us=2)
    assert list(world.outside.iterdir()) == []
