"""Every pitfall of Feast's online stores, one test each, and a test that our stores avoid it: the file and Redis alike.

Tests named `test_the_library_still_…` show a pitfall on the library alone; when one fails, our store may be simplified.
"""

import itertools
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from decisioning.facts.schema import FeatureSchema
from features.profile.online import Profiles, open_profiles
from features.profile.repository import apply
from features.profile.store import Store
from features.profile.stores.protos import Proto, entity_key
from features.profile.versions import Stamp, State, Version
from tests.features.conftest import FEATURES, NOW_US, SCHEMA, open_world
from tests.features.processes import child, warm_up

counter = itertools.count()


@pytest.fixture(autouse=True, scope="module")
def _warm() -> None:
    warm_up()


def fresh() -> str:
    """Return a subject that no other test uses."""
    return f"trapped-{next(counter)}"


@pytest.fixture(scope="module")
def redis(tmp_path_factory, redis_at):
    """A workspace with its online store on Redis."""
    with open_world(tmp_path_factory, redis_at) as opened:
        yield opened


@pytest.fixture(scope="module")
def sqlite(world):
    return world


def library(world: SimpleNamespace) -> Any:
    """Return Feast's own store, with a connection of its own."""
    from feast import FeatureStore

    feast = FeatureStore(repo_path=str(world.data / "feature_repo"))
    return SimpleNamespace(
        store=feast._get_provider().online_store, config=feast.config, view=feast.get_feature_view("profile")
    )


def write_row(lib: Any, subject: str, age: int, at_s: float) -> None:
    when = datetime.fromtimestamp(at_s, UTC)
    lib.store.online_write_batch(
        lib.config, lib.view, [(entity_key(subject), {"age": Proto(int64_val=age)}, when, when)], None
    )


def read(lib: Any, subject: str) -> tuple[Any, Any]:
    ((when, values),) = lib.store.online_read(lib.config, lib.view, [entity_key(subject)])
    return when, values


def age_of(world: SimpleNamespace, subject: str) -> Any:
    return world.profiles.read([subject], now_us=NOW_US)[0].facts.get("age")


# What a read returns


def test_our_reading_of_their_format_is_what_feast_itself_answers(both) -> None:
    """Our stores read the file by a SELECT of their own, and Redis through Feast's private `_read_hash_fields`."""
    subject, stranger = fresh(), fresh()
    facts = {"age": 41, "fee_eur": 29.5, "hardship": False, "plan": "plus", "city": "é", "since": -1, "churn_risk": 0.0}
    both.profiles.write(subject, facts, NOW_US, now_us=NOW_US)
    both.profiles.write(subject, {"city": None}, NOW_US + 1, now_us=NOW_US + 1)
    refs = [f"{'scores' if f.source == 'model' else 'profile'}:{f.name}" for f in FEATURES if f.name != "page"]
    answer = both.store.feast.get_online_features(refs, [{"subject": subject}, {"subject": stranger}]).to_dict()
    del answer["subject"]
    for i, stored in enumerate(both.profiles.read([subject, stranger], now_us=NOW_US)):
        assert {name: column[i] for name, column in answer.items() if column[i] is not None} == stored.facts


def test_what_we_write_to_redis_is_what_feast_would_have_written(redis) -> None:
    lib, ours, theirs = library(redis), fresh(), fresh()
    redis.profiles.write(ours, {"age": 3}, 1_500_000, now_us=1_500_000)
    write_row(lib, theirs, 3, 1.5)
    hashes = [redis.store.online.client.hgetall(key) for key in redis.store.online._keys([ours, theirs])]
    assert len(hashes[0]) == 3  # age, the view's timestamp, and our column of times
    assert hashes[0].items() > hashes[1].items()
    assert read(lib, ours)[0] == datetime.fromtimestamp(1.5, UTC)


