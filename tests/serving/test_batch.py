"""Batch decisions: the worker that Ray Data runs, files that are refused, and (long) a whole run on Ray."""

import re
import uuid
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from decisioning.errors import BrainError, Refused, Unavailable
from decisioning.facts.schema import Feature, FeatureSchema
from features.importing import RequestRows, read_requests
from features.importing.opening import open_table
from serving.brain.runtime import Brain
from serving.commands import batch
from serving.customers import exported_files
from serving.lifecycle import processes
from serving.settings import BrainSettings, Workspace
from tests.serving.server import free_port
from tests.serving.workspaces import Client, small_workspace, welcome

NO_FEATURES = FeatureSchema(())
PAGE = Feature(name="page", dtype="enum", source="context", values=("home", "help"))
CUSTOMERS = [f"b-{n}" for n in range(30)]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace where half of the customers allowed marketing."""
    workspace = small_workspace(tmp_path_factory.mktemp("batch") / "ws")
    brain = Brain(workspace)
    for n, customer in enumerate(CUSTOMERS):
        welcome(Client(brain), customer, purposes=("marketing", "profiling") if n % 2 else ())
    brain.close()
    return workspace


def decider(workspace: Workspace, name: str) -> batch.Decider:
    return batch.Decider(str(workspace.root), "web", ("sidebar",), name)


def test_everyone_gets_an_offer_or_the_reason_why_not_and_a_repetition_gives_the_same(workspace: Workspace) -> None:
    table = pa.table({"customer_id": CUSTOMERS})
    first = decider(workspace, "one")(table)
    assert first.schema == batch.OUTPUT
    rows = first.to_pylist()
    assert [r["customer_id"] for r in rows] == CUSTOMERS
    assert {r["empty_reason"] for n, r in enumerate(rows) if not n % 2} == {"all_withheld"}
    assert all(r["action"] and r["probability"] for n, r in enumerate(rows) if n % 2)
    assert decider(workspace, "one")(table).equals(first)
    repeated = decider(workspace, "two")(table)
    assert not set(repeated["decision_id"].to_pylist()) & set(first["decision_id"].to_pylist())


def test_a_preview_gives_offers_and_commits_nothing(workspace: Workspace) -> None:
    brain = Brain(workspace)
    customers = [c for n, c in enumerate(CUSTOMERS) if n % 2][:5]
    before = brain.ledger.read(*map(brain.subject_stream, customers))
    rows = batch.Decider(str(workspace.root), "web", ("sidebar",), "shown", preview=True)(
        pa.table({"customer_id": customers})
    ).to_pylist()
    assert all(row["action"] and row["error"] is None for row in rows)
    assert brain.ledger.read(*map(brain.subject_stream, customers)) == before
    assert all(brain.ledger.lookup(f"decision:{row['decision_id']}") is None for row in rows)
    brain.close()


def requests_of(path: Path, schema: FeatureSchema) -> RequestRows:
    return read_requests(open_table(path), schema, "nothing was decided")


def test_ids_of_a_csv_are_what_is_written_there(tmp_path: Path) -> None:
    written = ["00777", "777", "1e5", "1.10", "0x1F", "1.0", "+31", "a b"]
    (tmp_path / "ids.csv").write_text("customer_id,fee\n" + "".join(f"{one},1\n" for one in written) + "00777,3\n")
    assert requests_of(tmp_path / "ids.csv", NO_FEATURES).table["customer_id"].to_pylist() == written


@pytest.mark.parametrize(
    ("ids", "row", "reason"),
    [
        (pa.array([7.0, 1234567890123456.0]), 1, "is a number with decimals"),
        (pa.array(["1", None]), 2, "is empty"),
        (pa.array(["1", "NA"]), 2, "is what programs write where there is no id"),
        (pa.array([b"1", b"2"]), 1, "is neither text nor a whole number"),
        (pa.array([True, False]), 1, "is neither text nor a whole number"),
        (pa.array([1, 2], pa.timestamp("us")), 1, "is neither text nor a whole number"),
    ],
    ids=["floats", "an empty cell", "NA", "bytes", "flags", "times"],
)
def test_a_column_that_holds_no_ids_is_refused_by_row_and_reason(
    tmp_path: Path, ids: pa.Array, row: int, reason: str
) -> None:
    pq.write_table(pa.table({"customer_id": ids}), tmp_path / "ids.parquet")
    told = f"nothing was decided: .*\nids.parquet: rows? {row}\\b.*, column customer_id: .*{reason}"
    with pytest.raises(Refused, match=told):
        requests_of(tmp_path / "ids.parquet", NO_FEATURES)


@pytest.mark.parametrize(
    "ids",
    [
        pa.array([7, 9007199254740993]),
        pa.array([7, 9007199254740993], pa.uint64()),
        pa.array([Decimal(7), Decimal(9007199254740993)], pa.decimal128(38, 0)),
        pa.array(["7", "9007199254740993"]).dictionary_encode(),
        pa.array(["7", "9007199254740993"], pa.large_string()),
    ],
    ids=["int", "uint", "decimal", "dictionary", "large text"],
)
def test_ids_of_parquet_are_text_or_whole_numbers(tmp_path: Path, ids: pa.Array) -> None:
    pq.write_table(pa.table({"customer_id": ids}), tmp_path / "ids.parquet")
    assert requests_of(tmp_path / "ids.parquet", NO_FEATURES).table["customer_id"].to_pylist() == [
        "7",
        "9007199254740993",
    ]


def test_account_locale_and_context_are_part_of_the_request(workspace: Workspace, tmp_path: Path) -> None:
    rows = "customer_id,account_id,locale,page,name\nb-1,a-7,nl,help,An\nb-3,,,,Bo\nb-1,a-7,nl,help,An\n"
    (tmp_path / "in.csv").write_text(rows)
    requests = requests_of(tmp_path / "in.csv", FeatureSchema((PAGE,)))
    assert requests.unused == ("name",)
    worker = decider(workspace, "rich")
    first, second = (worker._ask(**row) for row in requests.table.to_pylist())
    assert (first.customer_id, first.account_id, first.locale, first.context) == ("b-1", "a-7", "nl", {"page": "help"})
    assert (second.customer_id, second.account_id, second.locale, second.context) == ("b-3", None, None, {})
    assert {r["customer_id"] for r in worker(requests.table).to_pylist()} == {"b-1", "b-3"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("customer_id,acount_id\nb-1,a-7\n", "column `acount_id` would not be read: did you mean `account_id`?"),
        ("customer_id,page\nb-1,halp\n", "row 2, column page: is not one of the values of page"),
        (
            "customer_id,page\nb-1,help\nb-3,\nb-1,home\n",
            "row 4, column page: the same customer has another value in row 2",
        ),
    ],
    ids=["a column's name", "a value", "two answers"],
)
def test_columns_are_checked_before_anything_is_decided(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "in.csv").write_text(text)
    with pytest.raises(Refused, match=re.escape(message)):
        requests_of(tmp_path / "in.csv", FeatureSchema((PAGE,)))


@pytest.mark.parametrize(
    ("channel", "placement", "batch_id", "message"),
    [
        ("mail", "sidebar", None, "channel: there is no such channel; known are "),
        ("web", "sidebare", None, "placement: no such placement on web; it has "),
        ("web", "", None, "placements.0.name: "),
        ("web", "sidebar", "é", "batch_id: is not an id"),
        ("web", "sidebar", "b" * 100, "request_id: "),
    ],
    ids=["channel", "placement", "no placement", "batch id", "long batch id"],
)
def test_a_batch_that_would_fail_for_everybody_is_refused_at_once(
    workspace: Workspace, tmp_path: Path, channel: str, placement: str, batch_id: str | None, message: str
) -> None:
    (tmp_path / "in.csv").write_text("customer_id\nb-1\n")
    with pytest.raises(BrainError) as caught:
        batch.run(
            workspace,
            open_table(tmp_path / "in.csv"),
            tmp_path / "out.parquet",
            channel,
            (placement,),
            batch_id=batch_id,
        )
    assert str(caught.value).startswith(message)
    assert not (tmp_path / "out.parquet").exists()


def test_customers_without_a_decision_are_told_and_the_batch_does_not_end_well(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray is left out: the rows of two customers come as a worker gives them."""
    (tmp_path / "in.csv").write_text("customer_id\nb-1\nb-3\n")
    decided = [{"customer_id": "b-1", "offer_id": "o"}, {"customer_id": "b-3", "error": "Unavailable"}]
    monkeypatch.setattr(batch, "_decided", lambda *_: [pa.Table.from_pylist(decided, batch.OUTPUT)])
    out = tmp_path / "out.parquet"
    with pytest.raises(Refused, match=r"1 of 2 customers have no decision: see `error` in .* --batch-id again-1"):
        batch.run(workspace, open_table(tmp_path / "in.csv"), out, "web", ("sidebar",), batch_id="again-1")
    assert pq.read_table(out).num_rows == 2


