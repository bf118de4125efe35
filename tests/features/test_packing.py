"""Packed rows lose nothing, whatever they hold, and whichever release wrote or reads them."""

import string
import uuid
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.facts.schema import Feature, FeatureSchema
from features.profile.online import Profiles, open_profiles
from features.profile.repository import apply, online_at
from features.profile.stores.packing import Packing, columns_for, number_of
from features.profile.stores.rows import Table, table_of
from features.profile.stores.sqlite import SqliteOnline, key_of
from features.profile.versions import NEVER, Stamp, State, Version
from features.views import TIME, views_of
from tests.examples import examples

INTS = st.integers(-(2**63), 2**63 - 1)
CELLS = st.one_of(
    st.none(), st.floats(allow_nan=False), INTS, st.booleans(), st.text(max_size=9), st.binary(max_size=9)
)
NAMES = st.text(string.ascii_lowercase, min_size=1, max_size=3)
STAMPS = st.sampled_from([NEVER, Stamp(0, 0), Stamp(5, 9), Stamp(2**55, 2**62)])
STATES = st.dictionaries(NAMES, st.builds(Version, CELLS, STAMPS), min_size=1, max_size=20)


@settings(max_examples=examples(150), deadline=None)
@given(STATES, st.dictionaries(NAMES, st.sampled_from("dq?s"), max_size=5), st.integers(0, 65_535))
def test_what_is_packed_is_unpacked(state: State, declared, number) -> None:
    packing = Packing(number, columns_for(state, declared))
    body = packing.pack(state)
    assert number_of(body) == number
    assert packing.state(body) == state
    assert {n: type(v.value) for n, v in packing.state(body).items()} == {n: type(v.value) for n, v in state.items()}
    values, times = packing.read(body)
    timed = {name: version for name, version in state.items() if version.stamp != NEVER}
    assert values == {name: version.value for name, version in timed.items() if version.value is not None}
    assert all((times if isinstance(times, int) else times[name]) == state[name].stamp.event_us for name in values)
    assert packing.pack(dict(reversed(state.items()))) == body


ARROW = {"d": pa.float64(), "q": pa.int64(), "?": pa.bool_(), "s": pa.string()}
TABLES = st.lists(st.sampled_from("dq?s"), min_size=1, max_size=11).flatmap(
    lambda kinds: st.tuples(
        st.just(kinds),
        st.lists(
            st.tuples(
                st.integers(0, 99),
                st.tuples(
                    *(
                        {"d": st.floats(allow_nan=False), "q": INTS, "?": st.booleans()}.get(k, st.text(max_size=5))
                        | st.none()
                        for k in kinds
                    )
                ),
            ),
            min_size=1,
            max_size=5,
        ),
    )
)


@settings(max_examples=examples(100), deadline=None)
@given(TABLES)
def test_packing_whole_columns_gives_the_bytes_of_packing_each_row(table) -> None:
    kinds, rows = table
    names = [f"f{i:02}" for i in range(len(kinds))]
    packing = Packing(7, tuple(zip(names, kinds, strict=True)))
    times = pa.array([us for us, _ in rows], pa.int64())
    columns = {
        n: pa.array([row[i] for _, row in rows], ARROW[k]) for i, (n, k) in enumerate(zip(names, kinds, strict=True))
    }
    frame = pa.table({"event_timestamp": times.cast(TIME), "created": times.cast(TIME), **columns})
    states = [{n: Version(v, Stamp(us, us)) for n, v in zip(names, row, strict=True)} for us, row in rows]
    assert packing.pack_all(frame).to_pylist() == [packing.pack(state) for state in states]


@given(
    st.text(max_size=45)
    | st.text("0123456789abcdef", min_size=40, max_size=40)
    | st.text("ABab09 ", min_size=40, max_size=40)
)
def test_no_two_subjects_share_a_key(subject) -> None:
    key = key_of(subject)
    assert (key.hex() if isinstance(key, bytes) else key) == subject


