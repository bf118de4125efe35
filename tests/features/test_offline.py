"""Point-in-time frames through Feast hold what was known of a subject, in whatever order the facts arrived."""

import random
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from decisioning.errors import Refused
from features.matrix import FeatureMatrix, columns_from_table, columns_of
from features.profile.archive import merge
from features.profile.offline import History
from features.profile.online import open_profiles
from features.profile.repository import apply
from features.profile.versions import Stamp, Statement, decode_stamps, encode_stamps, history, statements_in
from features.views import views_of
from tests.examples import examples
from tests.features.conftest import NOW_US, SCHEMA

UTC_US = pa.timestamp("us", tz="UTC")
counter = iter(range(10**9))


def fresh() -> str:
    """Return a subject that no other test uses."""
    return f"past-{next(counter)}"


def at(*pairs: tuple[str, int]) -> pa.Table:
    """Return entities: the subjects and times to ask about."""
    return pa.table({"subject": [p[0] for p in pairs], "event_timestamp": pa.array([p[1] for p in pairs], UTC_US)})


def naive(statements: list[Statement], name: str, now_us: int, max_age_us: float = np.inf) -> object:
    """Return the value by a plain search through all statements."""
    visible = [s for s in statements if name in s.facts and max(s.stamp) <= now_us]
    if not visible:
        return None
    best = max(visible, key=lambda s: (*s.stamp, "" if s.facts[name] is None else repr(s.facts[name])))
    return best.facts[name] if now_us - best.stamp.event_us <= max_age_us else None


MINUTE_US = 60_000_000
VALUES = {"age": st.integers(0, 2), "fresh_eur": st.sampled_from([0.0, 1.0]), "churn_risk": st.sampled_from([0.0, 1.0])}
FACTS = st.fixed_dictionaries({}, optional={name: st.none() | value for name, value in VALUES.items()})
TIMES = st.integers(0, 5).map(lambda i: i * MINUTE_US + i)
STAMPS = st.builds(lambda event_us, later_us: Stamp(event_us, max(event_us, later_us)), TIMES, TIMES)
"""Nothing is later than it was recorded."""
STATEMENTS = st.lists(st.builds(Statement, STAMPS, FACTS), max_size=7).map(
    lambda statements: sorted(statements, key=lambda statement: statement.stamp.created_us)
)
"""In the order of their recording: what is told of now after a clock was ahead counts later than its time."""


@settings(deadline=None, max_examples=examples(12))
@given(st.lists(STATEMENTS, min_size=1, max_size=4), st.data())
def test_point_in_time_is_what_going_through_everything_gives(world, subjects, data) -> None:
    """Late statements included: Feast filters by the time of recording, and rows repeat what a late one changes."""
    names = {fresh(): statements for statements in subjects}
    for subject, statements in names.items():
        for stamp, facts in statements:
            world.profiles.write(subject, facts, stamp.event_us, now_us=stamp.created_us)
        if data.draw(st.booleans()):
            world.history.archive.compact()
    times = [i * MINUTE_US + i + j for i in range(6) for j in (-1, 0) if i + j >= 0]
    pairs = [(subject, t) for subject in names for t in times]
    random.Random(0).shuffle(pairs)
    answer = world.history.point_in_time(at(*pairs))
    for name, age_us in {"age": np.inf, "fresh_eur": 60e6, "churn_risk": 3600e6}.items():
        expected = [naive(names[subject], name, t, age_us) for subject, t in pairs]
        assert answer[name].to_pylist() == expected


def test_rows_come_back_in_order_with_repeats_strangers_and_any_resolution(world) -> None:
    one, two = fresh(), fresh()
    world.profiles.write(one, {"age": 1}, 1_000_001, now_us=1_000_001)
    world.profiles.write(two, {"age": 2}, 1_000_001, now_us=1_000_001)
    entities = at((two, 2_000_000), (one, 1_000_001), (one, 1_000_000), ("nobody", 5), (two, 2_000_000))
    answer = world.history.point_in_time(entities)
    assert answer["age"].to_pylist() == [2, 1, None, None, 2]
    assert answer.select(entities.column_names) == entities
    seconds = pa.table({"subject": [one], "event_timestamp": pa.array([2], pa.timestamp("s"))})
    assert world.history.point_in_time(seconds)["age"].to_pylist() == [1]
    assert world.history.point_in_time(entities.slice(0, 0)).column_names == answer.column_names


