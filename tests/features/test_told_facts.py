"""Facts that were told for a time ahead, and facts whose value is a date that lies ahead or before 1970."""

import itertools
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from decisioning.errors import Refused
from decisioning.facts.schema import Feature, FeatureSchema
from decisioning.times import FIRST_US, HOUR_US, LAST_US, TOLERANCE_US
from features.importing.opening import open_table
from features.importing.profile import _Reading
from features.ledger.records import Names
from features.profile import online
from features.profile.online import open_profiles
from features.profile.store import Store
from features.profile.versions import Stamp, Statement
from tests.features.conftest import NOW_US, SCHEMA

counter = itertools.count()
DATES = FeatureSchema((Feature(name="contract_ends_at", dtype="timestamp"),))


def fresh() -> str:
    """Return a subject that no other test uses."""
    return f"told-{next(counter)}"


def age(profiles, subject: str) -> object:
    return profiles.read([subject], now_us=NOW_US + 9 * HOUR_US)[0].facts.get("age")


@pytest.mark.promise("time.ahead")
def test_a_fact_told_now_holds_against_one_dated_ahead_of_it(both) -> None:
    subject, profiles = fresh(), both.profiles
    profiles.write(subject, {"age": 30}, NOW_US + TOLERANCE_US, now_us=NOW_US)
    profiles.write(subject, {"age": 40}, None, now_us=NOW_US)
    assert age(profiles, subject) == 40


@pytest.mark.promise("time.ahead")
def test_a_fact_told_after_the_clock_was_ahead_once_is_not_lost(both) -> None:
    subject, profiles = fresh(), both.profiles
    profiles.write(subject, {"age": 30}, None, now_us=NOW_US + 2 * HOUR_US)
    profiles.write(subject, {"age": 40}, None, now_us=NOW_US)
    assert age(profiles, subject) == 40
    assert profiles.archive.statements_of(subject)[-1].facts == {"age": 40}


@pytest.mark.promise("time.ahead")
def test_a_fact_told_of_now_holds_after_the_clock_was_ahead_once_and_one_told_of_earlier_does_not(both) -> None:
    subject, profiles = fresh(), both.profiles
    profiles.write(subject, {"age": 30}, None, now_us=NOW_US + 2 * HOUR_US)
    profiles.write(subject, {"age": 40}, NOW_US - 1, now_us=NOW_US)
    assert age(profiles, subject) == 40
    profiles.write(subject, {"age": 50}, NOW_US - TOLERANCE_US, now_us=NOW_US)
    assert age(profiles, subject) == 40


def write_as_before(profiles, subject: str, facts: dict[str, object], event_us: int, now_us: int) -> None:
    """Write facts as earlier versions did, which took any time."""
    statement = Statement(Stamp(event_us, now_us), facts)
    with profiles.archive.spool.writing():
        profiles.archive.spool.append(subject, statement)
        for view in profiles._views:
            profiles.store.online.update(view.table, [subject], partial(online._news, view, statement.versions))


def test_what_was_stored_ahead_counts_as_of_its_recording_after_the_migration(world) -> None:
    """Both in the history and online, and once: what was told since then holds."""
    subject, other, profiles = fresh(), fresh(), world.profiles
    write_as_before(profiles, subject, {"age": 30, "fee_eur": 5.0}, NOW_US + 10_000 * HOUR_US, NOW_US)
    write_as_before(profiles, subject, {"age": 40}, NOW_US + HOUR_US, NOW_US + HOUR_US)
    write_as_before(profiles, other, {"age": 50}, NOW_US, NOW_US)
    assert age(profiles, subject) == 30
    profiles.archive.spool._db.execute("PRAGMA user_version=0")
    again = open_profiles(world.data, SCHEMA)
    assert [age(again, s) for s in (subject, other)] == [40, 50]
    assert again.read([subject], now_us=NOW_US)[0].raw["fee_eur"] == (5.0, NOW_US)
    stamps = [tuple(s.stamp) for s in again.archive.statements_of(subject)]
    assert stamps == [(NOW_US, NOW_US), (NOW_US + HOUR_US, NOW_US + HOUR_US)]
    assert again.archive.spool.are_times_counted()
    assert Store(world.data).online.filled() == world.store.online.filled()


def read(path) -> list[int | None]:
    """Return the dates that an import reads from a file of customers."""
    opened, dates = open_table(path), list[int | None]()
    reading = _Reading(DATES, Names(b"secret"), NOW_US, opened)
    for sheet, _, _ in opened.parts():
        table = reading.table(sheet)
        dates += table["contract_ends_at"].to_pylist() if table is not None else []
    reading.faults.raise_any()
    return dates


def test_a_date_as_a_fact_may_lie_ahead_and_before_1970(tmp_path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("customer_id,contract_ends_at\na,2031-05-01\nb,1962-03-04\nc,9999-12-31T23:59:59.999999Z\nd,\n")
    assert read(path) == [1_935_360_000_000_000, -247_104_000_000_000, LAST_US, None]


@pytest.mark.parametrize(
    ("type_", "first", "last"),
    [
        (pa.timestamp("us", "UTC"), FIRST_US, LAST_US),
        (pa.timestamp("s", "UTC"), FIRST_US // 1_000_000, LAST_US // 1_000_000),
        (pa.timestamp("ms"), FIRST_US // 1000, LAST_US // 1000),
        (pa.date32(), FIRST_US // 86_400_000_000, LAST_US // 86_400_000_000),
    ],
)
def test_a_date_that_no_calendar_has_is_refused_by_row_and_column(tmp_path, type_, first, last) -> None:
    path = tmp_path / "p.parquet"
    whole = pa.int32() if pa.types.is_date32(type_) else pa.int64()

    def written(*values: int) -> None:
        cells = pa.array(values, whole).cast(type_)
        pq.write_table(pa.table({"customer_id": [str(n) for n in range(len(values))], "contract_ends_at": cells}), path)

    written(first, last)
    assert len(read(path)) == 2
    for outside in (first - 1, last + 1):
        written(first, outside)
        with pytest.raises(Refused, match="row 2, column contract_ends_at: is not a time between"):
            read(path)


def test_when_facts_were_true_may_not_lie_ahead(tmp_path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("customer_id,contract_ends_at,as_of\na,2031-05-01,2199-01-01\n")
    with pytest.raises(Refused, match="row 2, column as_of: lies more than 5 seconds ahead"):
        read(path)
    path.write_text("customer_id,contract_ends_at,as_of\na,2031-05-01,1969-12-31\n")
    with pytest.raises(Refused, match="row 2, column as_of: lies before 1970"):
        read(path)
