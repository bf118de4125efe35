"""Past signals from a file: counted once however often they are replayed; invalid rows are reported by number."""

import gzip
import json
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from decisioning.catalogue.files import pack
from decisioning.errors import Refused
from features.importing.signals import ReplayResult, import_signals, parser
from features.ledger import now_us
from features.signals.store import Signals
from tests.features.processes import child, forked_context, warm_up
from tests.features.signals.places import Json, OpenPlace, Place, cloud_event, written
from tests.features.signals.recomputed import point_in_time
from tests.features.signals.signal_help import FILES, HOUR_US, S_US, assert_same, by_the_book, release

RELEASE = pack(FILES)
WHOM = [f"customer:{n}" for n in range(12)] + [f"device:{n}" for n in range(12)]


@pytest.fixture(autouse=True, scope="module")
def _warm() -> None:
    warm_up()


@pytest.fixture(autouse=True)
def _parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the other process have most rows. It is forked, as its start takes a second, but in one case."""
    monkeypatch.setattr(parser, "FIRST_ROWS", 120)
    if "[json_lines]" not in request.node.name:
        monkeypatch.setattr("multiprocessing.get_context", forked_context)


@pytest.fixture
def opened(stores: dict[str, Path], tmp_path: Path) -> Iterator[OpenPlace]:
    """An empty ledger and an online store, both on SQLite."""
    with Place(str(tmp_path / "ledger.db"), os.urandom(32), stores["sqlite"]).opened() as one:
        yield one


def past(count: int, seed: int = 1) -> list[Json]:
    """Return events from twenty days, in random order."""
    rng, until_us, rows = random.Random(seed), now_us(), list[Json]()
    for n in range(count):
        type_ = rng.choice(["view", "view", "login"])
        data = {"page": rng.choice(["home", "tv", "ÅÄÖ 🎬"]), "seconds": rng.uniform(0, 90), "items": rng.randrange(5)}
        at_us = until_us - rng.choice([rng.randrange(20 * 24 * HOUR_US), rng.randrange(2 * HOUR_US)])
        rows.append(cloud_event(f"{seed}-{n}", rng.choice(WHOM), at_us, type_, **(data if type_ == "view" else {})))
    return rows


def json_lines(path: Path, rows: Sequence[Any]) -> Path:
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
    return path


def packed_lines(path: Path, rows: Sequence[Any]) -> Path:
    path.write_bytes(gzip.compress(json_lines(path, rows).read_bytes()))
    return path


def parquet(path: Path, rows: Sequence[Json]) -> Path:
    """Write rows as a warehouse exports them: a column of times, and data as a struct with nulls for absent fields."""
    columns = {name: [row[name] for row in rows] for name in ("id", "source", "type", "subject", "data")}
    times = pa.array([row["time"] for row in rows]).cast(pa.timestamp("us", tz="UTC"))
    data = pa.array(
        columns.pop("data"), pa.struct([("page", pa.string()), ("seconds", pa.float64()), ("items", pa.int64())])
    )
    pq.write_table(pa.table({**columns, "time": times, "data": data}), path)
    return path


def replay(opened: OpenPlace, path: Path, notes: Path | None = None) -> ReplayResult:
    return import_signals(path, RELEASE, opened.ledger, notes or path.parent / "notes")


def facts(opened: OpenPlace, at_us: int) -> list[Json]:
    """Return every subject's facts, checked against the log. A replay does not update the online store."""
    fresh = Signals(opened.ledger, opened.store, release(), opened.signals.copier)
    all_facts = []
    for subject in WHOM:
        stream = opened.stream(subject)
        result = fresh.read([stream], at_us)
        assert_same(result.facts, point_in_time(opened.ledger, {stream: result.versions[0]}, release(), at_us))
        assert_same(result.facts, by_the_book(opened.log(subject), at_us))
        all_facts.append(result.facts)
    return all_facts


@pytest.mark.promise("signals.replay-of-a-file")
@pytest.mark.parametrize("write", [json_lines, packed_lines, parquet])
def test_a_replayed_file_counts_once_and_reads_as_if_it_had_been_sent(
    opened: OpenPlace, tmp_path: Path, write: Callable[[Path, Sequence[Json]], Path]
) -> None:
    rows = past(500)
    path = write(tmp_path / f"past.{write.__name__}", [*rows, *rows[:40]])
    first = replay(opened, path)
    assert (first.rows, first.accepted, first.duplicate, first.refused) == (540, 500, 40, 0)
    at_us = now_us() + S_US
    before = facts(opened, at_us)
    again = replay(opened, path)
    assert (again.rows, again.accepted, again.duplicate, again.resumed_at) == (540, 0, 540, 0)
    assert facts(opened, at_us) == before
    assert sum(fact["session_events"] > 0 for fact in before) > 5
    assert not list((tmp_path / "notes").iterdir())


@pytest.mark.parametrize("count", [119, 120, 121, 122])
def test_every_row_is_read_around_the_end_of_the_first_block(opened: OpenPlace, tmp_path: Path, count: int) -> None:
    """A last line without a line break is not counted when the rows are divided among the two processes."""
    path = json_lines(tmp_path / "past.jsonl", past(count))
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    result = replay(opened, path)
    assert (result.rows, result.accepted) == (count, count)