def test_what_was_recorded_late_is_not_known_before(world) -> None:
    """Pitfall: without the filter by the time of recording, a late statement leaks into training rows."""
    subject = fresh()
    world.profiles.write(subject, {"age": 1}, 10, now_us=10)
    world.profiles.write(subject, {"age": 2}, 30, now_us=30)
    world.profiles.write(subject, {"city": "late", "age": 9}, 20, now_us=40)
    answer = world.history.point_in_time(at(*((subject, t) for t in (9, 10, 25, 39, 40))))
    assert answer["age"].to_pylist() == [None, 1, 1, 2, 2]
    assert answer["city"].to_pylist() == [None, None, None, None, "late"]


@pytest.mark.promise("profile.same-bits-in-training")
def test_training_rows_and_served_facts_are_the_same_bits(world) -> None:
    subjects = [fresh() for _ in range(3)]
    facts = [
        {"age": 41, "fee_eur": 29.5, "plan": "plus", "churn_risk": 0.1},
        {"age": None, "fresh_eur": -0.0, "plan": "basic"},
        {"since": NOW_US, "city": "x"},
    ]
    for subject, own in zip(subjects, facts, strict=True):
        world.profiles.write(subject, own, NOW_US, now_us=NOW_US)
    table = world.history.point_in_time(at(*((s, NOW_US) for s in subjects)))
    served = [stored.facts for stored in world.profiles.read(subjects, now_us=NOW_US)]
    matrix = FeatureMatrix(SCHEMA)
    trained = matrix.rows(columns_from_table(table, SCHEMA), 3)
    assert trained.tobytes() == matrix.rows(columns_of(served, SCHEMA), 3).tobytes()
    assert trained[0].tobytes() == matrix.row(served[0]).tobytes()


@pytest.fixture
def workspace(tmp_path: Path) -> History:
    """The history of a workspace of its own."""
    data = tmp_path / "data"
    data.mkdir()
    apply(data, SCHEMA, "ws")
    return History(open_profiles(data, SCHEMA))


def rows_of(*rows: dict[str, object]) -> pa.Table:
    """Return a table to import; `us` is the time of each row."""
    table = pa.Table.from_pylist([{k: v for k, v in r.items() if k != "us"} for r in rows])
    return table.append_column("event_timestamp", pa.array([r["us"] for r in rows], UTC_US))


ROWS = [
    {"subject": "a", "us": 10, "age": 1, "city": "x"},
    {"subject": "a", "us": 30, "age": 3, "city": None},
    {"subject": "a", "us": 20, "age": 2, "city": "y"},
    {"subject": "b", "us": 10, "age": 5, "city": "z"},
    {"subject": "b", "us": 10, "age": 6, "city": "z"},
    {"subject": "c", "us": 40, "age": 7, "city": "w"},
]


@pytest.mark.promise("ledger.backfill-order")
def test_any_order_and_split_of_a_backfill_gives_the_same_files_and_the_same_profiles(workspace, tmp_path) -> None:
    workspace.import_profiles(rows_of(*ROWS))
    expected = workspace.archive.table(workspace.archive.views[0])
    served = workspace.profiles.read(["a", "b", "c"], now_us=50)
    assert [s.facts for s in served] == [{"age": 3}, {"age": 6, "city": "z"}, {"age": 7, "city": "w"}]
    rng = random.Random(7)
    for i in range(2):
        data = tmp_path / f"other{i}"
        data.mkdir()
        apply(data, SCHEMA, "ws")
        other, rows = History(open_profiles(data, SCHEMA)), rng.sample(ROWS, len(ROWS))
        cut = rng.randrange(1, len(rows))
        for part in (rows[:cut], rows[cut:], rows[: cut + 1]):
            assert other.import_profiles(rows_of(*part)) == len(part)
        assert other.archive.table(other.archive.views[0]) == expected
        assert other.profiles.read(["a", "b", "c"], now_us=50) == served


