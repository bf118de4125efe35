"""Imports that do not fit in memory: sorted on the disk, merged range by range, refused or resumed as a whole."""

import random
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.errors import Refused
from features.importing import import_profile
from features.importing.opening import csv_text, parquet
from features.profile import archive, loading, staging
from features.profile.offline import HISTORY, ONLINE, History
from features.profile.online import open_profiles
from features.profile.repository import apply
from features.profile.staging import Staged
from tests.examples import examples
from tests.features.conftest import NOW_US, SCHEMA
from tests.features.importing_help import ImportWorkspace, planned

UTC_US = pa.timestamp("us", tz="UTC")
SUBJECTS = st.lists(st.lists(st.sampled_from("abcdefghij"), max_size=9), max_size=6)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut everything into parts of a few rows."""
    for name, value in {"PART": 3, "_STEP": 1, "_RUN": 4, "_PIECE": 2}.items():
        monkeypatch.setattr(staging, name, value)
    for module in (archive, loading):
        monkeypatch.setattr(module, "PART" if module is archive else "BULK", 3)
    monkeypatch.setattr(csv_text, "BYTES", 40)
    monkeypatch.setattr(parquet, "_ROWS", 2)


@pytest.mark.usefixtures("tiny")
@settings(max_examples=examples(40), deadline=None)
@given(SUBJECTS, SUBJECTS, st.lists(st.sampled_from("abcdefghij"), max_size=3))
def test_ranges_hold_every_row_once_and_a_subject_in_one_range(tmp_path_factory, tables_of, samples, unwanted) -> None:
    with Staged(tmp_path_factory.mktemp("staged")) as staged:
        rows = [(subject, n) for n, subject in enumerate(s for table in tables_of for s in table)]
        n = 0
        for table in tables_of:
            staged.add(pa.table({"subject": pa.array(table, pa.string()), "n": range(n, n + len(table))}))
            n += len(table)
        staged.leave_out(unwanted)
        found = list(staged.ranges([s for own in samples for s in own]))
        kept = [row for row in rows if row[0] not in unwanted]
        assert staged.rows == len(kept)
        assert staged.left_out == {s for s, _ in rows if s in unwanted}
        everything = [row for _, part in found for row in zip(*part.to_pydict().values(), strict=True)]
        assert sorted(everything) == sorted(kept)
        last = ""
        for upto, part in found:
            subjects = part["subject"].to_pylist()
            assert all(last < s and (upto is None or s <= upto) for s in subjects)
            last = upto or last


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> ImportWorkspace:
    folder = tmp_path_factory.mktemp("shop")
    return ImportWorkspace(folder / "data", planned(folder))


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[History]:
    data = tmp_path / "data"
    data.mkdir()
    apply(data, SCHEMA)
    return History(open_profiles(data, SCHEMA))


def rows(rng: random.Random, n: int) -> pa.Table:
    records = [
        {"subject": rng.choice("abcdefgh"), "age": rng.choice([None, 1, 2]), "churn_risk": rng.choice([None, 0.5])}
        for _ in range(n)
    ]
    return pa.Table.from_pylist(
        records, pa.schema([("subject", pa.string()), ("age", pa.int64()), ("churn_risk", pa.float64())])
    ).append_column("event_timestamp", pa.array([rng.randrange(9) for _ in records], UTC_US))


def contents(history: History) -> list[object]:
    return [
        *(history.archive.table(view).to_pylist() for view in history.archive.views),
        [stored.raw for stored in history.profiles.read(list("abcdefgh"), now_us=9)],
    ]


@pytest.mark.promise("ledger.backfill-order")
def test_ranges_of_a_few_rows_give_the_same_files_and_profiles(workspace, tmp_path, request) -> None:
    (tmp_path / "other").mkdir()
    apply(tmp_path / "other", SCHEMA)
    other = History(open_profiles(tmp_path / "other", SCHEMA))
    rng = random.Random(11)
    steps = [rows(rng, n) for n in (30, 1, 12)]
    for step in steps:
        workspace.import_profiles(step)
        workspace.profiles.write("c", {"age": 7}, 4, now_us=4)
        workspace.archive.compact()
    workspace.archive.forget(["d"])
    request.getfixturevalue("tiny")
    for step in steps:
        other.import_profiles(step)
        other.profiles.write("c", {"age": 7}, 4, now_us=4)
        other.archive.compact()
    other.archive.forget(["d"])
    assert contents(other) == contents(workspace)
    assert other.archive.subjects() == list("abcefgh")


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("phase", [HISTORY, ONLINE])
def test_an_import_that_was_interrupted_is_resumed_by_the_same_import(workspace, phase) -> None:
    table = rows(random.Random(3), 40)
    before, offline = contents(workspace), workspace.archive.layout.offline
    files = {path.name for path in offline.iterdir()}

    def interrupt(done: int, _: int) -> None:
        if done > 20:
            raise KeyboardInterrupt

    with workspace.staged() as staged:
        staged.add(workspace.checked(table))
        with pytest.raises(KeyboardInterrupt):
            workspace.import_staged(staged, {phase: interrupt})
    assert {path.name for path in offline.iterdir()} == files | {"lock"}
    if phase == HISTORY:
        assert contents(workspace) == before
    workspace.import_profiles(table)
    resumed = contents(workspace)
    workspace.import_profiles(table)
    assert contents(workspace) == resumed


MISTAKES = [
    (
        "customer_id,age\nc1,1\nc2,2\nc3,3\nc4,4\nc5,5\nc6,6\nc7,old\n",
        "p.csv: row 8, column age: is not a whole number",
    ),
    (
        "customer_id,age\nc1,1\nc2,2\nc3,3\nc4,4\nc5,5\nc1,6\nc7,7\n",
        "p.csv: row 7, column (all): the same customer stands in row 2",
    ),
    (
        "customer_id,age\nc1,1\nc2,2\nc3,3\nc4,4\nc5,5\nc6,6\nc7,7,7\n",
        "p.csv: row 8, column (all): 3 cells, the header has 2",
    ),
]


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(("text", "expected"), MISTAKES)
def test_mistakes_in_later_parts_of_a_file_have_their_rows(shop: ImportWorkspace, tmp_path, text, expected) -> None:
    (tmp_path / "p.csv").write_text(text)
    before = shop.facts("c1")
    with pytest.raises(Refused) as caught:
        import_profile(tmp_path / "p.csv", shop.release.schema, shop.ledger, shop.history, NOW_US)
    assert expected in str(caught.value)
    assert shop.facts("c1") == before