def test_what_arrived_by_itself_is_not_counted_again(opened: OpenPlace, tmp_path: Path) -> None:
    rows = past(300)
    at_us = now_us()
    recent = [row for row in rows if row["time"] > written(at_us - 23 * HOUR_US)]
    opened.signals.record([opened.intake.event(row, at_us) for row in recent])
    result = replay(opened, json_lines(tmp_path / "past.jsonl", rows))
    assert (result.accepted, result.duplicate) == (300 - len(recent), len(recent))
    facts(opened, now_us() + S_US)


def replay_until_killed(pipe: Connection, place: Place, path: Path) -> None:
    def tell(rows: int, _total: int, _what: str) -> None:
        pipe.send(rows)

    parser.FIRST_ROWS = 2_000  # type: ignore[misc]  # of this process, which is killed
    with place.opened() as opened:
        import_signals(path, RELEASE, opened.ledger, path.parent / "notes", tell)


@pytest.mark.promise("signals.replay-of-a-file")
def test_killed_half_way_and_run_again_gives_the_same_states(
    opened: OpenPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = past(8_000)
    path = json_lines(tmp_path / "past.jsonl", rows)
    with child(replay_until_killed, opened.place, path) as dying:
        while dying.pipe.recv() < 3_000:
            pass
        dying.process.kill()
        dying.process.join()
    result = replay(opened, path)
    assert result.resumed_at == 2_000, "the first block is noted"
    assert result.duplicate > 0, "of the second, some was kept"
    assert (result.rows, result.accepted + result.duplicate, result.refused) == (8_000, 6_000, 0)
    assert sum(len(opened.log(subject)) for subject in WHOM) == 8_000
    facts(opened, now_us() + S_US)


def past_event(id_: str) -> Json:
    """Return a valid event of a page view."""
    return cloud_event(id_, "customer:1", now_us())


BAD: list[tuple[Any, str]] = [
    ("{not json}\n", "must be a JSON object"),
    ("[]\n", "must be a JSON object"),
    ("\n", "must be a JSON object"),
    (cloud_event("a", "customer:1", 0), "longer ago than the 30 days"),
    ({**cloud_event("b", "customer:1", 0), "time": "9999-12-31T00:00:00Z"}, "seconds ahead"),
    ({**cloud_event("c", "customer:1", 0), "time": "yesterday"}, "time"),
    ({**cloud_event("d", "customer:1", 0), "time": None}, "time: is missing"),
    (
        {"id": "e", "source": "/s", "type": "sneeze", "subject": "customer:1", "time": written(now_us())},
        "no such signal",
    ),
    ({"id": "f", "source": "/s", "type": "view", "subject": "nobody", "time": written(now_us())}, "kind:id"),
    ({**past_event("g"), "data": {"items": 77}}, "data.items: must be at most 5"),
    ({**past_event("h"), "data": {"secret name": 1}}, "data: unknown field"),
    (json.dumps(past_event("i"))[:-1] + ', "subject": "customer:2"}\n', "subject: stands twice"),
    (json.dumps({**past_event("j"), "data": {"items": 1}})[:-2] + ', "items": 2}}\n', "items: stands twice"),
    (
        {k: v for k, v in past_event("k").items() if k != "specversion"} | {"data": '{"items": 1, "items": 2}'},
        "items: stands twice",
    ),
    ({**past_event("l"), "subject": "customer:NULL"}, "subject: its id is what programs write"),
]


@pytest.mark.promise("signals.replay-of-a-file")
def test_bad_rows_are_told_by_number_and_never_by_value(opened: OpenPlace, tmp_path: Path) -> None:
    rows: list[Any] = [row for bad, _ in BAD for row in (bad, *past(1, random.randrange(10**9)))]
    result = replay(opened, json_lines(tmp_path / "past.jsonl", rows))
    assert (result.rows, result.accepted, result.refused) == (2 * len(BAD), len(BAD), len(BAD))
    valid = Counter(row["type"] for row in rows[1::2])
    assert result.types == valid
    assert [problem["row"] for problem in result.problems] == list(range(1, 2 * len(BAD), 2))
    for (_, says), problem in zip(BAD, result.problems, strict=True):
        assert says in problem["problem"]
        assert not any(value in problem["problem"] for value in ("yesterday", "sneeze", "nobody", "77", "secret"))


def test_only_the_first_problems_are_named_and_all_are_counted(opened: OpenPlace, tmp_path: Path) -> None:
    result = replay(opened, json_lines(tmp_path / "past.jsonl", ["x\n"] * 100))
    assert (result.rows, result.refused, len(result.problems), result.problems[-1]["row"]) == (100, 100, 20, 20)


def test_a_file_that_cannot_be_read_is_refused(opened: OpenPlace, tmp_path: Path) -> None:
    naive = tmp_path / "naive.parquet"
    pq.write_table(pa.table({"id": ["a"], "time": pa.array([0], pa.timestamp("us"))}), naive)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no more")
    for name, says in (("naive.parquet", "time zone"), ("broken.parquet", "Parquet"), ("none.jsonl", "cannot be read")):
        with pytest.raises(Refused, match=says):
            replay(opened, tmp_path / name)


def test_what_is_about_the_erased_is_counted_and_not_kept(opened: OpenPlace, tmp_path: Path) -> None:
    rows = [cloud_event(f"e-{n}", WHOM[n % 2], now_us() - n * S_US, page="tv") for n in range(20)]
    opened.ledger.erase(opened.stream(WHOM[0]))
    result = replay(opened, json_lines(tmp_path / "past.jsonl", rows))
    assert (result.accepted, result.erased) == (10, 10)
    assert opened.log(WHOM[0]) == []