@pytest.mark.parametrize("ages", [(9, 1), (1, 9), (9, 9)])
def test_of_two_imports_of_the_same_time_the_same_value_stays_in_any_order(workspace, ages) -> None:
    for age in ages:
        workspace.import_profiles(rows_of({"subject": "a", "us": 10, "age": age}))
    assert workspace.profiles.read(["a"], now_us=11)[0].raw == {"age": (9, 10)}
    assert workspace.point_in_time(at(("a", 10)))["age"].to_pylist() == [9]


def test_an_import_leaves_other_columns_and_newer_writes_alone(workspace) -> None:
    workspace.profiles.write("a", {"age": 50, "plan": "plus"}, 25, now_us=26)
    workspace.import_profiles(rows_of({"subject": "a", "us": 30, "fee_eur": 9.5}))
    workspace.import_profiles(rows_of({"subject": "a", "us": 20, "age": 1}))
    expected = {"age": (50, 25), "plan": ("plus", 25), "fee_eur": (9.5, 30)}
    assert workspace.profiles.read(["a"], now_us=31)[0].raw == expected
    assert workspace.point_in_time(at(("a", 24), ("a", 26)))["age"].to_pylist() == [1, 50]


def test_created_says_when_an_imported_value_was_known(workspace) -> None:
    table = rows_of({"subject": "a", "us": 10, "age": 1}, {"subject": "b", "us": 10, "age": 2})
    workspace.import_profiles(table.append_column("created", pa.array([20, None], UTC_US)))
    answer = workspace.point_in_time(at(("a", 19), ("a", 20), ("b", 10)))
    assert answer["age"].to_pylist() == [None, 1, 2]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"salary": 1.0}, "salary"),
        ({"age": "old"}, "age"),
        ({"age": 1.5}, "age"),
        ({"age": 131}, "outside"),
        ({"fresh_eur": float("inf")}, "outside"),
        ({"plan": "gold"}, "outside"),
        ({"us": None}, "event_timestamp"),
        ({"subject": None}, "subject"),
        ({"us": -1}, "1970"),
        ({"us": 2**62}, "9999"),
    ],
)
def test_an_import_that_does_not_fit_is_refused_whole_and_without_values(world, change, says) -> None:
    with pytest.raises(Refused, match=says) as caught:
        world.history.import_profiles(rows_of({"subject": "refused", "us": 1, "city": "x"} | change))
    assert "gold" not in str(caught.value)
    assert "refused" not in world.history.archive.table(world.history.archive.views[0])["subject"].to_pylist()


def test_times_of_an_import_are_timestamps_of_any_kind_and_subjects_strings_of_any_kind(world) -> None:
    subject = fresh()
    table = pa.table({"subject": pa.array([subject, subject]).dictionary_encode(), "age": [1, 2]})
    with pytest.raises(Refused, match="not a timestamp"):
        world.history.import_profiles(table.append_column("event_timestamp", pa.array(["2020-01-01", "2020-01-02"])))
    nanoseconds = pa.array([1_999, 2_001], pa.timestamp("ns"))
    world.history.import_profiles(table.append_column("event_timestamp", nanoseconds))
    assert world.profiles.read([subject], now_us=3)[0].raw == {"age": (2, 2)}
    large = table.set_column(0, "subject", table["subject"].cast(pa.large_string()))
    world.history.import_profiles(large.append_column("event_timestamp", pa.array([18, 18], pa.date32())))
    assert world.profiles.read([subject], now_us=3)[0].raw == {"age": (2, 18 * 86_400_000_000)}


def test_nan_and_empty_cells_of_an_import_are_unknown_and_times_may_be_timestamps(workspace) -> None:
    table = rows_of({"subject": "a", "us": 5, "fresh_eur": float("nan"), "age": None})
    workspace.import_profiles(table.append_column("since", pa.array([datetime(2020, 1, 1, tzinfo=UTC)], UTC_US)))
    assert workspace.profiles.read(["a"], now_us=6)[0].raw == {"since": (1_577_836_800_000_000, 5)}