def test_one_read_is_one_round_trip(redis) -> None:
    """Feast's `online_read` sends a command per view."""
    client = redis.store.online.client
    before = client.info("commandstats")
    expected = {"cmdstat_hmget": 1 + 3}  # the mark, and a subject's views in one command each
    redis.profiles.read([fresh(), fresh(), fresh()], now_us=NOW_US)
    after = client.info("commandstats")
    assert {name: after[name]["calls"] - before.get(name, {"calls": 0})["calls"] for name in expected} == expected


def test_an_absent_subject_has_no_facts(both) -> None:
    """Pitfall: Feast reads a missing Redis entity as nulls, PRESENT, of 1970; here it has no facts, and no age."""
    subject = fresh()
    both.profiles.write(subject, {"age": 3}, 1, now_us=2)
    nobody, somebody, again = both.profiles.read([fresh(), subject, subject], now_us=NOW_US)
    assert (nobody.facts, nobody.raw, nobody.signals) == ({}, {}, None)
    assert somebody.facts == again.facts == {"age": 3}
    assert both.profiles.read([], now_us=NOW_US) == []


def test_the_library_still_reports_an_absent_redis_entity_as_present(redis) -> None:
    from feast.protos.feast.serving.ServingService_pb2 import FieldStatus

    when, values = read(library(redis), fresh())
    assert (when, set(values)) == (datetime.fromtimestamp(0, UTC), {f.name for f in library(redis).view.features})
    answer = redis.store.feast.get_online_features(["profile:age"], [{"subject": fresh()}]).proto
    assert [list(column.statuses) for column in answer.results][-1] == [FieldStatus.PRESENT]


@pytest.mark.promise("profile.newest-fact-wins")
@pytest.mark.parametrize(("older_us", "is_known"), [(60_000_000, True), (60_000_001, False), (-5, True)])
def test_age_is_ours_to_the_microsecond(both, older_us, is_known) -> None:
    """Pitfall: Feast applies no TTL online."""
    subject = fresh()
    both.profiles.write(subject, {"fresh_eur": 1.0, "age": 50}, NOW_US - older_us, now_us=NOW_US)
    (stored,) = both.profiles.read([subject], now_us=NOW_US)
    assert ("fresh_eur" in stored.facts) is is_known
    assert stored.facts["age"] == 50
    assert stored.raw["fresh_eur"] == (1.0, NOW_US - max(older_us, 0))


def test_the_library_still_applies_no_ttl_online(both) -> None:
    lib, subject = library(both), fresh()
    lib.view.ttl = timedelta(seconds=1)
    write_row(lib, subject, 7, 1_000_000.0)
    assert read(lib, subject)[1]["age"].int64_val == 7


# Which write wins


@pytest.mark.promise("profile.newest-fact-wins")
def test_an_older_event_never_overwrites_a_newer_one_per_feature(both) -> None:
    """Pitfall: Feast's Redis store drops a whole row, with its newer values."""
    subject = fresh()
    both.profiles.write(subject, {"age": 50, "city": "Delft"}, NOW_US, now_us=NOW_US)
    both.profiles.write(subject, {"age": 49, "plan": "basic"}, NOW_US - 1, now_us=NOW_US + 1)
    both.profiles.write(subject, {"fee_eur": 5.0}, NOW_US, now_us=NOW_US)
    (stored,) = both.profiles.read([subject], now_us=NOW_US)
    assert stored.raw == {
        "age": (50, NOW_US),
        "city": ("Delft", NOW_US),
        "plan": ("basic", NOW_US - 1),
        "fee_eur": (5.0, NOW_US),
    }


def test_the_library_still_drops_what_is_not_newer_on_redis(redis) -> None:
    lib, subject = library(redis), fresh()
    write_row(lib, subject, 2, 1_000_001.0)
    write_row(lib, subject, 3, 1_000_001.0)
    write_row(lib, subject, 1, 1_000_000.0)
    assert read(lib, subject)[1]["age"].int64_val == 2


