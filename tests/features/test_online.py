"""Profiles and scores as served: the times are ours, whatever Feast's stores do with theirs."""

import sqlite3
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.errors import RequestError, Unavailable
from decisioning.schema import Feature, FeatureSchema
from features.online import Profiles, open_profiles
from features.repository import apply
from features.versions import Stamp, Version
from tests.features.conftest import DAY_US, FEATURES, NOW_US, SCHEMA

FULL = {
    "age": 41,
    "fee_eur": 29.5,
    "fresh_eur": -0.0,
    "hardship": False,
    "plan": "plus",
    "city": "Delft",
    "since": 1_600_000_000_000_001,
    "churn_risk": 0.25,
}
counter = iter(range(10**9))


def fresh() -> str:
    """A subject no other test knows."""
    return f"subject-{next(counter)}"


def test_what_is_written_is_read_with_its_own_time(world) -> None:
    subject = fresh()
    world.profiles.write(subject, FULL, NOW_US - 7, now_us=NOW_US)
    (stored,) = world.profiles.read([subject], now_us=NOW_US)
    assert stored.facts == FULL
    assert {name: type(v) for name, v in stored.facts.items()} == {name: type(v) for name, v in FULL.items()}
    assert stored.raw == {name: (value, NOW_US - 7) for name, value in FULL.items()}


def test_it_is_what_feast_itself_answers(world) -> None:
    """The contract that lets us read with `online_read` per view instead of `get_online_features`."""
    subject, stranger = fresh(), fresh()
    world.profiles.write(subject, FULL, NOW_US, now_us=NOW_US)
    refs = [f"{'scores' if f.source == 'model' else 'profile'}:{f.name}" for f in FEATURES if f.name != "page"]
    rows = [{"subject": subject}, {"subject": stranger}]
    answer = world.profiles.store.feast.get_online_features(refs, rows).to_dict()
    ours = world.profiles.read([subject, stranger], now_us=NOW_US)
    for i, stored in enumerate(ours):
        assert {
            n: column[i] for n, column in answer.items() if n != "subject" and column[i] is not None
        } == stored.facts


def test_an_absent_subject_has_no_facts_and_no_raw_values(world) -> None:
    """Trap: through `get_online_features` an absent Redis entity reads as present, with an epoch-0 time."""
    known = fresh()
    world.profiles.write(known, {"age": 3}, 1, now_us=2)
    nobody, somebody, again = world.profiles.read([fresh(), known, known], now_us=NOW_US)
    assert (nobody.facts, nobody.raw) == ({}, {})
    assert somebody.facts == again.facts == {"age": 3}
    assert world.profiles.read([], now_us=NOW_US) == []


@pytest.mark.parametrize(("older_us", "known"), [(60_000_000, True), (60_000_001, False), (-5, True)])
def test_age_is_ours_to_the_microsecond(world, older_us, known) -> None:
    """Traps: Feast applies no TTL online, and the SQLite store cuts timestamps to whole seconds."""
    subject = fresh()
    world.profiles.write(subject, {"fresh_eur": 1.0, "age": 50}, NOW_US - older_us, now_us=NOW_US)
    (stored,) = world.profiles.read([subject], now_us=NOW_US)
    assert ("fresh_eur" in stored.facts) is known
    assert stored.facts["age"] == 50
    assert stored.raw["fresh_eur"] == (1.0, NOW_US - older_us)


def test_an_older_event_never_overwrites_a_newer_one_per_feature(world) -> None:
    """Trap: Feast's SQLite store keeps whatever was written last."""
    subject = fresh()
    world.profiles.write(subject, {"age": 50, "city": "Delft"}, NOW_US, now_us=NOW_US)
    world.profiles.write(subject, {"age": 49, "plan": "basic"}, NOW_US - 1, now_us=NOW_US + 1)
    (stored,) = world.profiles.read([subject], now_us=NOW_US)
    assert stored.raw == {"age": (50, NOW_US), "city": ("Delft", NOW_US), "plan": ("basic", NOW_US - 1)}


def test_none_forgets_a_value_and_stays_forgotten_for_older_events(world) -> None:
    subject = fresh()
    world.profiles.write(subject, {"city": "Delft"}, 10, now_us=10)
    world.profiles.write(subject, {"city": None}, 30, now_us=30)
    world.profiles.write(subject, {"city": "Gouda"}, 20, now_us=40)
    assert world.profiles.read([subject], now_us=50)[0].raw == {}
    world.profiles.write(subject, {"city": "Leiden"}, 31, now_us=50)
    assert world.profiles.read([subject], now_us=60)[0].facts == {"city": "Leiden"}


WRITES = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(["age", "churn_risk"]), st.none() | st.sampled_from([0, 1])),
        st.integers(0, 3),
        st.integers(0, 3),
    ),
    max_size=8,
)