def test_feast_materialize_of_our_history_gives_our_online_rows(workspace) -> None:
    """A user who runs `feast materialize` gets the same rows as our own materialisation."""
    for i in range(3):
        workspace.profiles.write(f"s{i}", {"age": i, "plan": "plus"}, 10_000_000 + i, now_us=20_000_000)
        workspace.profiles.write(f"s{i}", {"city": None, "age": 9}, 9_000_000, now_us=21_000_000)
    workspace.archive.compact()
    subjects = ["s0", "s1", "s2"]
    before = workspace.profiles.read(subjects, now_us=22_000_000)
    store = workspace.profiles.store
    with store.online.writer as db:
        db.execute("DELETE FROM facts")
    assert workspace.profiles.read(subjects, now_us=22_000_000)[0].raw == {}
    store.feast.materialize(datetime(1970, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC), ["profile"])
    assert workspace.profiles.read(subjects, now_us=22_000_000) == before


def test_compaction_interrupted_before_the_spool_is_cut_changes_nothing(workspace, monkeypatch) -> None:
    workspace.profiles.write("a", {"age": 1, "churn_risk": 0.5}, 1, now_us=2)
    monkeypatch.setattr(workspace.archive.spool, "drop", lambda up_to: None)
    assert workspace.archive.compact() == 1
    once = [workspace.archive.table(view) for view in workspace.archive.views]
    monkeypatch.undo()
    assert workspace.archive.compact() == 1
    assert [workspace.archive.table(view) for view in workspace.archive.views] == once
    assert workspace.archive.compact() == 0


def test_materialise_rebuilds_a_lost_online_store(workspace) -> None:
    workspace.import_profiles(rows_of(*ROWS))
    workspace.profiles.write("a", {"age": 50, "churn_risk": 0.5}, 25, now_us=26)
    workspace.archive.compact()
    before = workspace.profiles.read(["a", "b", "c"], now_us=50)
    store = workspace.profiles.store
    with store.online.writer as db:
        db.execute("DELETE FROM facts")
    steps: list[tuple[int, int]] = []
    workspace.materialize(lambda done, total: steps.append((done, total)))
    assert workspace.profiles.read(["a", "b", "c"], now_us=50) == before
    assert steps == [(3, 6), (6, 6), (1, 1)]


def test_many_customers_are_imported_quickly(workspace) -> None:
    """64,000 customers took 9 s, of an import's budget of 60 s; here a sixteenth, with slack for a busy machine."""
    n = 4000
    rng = np.random.default_rng(0)
    table = pa.table(
        {
            "subject": [f"s{i}" for i in range(n)],
            "event_timestamp": pa.array(np.full(n, 5), UTC_US),
            "age": rng.integers(0, 90, n),
            **{name: rng.random(n) for name in ("fee_eur", "fresh_eur", "churn_risk")},
            "city": rng.choice(["x", "y"], n),
        }
    )
    start_s = time.process_time()
    workspace.import_profiles(table)
    assert time.process_time() - start_s < 3
    answer = workspace.point_in_time(at(*((f"s{i}", 6) for i in range(n))))
    assert answer["age"].to_pylist() == table["age"].to_pylist()


STATES = st.lists(st.builds(Statement, st.builds(Stamp, st.integers(0, 4), st.integers(0, 4)), FACTS), max_size=8)


@settings(deadline=None, max_examples=examples(50))
@given(STATES, st.randoms(use_true_random=False))
def test_history_is_the_same_in_any_order_and_loses_nothing_that_mattered(statements, random) -> None:
    rows = history(statements)
    shuffled = statements * 2
    random.shuffle(shuffled)
    assert history(shuffled) == rows
    assert history(statements_in(row.state for row in rows)) == rows


@settings(deadline=None, max_examples=examples(50))
@given(STATES)
def test_the_newest_row_not_after_a_time_is_the_truth_of_that_time(statements) -> None:
    rows = history(statements)
    for now_us in range(5):
        visible = [row for row in rows if row.event_us <= now_us and row.created_us <= now_us]
        newest = max(visible, key=lambda row: (row.event_us, row.created_us)).state if visible else {}
        for name in VALUES:
            assert (newest[name].value if name in newest else None) == naive(statements, name, now_us)