def test_the_library_still_checks_and_sets_on_redis_without_a_lock(redis) -> None:
    """An older row overwrites a newer one that was written between its check and its write."""
    lib, other, subject = library(redis), library(redis), fresh()

    class Interrupted(list):
        """Feast iterates over the rows once to check and once to write."""

        iterations = 0

        def __iter__(self):
            self.iterations += 1
            if self.iterations == 2:
                write_row(other, subject, 2, 1_000_001.0)
            return super().__iter__()

    older = datetime.fromtimestamp(1_000_000.0, UTC)
    rows = Interrupted([(entity_key(subject), {"age": Proto(int64_val=1)}, older, older)])
    lib.store.online_write_batch(lib.config, lib.view, rows, None)
    assert read(lib, subject)[1]["age"].int64_val == 1


def test_a_writer_that_comes_between_reading_and_writing_is_not_overwritten_on_redis(redis) -> None:
    """Our store notices, reads again and decides again."""
    subject, other = fresh(), Store(redis.data)
    table, versions = redis.store.signals, []

    def change(_: str, stored: State) -> State:
        versions.append({name: version.value for name, version in stored.items() if name == "_signals_version"})
        if len(versions) == 1:
            other.write_signals({subject: (5, b"between")})
        return {"_signals_version": Version(6, Stamp(1, 1))}

    redis.store.online.update(table, [subject], change)
    assert versions == [{}, {"_signals_version": 5}]
    assert redis.store.read_signals([subject]) == [(6, b"between")]


def test_nobody_writes_between_reading_and_writing_on_sqlite(sqlite) -> None:
    subject = fresh()
    other = sqlite3.connect(sqlite.data / "online.db", timeout=0.01, isolation_level=None)

    def change(_: str, __: Any) -> None:
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")

    sqlite.store.online.update(sqlite.store.signals, [subject], change)
    other.execute("BEGIN IMMEDIATE")
    other.execute("ROLLBACK")
    other.close()


# Many at once


def race(*writers: tuple[Profiles, str, Any], subject: str, rounds: int = 15) -> None:
    """Let each writer write one feature of the same subject, `rounds` times, at the same times."""

    def write(profiles: Profiles, name: str, value: object) -> None:
        for i in range(rounds):
            profiles.write(subject, {name: value}, i, now_us=i)
            (stored,) = profiles.read([subject], now_us=rounds)
            assert stored.raw[name] == (value, i)

    with ThreadPoolExecutor(len(writers)) as pool:
        list(pool.map(lambda writer: write(*writer), writers))


def test_threads_share_the_store_without_losing_a_write(both) -> None:
    subject, mine = fresh(), both.profiles
    race((mine, "age", 1), (mine, "city", "x"), (mine, "plan", "plus"), (mine, "churn_risk", 1.0), subject=subject)
    raw = {"age": (1, 14), "city": ("x", 14), "plan": ("plus", 14), "churn_risk": (1.0, 14)}
    assert mine.read([subject], now_us=20)[0].raw == raw


def test_machines_share_a_redis_without_losing_a_write(redis, tmp_path) -> None:
    """The folders of two workspaces share no lock; they share only Redis."""
    elsewhere = tmp_path / "data"
    elsewhere.mkdir()
    apply(elsewhere, SCHEMA, redis.store.config.project, redis.redis)
    subject, other = fresh(), open_profiles(elsewhere, SCHEMA)
    race((redis.profiles, "age", 7), (other, "city", "y"), (redis.profiles, "plan", "plus"), subject=subject, rounds=40)
    assert other.read([subject], now_us=90)[0].raw == {"age": (7, 39), "city": ("y", 39), "plan": ("plus", 39)}