@pytest.fixture
def online(tmp_path: Path) -> SqliteOnline:
    return SqliteOnline(tmp_path / "online.db")


def test_a_transaction_that_fails_leaves_no_number_behind(online) -> None:
    """Numbers of columns that were added and rolled back would be given to other columns."""
    table, other = Table("profile", {"a": "q"}), SqliteOnline(online._path)

    def fail(*_: object) -> State:
        raise ZeroDivisionError

    def change(subject: str, _: State) -> State:
        return fail() if subject == "second" else {"a": Version(1, Stamp(1, 1))}

    with pytest.raises(ZeroDivisionError):
        online.update(table, ["first", "second"], change)
    assert online.states(table, ["first"]) == [{}]
    other.update(Table("profile", {"b": "s"}), ["first"], lambda *_: {"b": Version("x", Stamp(1, 1))})
    online.update(table, ["first"], change)
    assert other.states(table, ["first"]) == [{"a": Version(1, Stamp(1, 1)), "b": Version("x", Stamp(1, 1))}]


OLD = FeatureSchema(
    tuple(Feature(name=n, dtype=d) for n, d in (("kept", "int"), ("dropped", "string"), ("wide", "int")))
)
NEW = FeatureSchema(
    tuple(Feature(name=n, dtype=d) for n, d in (("kept", "string"), ("added", "float"), ("wide", "float")))
)


@pytest.fixture(params=["sqlite", "redis"])
def releases(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Profiles, Profiles]:
    """Two releases that serve the same workspace, the second of which drops, adds and retypes a feature."""
    redis = request.getfixturevalue("redis_at") if request.param == "redis" else None
    data = tmp_path / "data"
    data.mkdir()
    apply(data, OLD, f"two-releases-{uuid.uuid4().hex}", redis)
    old = open_profiles(data, OLD)
    apply(data, NEW, redis=redis)
    return old, open_profiles(data, NEW)


def facts(profiles: Profiles) -> dict[str, object]:
    return profiles.read(["s"], now_us=99)[0].facts


@pytest.mark.promise("profile.releases-side-by-side")
def test_releases_read_and_write_the_same_rows_side_by_side(releases) -> None:
    old, new = releases
    old.write("s", {"kept": 4, "dropped": "x", "wide": 3}, 10, now_us=10)
    assert facts(old) == {"kept": 4, "dropped": "x", "wide": 3}
    assert facts(new) == {"wide": 3.0}  # an int is no text, and is a float
    assert type(facts(new)["wide"]) is float
    new.write("s", {"added": 0.5}, 11, now_us=11)
    assert (facts(old), facts(new)) == ({"kept": 4, "dropped": "x", "wide": 3}, {"wide": 3.0, "added": 0.5})
    new.write("s", {"kept": "four", "wide": 3.5}, 12, now_us=12)
    assert (facts(old), facts(new)) == ({"dropped": "x"}, {"kept": "four", "added": 0.5, "wide": 3.5})
    old.write("s", {"kept": 5, "wide": 9}, 13, now_us=13)
    assert (facts(old), facts(new)) == ({"kept": 5, "dropped": "x", "wide": 9}, {"added": 0.5, "wide": 9.0})


def test_a_release_rewrites_no_rows_and_a_rollback_finds_what_was_dropped(releases) -> None:
    old, new = releases
    old.write("s", {"kept": 4, "dropped": "x"}, 10, now_us=10)
    data, redis = old.store.layout.data, online_at(old.store.layout)
    read = old.store.online.reader([table_of(views_of(OLD)[0])])
    before = read(["s"])
    apply(data, OLD, redis=redis)
    apply(data, NEW, redis=redis)
    assert read(["s"]) == before
    new.write("s", {"added": 1.0}, 11, now_us=11)
    apply(data, OLD, redis=redis)
    assert facts(open_profiles(data, OLD)) == {"kept": 4, "dropped": "x"}
