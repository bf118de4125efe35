"""A table of random ids names the same customers in every reader and at every route."""

import asyncio
import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from decisioning.errors import RequestError
from decisioning.facts.schema import FeatureSchema
from decisioning.times import HOUR_US, iso
from features.importing import make_plan, read_mapping, read_requests
from features.importing.opening import open_table
from features.importing.signals.rows import event, rows_after
from features.ledger import now_us
from features.signals.event import Event
from features.signals.intake import Intake
from serving.brain.runtime import Brain
from serving.commands import importing
from serving.events.signals import record_signals
from serving.settings import Workspace
from tests.serving.workspaces import Client, ask, signal, small_workspace

MAPPING = """
id: ids
about: Ids.
files:
  - {{id: ids, encoding: {encoding}, subject: {{column: customer_id}}, as_of: 2026-01-01,
     features: [{{column: age, name: age, dtype: int}}]}}
"""
DIGITS = st.text("0123456789", min_size=1, max_size=20)
ODD = st.text("0019.eE+-/\"'%,;:aN \\=", min_size=1, max_size=12)
NUMBERS = st.builds("{}{}{}".format, DIGITS, st.sampled_from(["", ".", ".0", ".10", "e", "e-", "E"]), DIGITS)
ANY = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=128)
TABLES = st.lists(DIGITS | NUMBERS | ODD | ANY, min_size=1, max_size=12, unique=True)
WRITTEN = ["0", "00", "007", "7", "7.0", "7.00", "1e5", "1E5", "100000", "a/b", "a%2Fb", '"', "'", "a,b", "=1", "0x1F"]


def _csv(ids: list[str], separator: str = ",") -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, quoting=csv.QUOTE_MINIMAL, lineterminator="\n")
    writer.writerows([("customer_id", "age"), *((i, 40) for i in ids)])
    return text.getvalue()


def _parquet(ids: pa.Array) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"customer_id": ids, "age": pa.array([40] * len(ids))}), file)
    return file.getvalue()


FORMS: dict[str, tuple[str, Callable[[list[str]], bytes], str]] = {
    "csv": ("i.csv", lambda ids: _csv(ids).encode(), "utf-8"),
    "csv with a byte order mark": ("i.csv", lambda ids: _csv(ids).encode("utf-8-sig"), "utf8"),
    "csv in UTF-16": ("i.csv", lambda ids: _csv(ids).encode("utf-16"), "utf-8"),
    "csv in cp1252": ("i.csv", lambda ids: _csv(ids).encode("cp1252"), "cp1252"),
    "csv of Windows after an empty line": (
        "i.csv",
        lambda ids: ("\n" + _csv(ids)).replace("\n", "\r\n").encode(),
        "utf-8",
    ),
    "gzip": ("i.csv", lambda ids: gzip.compress(_csv(ids).encode()), "utf-8"),
    "parquet": ("i.parquet", lambda ids: _parquet(pa.array(ids)), "utf-8"),
    "parquet with a dictionary": ("i.parquet", lambda ids: _parquet(pa.array(ids).dictionary_encode()), "utf-8"),
    "parquet of large text": ("i.parquet", lambda ids: _parquet(pa.array(ids, pa.large_string())), "utf-8"),
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return small_workspace(tmp_path_factory.mktemp("everywhere") / "ws")


@pytest.fixture(scope="module")
def client(workspace: Workspace) -> Iterator[Client]:
    brain = Brain(workspace)
    yield Client(brain)
    brain.close()


async def accepted(client: Client, ids: list[str]) -> list[str]:
    """Return the ids that a decision takes: the yardstick for all other places."""
    answers = [await client.ask("POST", "/v1/decisions", ask("preview", i, mode="preview")) for i in ids]
    return [i for i, (status, _) in zip(ids, answers, strict=True) if status == 200]


def check_tables(form: str, ids: list[str], folder: Path) -> None:
    """Assert that the reader of imports and that of batches read these ids from a file of this form."""
    name, written, encoding = FORMS[form]
    path = folder / name
    path.write_bytes(written(ids))
    mapping = read_mapping("ids.yaml", MAPPING.format(encoding=encoding).encode())
    assert make_plan(mapping, {"ids": path}, now_us()).subjects.to_pylist() == ids
    assert read_requests(open_table(path), FeatureSchema(()), "no").table["customer_id"].to_pylist() == ids


def past_signals(ids: list[str], source: str = "past") -> list[dict[str, Any]]:
    at = iso(now_us() - HOUR_US)
    events = [signal("page-view", f"customer:{i}", page="help") for i in ids]
    return [{**e, "id": f"{source}-{n}", "source": source, "time": at} for n, e in enumerate(events)]


def past_events(client: Client, path: Path) -> Iterator[Event]:
    """Yield the events of a file of past signals, without the rows that are refused."""
    intake = Intake(client.brain.snapshot.release, client.brain.ledger.names, history=True)
    for row in rows_after(path, 0):
        with suppress(RequestError):
            yield event(row, intake, now_us())


@pytest.mark.promise("imports.same-customers")
@pytest.mark.parametrize("form", FORMS)
def test_a_table_of_ids_names_the_same_customers_in_every_form_of_a_file(tmp_path: Path, form: str) -> None:
    check_tables(form, WRITTEN, tmp_path)


@pytest.mark.promise("imports.same-customers")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(TABLES, st.sampled_from(sorted(FORMS)))
def test_a_table_of_random_ids_names_the_same_customers_in_every_reader(
    client: Client, tmp_path: Path, ids: list[str], form: str
) -> None:
    """Ids that a decision refuses are left out; every reader reads the others as they are, and refuses the same."""
    known = asyncio.run(accepted(client, ids))
    check_tables(form, [*known, "not-all-end-with.0"], tmp_path)
    (tmp_path / "s.jsonl").write_text("\n".join(map(json.dumps, past_signals(ids))), "utf-8-sig")
    pq.write_table(pa.Table.from_pylist(past_signals(ids)), tmp_path / "s.parquet")
    streams = [client.brain.subject_stream(i) for i in known]
    assert [e.stream for name in ("s.jsonl", "s.parquet") for e in past_events(client, tmp_path / name)] == streams * 2


@pytest.mark.promise("imports.same-customers")
def test_a_table_of_ids_names_the_same_customers_at_every_route(
    client: Client, workspace: Workspace, tmp_path: Path
) -> None:
    """Facts from a file, signals, consents, decisions and reads by path meet in the same streams."""
    ids = asyncio.run(accepted(client, WRITTEN))
    assert ids == WRITTEN
    (tmp_path / "p.csv").write_text(_csv(ids))
    assert importing.import_profile(workspace, tmp_path / "p.csv", {}, lambda *_: None)["customers"] == len(ids)
    events = [signal("page-view", f"customer:{i}", page="paid-tv") for i in ids]
    assert asyncio.run(record_signals(client.brain, events))[1]["accepted"] == len(ids)
    for n, id_ in enumerate(ids):
        assert client("POST", "/v1/decisions", ask(f"same-{n}", id_))[0] == 200
        export = client("GET", f"/v1/customers/{quote(id_, safe='')}/export")[1]
        assert (export["facts"]["age"], len(export["records"]), len(export["events"])) == (40, 1, 1), id_
        assert export["records"][0]["body"]["request"]["customer_id"] == id_