@settings(deadline=None, max_examples=15)
@given(WRITES, st.randoms(use_true_random=False))
def test_any_order_of_writes_leaves_the_same_values(world, writes, random) -> None:
    answers = []
    for _ in range(2):
        subject = fresh()
        for facts, event_us, now_us in writes:
            world.profiles.write(subject, facts, event_us, now_us=now_us)
        answers.append(world.profiles.read([subject], now_us=4)[0])
        random.shuffle(writes)
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        ({"salary": 1.0}, "salary"),
        ({"page": "x"}, "page"),
        ({"now": 1}, "now"),
        ({"age": True}, "age"),
        ({"age": 1.5}, "age"),
        ({"age": 131}, "age"),
        ({"fee_eur": float("nan")}, "fee_eur"),
        ({"fee_eur": "1"}, "fee_eur"),
        ({"fresh_eur": 10**400}, "fresh_eur"),
        ({"since": 2**63}, "since"),
        ({"hardship": 1}, "hardship"),
        ({"plan": "gold"}, "plan"),
        ({"city": "\ud800"}, "city"),
    ],
)
def test_a_fact_that_the_schema_does_not_hold_is_refused_by_name_and_nothing_written(world, facts, field) -> None:
    subject = fresh()
    with pytest.raises(RequestError) as caught:
        world.profiles.write(subject, {"churn_risk": 0.5, **facts}, NOW_US, now_us=NOW_US)
    assert caught.value.field == field
    assert world.profiles.read([subject], now_us=NOW_US)[0].raw == {}


@pytest.mark.parametrize("event_us", [-1, 10**18])
def test_an_impossible_time_is_refused(world, event_us) -> None:
    with pytest.raises(RequestError, match="event_us"):
        world.profiles.write(fresh(), {"age": 1}, event_us, now_us=NOW_US)


def test_extreme_values_survive(world) -> None:
    subject = fresh()
    facts = {"fresh_eur": 1.7e308, "since": -(2**63), "city": "é\x00\n" * 1000, "fee_eur": 5}
    world.profiles.write(subject, facts, 253_370_764_800_000_000, now_us=NOW_US)
    assert world.profiles.read([subject], now_us=NOW_US)[0].facts == facts


def test_an_enum_value_that_is_no_longer_declared_is_unknown(world) -> None:
    subject = fresh()
    world.profiles.write(subject, {"plan": "plus"}, 1, now_us=2)
    fewer = tuple(f if f.name != "plan" else Feature(name="plan", dtype="enum", values=("basic",)) for f in FEATURES)
    assert Profiles(world.profiles.store, FeatureSchema(fewer)).read([subject], now_us=3)[0].raw == {}


def test_a_value_written_past_us_has_no_time_and_is_unknown(world) -> None:
    import pandas as pd

    subject = fresh()
    frame = pd.DataFrame({"subject": [subject], "churn_risk": [0.5], "_scores_stamps": [None]})
    frame["event_timestamp"] = frame["created"] = pd.Timestamp.now("UTC")
    world.profiles.store.feast.write_to_online_store("scores", frame)
    assert world.profiles.read([subject], now_us=NOW_US)[0].raw == {}


def test_reads_go_on_while_a_view_is_materialising(tmp_path) -> None:
    """Trap: without `serve_features_while_materializing`, Feast refuses reads of a view in that state."""
    from feast.feature_view import FeatureViewState

    data = tmp_path / "data"
    data.mkdir()
    apply(data, SCHEMA, "ws")
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


