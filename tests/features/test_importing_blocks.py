"""A plan in parts of a few customers has the records of the whole plan, each customer's in one part and in order."""

import random
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from decisioning.errors import Refused
from features.importing import ImportPlan, catalogue_files, checked_catalogue
from features.importing.blocks import by_customers
from features.importing.opening import csv_text, open_table
from features.importing.records import Entries
from features.ledger import Entry, Ledger
from tests.features.importing_help import CUSTOMERS, MAILINGS, SHOP, planned
from tests.features.test_importing_write import LATE

MAPPING = LATE.replace('separator: ";"', 'separator: ";"\n    account: house').replace(
    "    contact:\n      id: mailing",
    "    features: [{column: euro, name: euros_paid, dtype: float, after_outcome: true}]\n"
    "    contact:\n      id: mailing",
)


def plan_of(folder: Path, customers: int, mailings: int) -> ImportPlan:
    """Return a plan of random rows; some customers stand only in the file of sales, and some rows have no outcome."""
    rng = random.Random(8)
    whom = [f"c{n}" for n in range(customers)]
    rng.shuffle(whom)
    known = "".join(f"{c},{rng.randrange(18, 90)},1.5,basic,yes,2026-01-10\n" for c in whom[::2])
    sent = [
        f"m{n};{rng.choice(whom[:-2])};{rng.choice(['Shoes', 'Coats', 'nothing'])};{n % 27 + 1:02}-02-2026 10:00;0,25;"
        f"{rng.choice(['ja', 'nee'])};{n},5;h{n % 3}\n"
        for n in range(mailings)
    ]
    sold = [
        f"{c},h{n % 3},m{n},{rng.randrange(3)},{rng.randrange(2)},{rng.choice('YN?')},2026-03-{n % 28 + 1:02}\n"
        for n, c in enumerate(whom)
    ]
    files = {
        "customers": "customer,age,spent,plan,vip,known_on\n" + known,
        "mailings": "mailing;customer;what;sent;p;bought;euro;house\n" + "".join(sent),
        "sales": "customer,house,mailing,amount,back,optin,day\n" + "".join(sold),
    }
    return planned(folder, MAPPING, files)


def content(plan: ImportPlan) -> list[object]:
    """Return all columns of a plan as lists."""
    rows = [row for kind in (plan.contacts, plan.late, plan.consents) for row in kind]
    return [
        plan.rows,
        plan.counts,
        plan.subjects.to_pylist(),
        *(t.to_pylist() for t in plan.profiles),
        *map(_lists, rows),
    ]


def _lists(value: Any) -> object:
    if isinstance(value, pa.Array):
        return value.to_pylist()
    if isinstance(value, tuple):
        return [_lists(item) for item in value]
    return {name: _lists(item) for name, item in vars(value).items()} if is_dataclass(value) else value


def test_files_that_are_read_in_parts_give_the_plan_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = content(plan_of(tmp_path, 40, 120))
    monkeypatch.setattr(csv_text, "BYTES", 400)
    assert len(list(open_table(tmp_path / "mailings.csv").parts())) > 10
    assert content(plan_of(tmp_path, 40, 120)) == whole


def test_rows_are_numbered_and_compared_across_the_parts_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_text, "BYTES", 400)
    known = [f"c{n},{'x' if n in (31, 55) else 30},1,basic,yes,2026-01-10\n" for n in range(1, 60)]
    text = "customer,age,spent,plan,vip,known_on\n" + "".join([*known, known[1].replace(",30,", ",31,")])
    with pytest.raises(Refused) as refused:
        planned(tmp_path, files={"customers": text, "mailings": MAILINGS})
    assert str(refused.value).splitlines()[1:] == [
        "customers.csv: rows 32 and 56, column age: 2 cells: is not a whole number",
        "customers.csv: row 61, column age: the same subject stands in row 3, with another value",
        "customers.csv was read as `,`-separated",
    ]


def test_a_text_that_only_one_part_of_a_file_has_is_a_text_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part without it is no mistake, and a file without it is one mistake, however many parts it has."""
    monkeypatch.setattr(csv_text, "BYTES", 400)
    head, letters = MAILINGS.partition("\n")[0], [f"m{n};c1;Shoes;01-02-2026 10:00;0,5;nee;" for n in range(60)]
    sold = letters[-1].replace("nee", "ja")
    files, mapping = {"customers": CUSTOMERS}, SHOP.replace("positive: ja, negative: nee", "positive: ja")
    plan = planned(tmp_path, mapping, files | {"mailings": "\n".join([head, *letters[:-1], sold, ""])})
    assert plan.contacts[0].outcomes[0].row.to_pylist() == [59]
    with pytest.raises(Refused, match="1 cell is wrong") as refused:
        planned(tmp_path, mapping, files | {"mailings": "\n".join([head, *letters, ""])})
    assert "mailings.csv: row 2, column bought: no cell of the column" in str(refused.value)


def test_customers_without_ids_are_numbered_across_the_parts_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_text, "BYTES", 400)
    mapping = SHOP.replace("{column: customer}\n    as_of", "{row: shop-}\n    as_of")
    text = CUSTOMERS + 60 * CUSTOMERS.partition("\n")[2]
    plan = planned(tmp_path, mapping, {"customers": text, "mailings": MAILINGS})
    assert plan.profiles[0]["subject"].to_pylist() == [f"shop-{n}" for n in range(1, 184)]


def records(plan: ImportPlan, whole: ImportPlan, ledger: Ledger) -> dict[str, list[Entry]]:
    catalogue = checked_catalogue(whole, catalogue_files(whole))
    actions = [a.model_copy(update={"scope": "account"}) if a.id == "coats" else a for a in catalogue.actions]
    streams = {s: ledger.stream_of("person", s) for s in plan.subjects.to_pylist()}
    return dict(Entries(plan, catalogue.model_copy(update={"actions": tuple(actions)}), ledger, streams).by_stream())


@pytest.mark.parametrize("size", [1, 7, 39, 1_000])
def test_the_parts_have_the_records_of_the_whole(tmp_path: Path, size: int) -> None:
    whole = plan_of(tmp_path, 40, 120)
    with Ledger.open(tmp_path / "ledger.db", b"s" * 32) as ledger:
        expected = records(whole, whole, ledger)
        accounts = {ledger.stream_of("account", f"h{n}") for n in range(3)}
        seen = dict[str, list[Entry]]()
        for part in by_customers(whole, size):
            assert len(part.subjects) <= size
            for stream, entries in records(part, whole, ledger).items():
                assert stream in accounts or stream not in seen
                seen.setdefault(stream, []).extend(entries)
    assert accounts <= expected.keys()
    assert seen.keys() == expected.keys()
    for stream, entries in expected.items():
        if stream in accounts:  # the people of an account stand in several parts
            entries.sort(key=lambda entry: str(entry.key))
            seen[stream].sort(key=lambda entry: str(entry.key))
        assert seen[stream] == entries