@settings(deadline=None, max_examples=examples(50))
@given(STATES, STATES)
def test_the_vectorised_path_of_an_import_equals_the_slow_one(first, second) -> None:
    view = views_of(SCHEMA)[0]
    empty = view.arrow_schema.empty_table()
    statements = {
        f"s{i}": [Statement(s.stamp, {"age": s.facts.get("age"), "fresh_eur": None})] for i, s in enumerate(first)
    }
    statements |= {
        "s0": [*statements.get("s0", []), *(Statement(s.stamp, {"age": 1, "fresh_eur": None}) for s in second)]
    }
    rows = [
        {"subject": subject, "event_timestamp": s.stamp.event_us, "created": s.stamp.created_us, **s.facts}
        for subject, own in statements.items()
        for s in own
    ]
    names = ("subject", "event_timestamp", "created", "age", "fresh_eur")
    table = pa.Table.from_pylist(rows, schema=pa.schema([view.arrow_schema.field(n) for n in names]))
    slow = merge(empty, view, None, {k: v for k, v in statements.items() if v})
    assert merge(empty, view, table, {}) == slow
    assert merge(slow, view, table, {}) == slow


ONE_BY_ONE = st.tuples(
    st.sampled_from(["s0", "s1", "s2"]),
    st.builds(Stamp, st.integers(0, 4), st.integers(0, 4)),
    st.dictionaries(st.sampled_from(["age", "fresh_eur"]), st.none() | st.sampled_from([0.0, -0.0, 2.0]), min_size=1),
)


@settings(deadline=None, max_examples=examples(80))
@given(st.lists(ONE_BY_ONE, max_size=8), st.lists(st.booleans(), min_size=8, max_size=8))
@example([("s0", Stamp(0, 3), {"age": 1.0}), ("s0", Stamp(1, 1), {"fresh_eur": 2.0})], [False] * 8)
@example([("s0", Stamp(1, 1), {"fresh_eur": -0.0}), ("s0", Stamp(1, 1), {"fresh_eur": 0.0})], [False] * 8)
def test_statements_that_come_one_by_one_give_what_all_at_once_give(told, ordered) -> None:
    """Most are later than all before them, as imports of every day are, and take a vectorised path."""
    view = views_of(SCHEMA)[0]
    history, statements = view.arrow_schema.empty_table(), dict[str, list[Statement]]()
    for n, (subject, stamp, facts) in enumerate(told):
        at = Stamp(stamp.event_us + 5 * n, stamp.created_us + 5 * n) if ordered[n] else stamp
        own = {name: int(v) if name == "age" and v is not None else v for name, v in facts.items()}
        statements.setdefault(subject, []).append(Statement(at, own))
        fields = [view.arrow_schema.field(name) for name in ("subject", "event_timestamp", "created", *own)]
        record = {"subject": subject, "event_timestamp": at.event_us, "created": at.created_us, **own}
        table = pa.Table.from_pylist([record], schema=pa.schema(fields))
        history = merge(history, view, table, {})
        assert merge(history, view, table, {}) == history
    expected = merge(view.arrow_schema.empty_table(), view, None, statements)
    assert repr(history.to_pylist()) == repr(expected.to_pylist())  # so that 0.0 is not -0.0


def test_stamps_survive_their_encoding() -> None:
    stamps = {"b": Stamp(2, 3), "a": Stamp(1, 1), "c": Stamp(2, 3)}
    assert decode_stamps(encode_stamps(stamps)) == stamps
    assert encode_stamps(stamps) == '[[1,1,["a"]],[2,3,["b","c"]]]'


def test_history_files_are_plain_parquet(workspace) -> None:
    workspace.import_profiles(rows_of(*ROWS))
    table = pq.read_table(workspace.archive.layout.history("profile"))
    assert table.column_names[:4] == ["subject", "event_timestamp", "created", "_profile_stamps"]
    assert table.num_rows == 5