def test_reads_do_not_wait_for_another_process_that_writes(sqlite) -> None:
    subject = fresh()
    sqlite.profiles.write(subject, {"age": 4}, 1, now_us=2)
    writer = sqlite3.connect(sqlite.data / "online.db", isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    start_s = time.perf_counter()
    assert age_of(sqlite, subject) == 4
    assert time.perf_counter() - start_s < 1
    writer.execute("ROLLBACK")
    writer.close()


def test_reads_do_not_wait_for_a_thread_that_writes(sqlite) -> None:
    subject, reading, finished = fresh(), threading.Event(), threading.Event()
    sqlite.profiles.write(subject, {"age": 4}, 1, now_us=2)

    def change(_: str, __: Any) -> None:
        reading.set()
        finished.wait(5)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(sqlite.store.online.update, sqlite.store.signals, [subject], change)
        reading.wait(5)
        start_s = time.perf_counter()
        assert age_of(sqlite, subject) == 4
        assert time.perf_counter() - start_s < 1
        finished.set()
        writing.result()


# Registry


def test_a_process_that_is_open_sees_what_another_applied(tmp_path, redis_at) -> None:
    """Pitfall: Feast resolves views from one registry cache per process, which does not expire in time."""
    from feast import FeatureStore

    (tmp_path / "data").mkdir()
    for data, redis in ((tmp_path / "data", None), (tmp_path / "other", redis_at)):
        data.mkdir(exist_ok=True)
        apply(data, FeatureSchema(FEATURES[:1]), "registry-trap", redis)
        old, lib = Store(data), FeatureStore(repo_path=str(data / "feature_repo"))
        lib.get_feature_view("profile")
        other = FeatureStore(repo_path=str(data / "feature_repo"))
        other.get_feature_view("profile", allow_registry_cache=True)
        apply(data, SCHEMA, "registry-trap", redis)
        profiles = Profiles(old, SCHEMA)
        profiles.write("s1", {"plan": "plus"}, 1, now_us=2)
        assert profiles.read(["s1"], now_us=3)[0].facts == {"plan": "plus"}


def test_reads_go_on_while_a_view_is_materialising(tmp_path, redis_at) -> None:
    """Pitfall: without `serve_features_while_materializing`, Feast refuses reads of a view in that state."""
    from feast.feature_view import FeatureViewState

    for redis in (None, redis_at):
        data = tmp_path / ("redis" if redis else "sqlite")
        data.mkdir()
        apply(data, SCHEMA, "materialising-trap", redis)
        profiles, subject = open_profiles(data, SCHEMA), fresh()
        profiles.write(subject, {"age": 4}, 1, now_us=2)
        feast = profiles.store.feast
        view = feast.get_feature_view("profile")
        view.state, view.tags = FeatureViewState.MATERIALIZING, {"changed": "yes"}
        feast.registry.apply_feature_view(view, feast.project)  # Feast's SQL registry drops a change of state alone
        feast.refresh_registry()
        assert feast.get_feature_view("profile").state == FeatureViewState.MATERIALIZING
        assert profiles.read([subject], now_us=3)[0].facts == {"age": 4}
        assert feast.get_online_features(["profile:age"], [{"subject": subject}]).to_dict()["age"] == [4]
        profiles.delete(subject)


# Processes come last, when the server that they are forked from has imported everything


def write_forty(pipe: Connection, data: Path, subject: str, name: str) -> None:
    """Run in one of two processes that begin at the same time."""
    profiles = open_profiles(data, SCHEMA)
    profiles.store.online  # noqa: B018  opened before the race
    pipe.send("ready")
    pipe.recv()
    for i in range(40):
        profiles.write(subject, {name: i}, i, now_us=i)
        profiles.store.write_signals({subject: (i, b"%d" % i)})


def race_of_processes(world: SimpleNamespace) -> None:
    """Let two processes write two features of one view, and signals, of the same subject."""
    subject = fresh()
    with child(write_forty, world.data, subject, "age") as one, child(write_forty, world.data, subject, "since") as two:
        for process in (one, two):
            assert process.pipe.recv() == "ready"
        for process in (one, two):
            process.pipe.send("go")
        one.finished()
        two.finished()
    (stored,) = world.profiles.read([subject], now_us=NOW_US)
    assert (stored.raw, stored.signals) == ({"age": (39, 39), "since": (39, 39)}, (39, b"39"))


def test_processes_share_sqlite_without_losing_a_write(sqlite) -> None:
    race_of_processes(sqlite)


def test_processes_share_redis_without_losing_a_write(redis) -> None:
    race_of_processes(redis)