def test_what_ends_half_way_leaves_no_file(tmp_path: Path) -> None:
    small, out = Workspace(tmp_path / "workspace", BrainSettings()), tmp_path / "out" / "out.parquet"
    small.data.mkdir(parents=True)
    out.parent.mkdir()

    def written(rows: Iterable[pa.Table]) -> tuple[int, int]:
        with exported_files.written(small, out, "batch") as half:
            return batch._write(rows, half, 2)

    def parts() -> Iterator[pa.Table]:
        yield pa.Table.from_pylist([{"customer_id": "c-1", "offer_id": "o"}, {"customer_id": "c-1"}], batch.OUTPUT)
        raise Refused("the worker ended")

    with pytest.raises(Refused):
        written(parts())
    assert list(out.parent.iterdir()) == []
    assert written([next(parts())]) == (1, 0)
    assert pq.read_table(out).num_rows == 2
    assert [p.name for p in out.parent.iterdir()] == ["out.parquet"]


def test_an_id_that_is_none_is_told_in_its_row_and_holds_nobody_up(workspace: Workspace) -> None:
    rows = decider(workspace, "bad")(pa.table({"customer_id": ["", "é", "b-1"]})).to_pylist()
    assert [r["error"] is None for r in rows] == [False, False, True]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.csv", None, "cannot be read: No such file"),
        ("other.csv", b"name\nx\n", "customer_id"),
        ("broken.parquet", b"nothing", "is not a Parquet file"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    workspace: Workspace, tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BrainError, match=message):
        batch.run(workspace, open_table(tmp_path / name), tmp_path / "out.parquet", "web", ("sidebar",))
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.long
def test_the_whole_run_on_ray(workspace: Workspace, tmp_path: Path) -> None:
    pq.write_table(pa.table({"customer_id": CUSTOMERS * 3}), tmp_path / "in.parquet")
    summary = batch.run(workspace, open_table(tmp_path / "in.parquet"), tmp_path / "out.parquet", "web", ("sidebar",))
    assert (summary["customers"], summary["failed"]) == (len(CUSTOMERS), 0)
    assert pq.read_table(tmp_path / "out.parquet").num_rows == len(CUSTOMERS)


def test_a_ray_that_cannot_start_is_told_in_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    import ray

    run_id, too_long = uuid.uuid4().hex, tmp_path / ("x" * 120)
    with pytest.raises(Unavailable, match=r"^Ray could not be started: .*; free the cores and run it again$"):
        batch._start(ray, too_long, run_id, free_port())
    assert processes.members(run_id) == []
    assert not ray.is_initialized()