def test_threads_share_the_store_without_losing_a_write(world) -> None:
    """Trap: Feast's SQLite store shares one connection among all threads."""
    subject, wrong = fresh(), []

    def write(name: str, value: object) -> None:
        for i in range(15):
            world.profiles.write(subject, {name: value}, i, now_us=i)
            (stored,) = world.profiles.read([subject], now_us=20)
            if stored.raw.get(name) != (value, i):
                wrong.append((name, i))

    said = {"age": 1, "city": "x", "plan": "plus", "churn_risk": 1.0}
    threads = [threading.Thread(target=write, args=item) for item in said.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert world.profiles.read([subject], now_us=20)[0].raw == {name: (value, 14) for name, value in said.items()}


def test_processes_share_the_store_without_losing_a_write(world) -> None:
    """Two stores over the same files, as two processes have them; each writes another feature of one view."""
    subject, other = fresh(), open_profiles(world.data, SCHEMA)
    writers = [(world.profiles, "age", 7), (other, "city", "y")]

    def write(profiles: Profiles, name: str, value: object) -> None:
        for i in range(15):
            profiles.write(subject, {name: value}, i, now_us=i)

    threads = [threading.Thread(target=write, args=item) for item in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert other.read([subject], now_us=20)[0].raw == {"age": (7, 14), "city": ("y", 14)}


def test_reads_do_not_wait_for_another_process_that_writes(world) -> None:
    """Trap: Feast's SQLite store opens its file without WAL, and a writer then shuts readers out."""
    subject = fresh()
    world.profiles.write(subject, {"age": 4}, 1, now_us=2)
    writer = sqlite3.connect(world.data / "online.db", isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    start_s = time.perf_counter()
    assert world.profiles.read([subject], now_us=3)[0].facts == {"age": 4}
    assert time.perf_counter() - start_s < 1
    writer.execute("ROLLBACK")
    writer.close()


def test_a_write_that_fails_online_leaves_nothing_in_the_history(world, monkeypatch) -> None:
    subject = fresh()
    profiles = open_profiles(world.data, SCHEMA)
    profiles.read([subject], now_us=1)
    profiles.store.online.writer.execute("PRAGMA query_only=ON")
    with pytest.raises(Unavailable):
        profiles.write(subject, {"city": "Delft"}, 1, now_us=2)
    assert subject not in {s for s, _ in profiles.archive.spool.read()[1]}
    world.profiles.write(subject, {"city": "Gouda"}, 1, now_us=2)  # and the spool is free again


def test_a_write_waits_for_a_bulk_load_no_longer_than_for_one_chunk(world) -> None:
    states = {fresh(): {"age": Version(1, Stamp(1, 1))} for _ in range(1200)}
    slowest, done, subject = [0.0], threading.Event(), fresh()

    def write() -> None:
        i = 0
        while not done.is_set():
            start_s = time.perf_counter()
            world.profiles.write(subject, {"age": 1}, i, now_us=i)
            slowest[0] = max(slowest[0], time.perf_counter() - start_s)
            i += 1

    thread = threading.Thread(target=write)
    thread.start()
    steps: list[tuple[int, int]] = []
    world.profiles.merge(states, lambda a, b: steps.append((a, b)))
    done.set()
    thread.join()
    assert steps == [(500, 1200), (1000, 1200), (1200, 1200)]
    assert slowest[0] < 4  # a chunk takes some 60 ms on an idle core; the spool would give up after 5 s


def test_erasure_leaves_no_trace_of_the_subject_or_its_values(world) -> None:
    subject, other, secret = fresh() + "-erased", fresh(), "Zaltbommel-am-Geheim"
    world.profiles.write(subject, {"city": secret, "churn_risk": 0.5}, 5, now_us=6)
    world.history.archive.compact()
    world.profiles.write(subject, {"city": secret + "2"}, 7, now_us=8)
    world.profiles.write(other, {"city": "Delft"}, 7, now_us=8)
    assert traces(world.data, secret)
    (world.data / "offline" / "profile.half").write_text(secret)  # as a crash while it is written would leave it
    world.profiles.delete(subject)
    assert world.profiles.read([subject, other], now_us=9)[0].raw == {}
    assert world.profiles.read([other], now_us=9)[0].facts == {"city": "Delft"}
    assert traces(world.data, secret) == traces(world.data, subject) == []
    world.history.materialize()
    assert world.profiles.read([subject], now_us=9)[0].raw == {}


def test_an_erasure_that_a_reader_holds_up_says_so_and_can_be_repeated(world) -> None:
    subject, secret = fresh(), "Ammerzoden"
    world.profiles.write(subject, {"city": secret}, 5, now_us=6)
    db = world.profiles.store.online.writer
    db.execute("PRAGMA busy_timeout=50")
    reader = sqlite3.connect(world.data / "online.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM a_workspace_profile").fetchone()
    with pytest.raises(Unavailable, match="erase again"):
        world.profiles.delete(subject)
    reader.close()
    world.profiles.delete(subject)
    assert traces(world.data, secret) == []


def traces(data: Path, text: str) -> list[str]:
    """Files that hold `text` as bytes, or as a cell of a Parquet file (whose pages are compressed)."""
    import pyarrow.parquet as pq

    found = [p.name for p in data.rglob("*") if p.is_file() and text.encode() in p.read_bytes()]
    return found + [p.name for p in data.rglob("*.parquet") if text in str(pq.read_table(p).to_pylist())]


def test_a_store_that_cannot_be_reached_is_unavailable_and_names_no_one(tmp_path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    apply(data, SCHEMA, "ws")
    profiles = open_profiles(data, SCHEMA)
    with sqlite3.connect(data / "online.db") as db:
        db.execute("DROP TABLE ws_profile")
    with pytest.raises(Unavailable) as caught:
        profiles.read(["someone"], now_us=1)
    assert "someone" not in str(caught.value)


def test_one_read_of_sixty_features_is_fast(tmp_path) -> None:
    profile = [Feature(name=f"f{i}", dtype="float") for i in range(45)]
    schema = FeatureSchema((*profile, *(Feature(name=f"m{i}", dtype="float", source="model") for i in range(15))))
    data = tmp_path / "data"
    data.mkdir()
    apply(data, schema, "ws")
    profiles = open_profiles(data, schema)
    profiles.write("s", {f.name: 1.5 for f in schema.of_source("profile", "model")}, DAY_US, now_us=DAY_US)
    took_s = []
    for _ in range(300):
        start_s = time.process_time()
        (stored,) = profiles.read(["s"], now_us=DAY_US)
        took_s.append(time.process_time() - start_s)
    assert len(stored.facts) == 60
    assert min(took_s) < 0.6e-3  # measured: 0.19 ms; the best of many, since the machine is shared
