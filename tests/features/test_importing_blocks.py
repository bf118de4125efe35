"""A plan in parts of a few customers has the records of the whole plan, each customer's in one part and in order."""

import random
from pathlib import Path

import pytest

from features.importing import ImportPlan, catalogue_files, checked_catalogue
from features.importing.blocks import by_customers
from features.importing.entries import Entries
from features.ledger import Entry, Ledger
from tests.features.importing_help import planned
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
