"""Files that say something twice, or otherwise than the file before; and what an import tells of its files."""

from pathlib import Path
from typing import Any

import pytest

from decisioning.errors import Refused
from features.decisions.log import DecisionLog
from features.importing import as_tables, assign_paths, import_profile, read_mapping
from tests.features.importing_help import CONSENTS, FILES, MAILINGS, NOW_US, SHOP, ImportWorkspace, planned
from tests.features.test_importing_sure import refused

OPTINS = "customer,optin,back\nc1,Y,1\nc2,N,0\n"


def imported(tmp_path: Path, *files: str) -> tuple[ImportWorkspace, list[int]]:
    """Return a workspace into which these files of consents were imported one after the other, and the new records."""
    plans = [planned(tmp_path, CONSENTS, FILES | {"optins": text}) for text in files]
    shop = ImportWorkspace(tmp_path / "shop" / "data", plans[0])
    return shop, [shop.write(plan).new_records for plan in plans]


def status(shop: ImportWorkspace, customer: str = "c1") -> str:
    return shop.ledger.read(shop.stream(customer))[0].consents[0].status


@pytest.mark.promise("imports.corrected-refusal")
def test_a_corrected_file_of_the_same_day_that_says_no_after_yes_counts(tmp_path: Path) -> None:
    shop, new = imported(tmp_path, OPTINS, OPTINS.replace("c1,Y", "c1,N"), OPTINS, OPTINS.replace("c1,Y", "c1,N"))
    assert new[1:] == [1, 0, 0]
    assert (status(shop), status(shop, "c2")) == ("refused", "refused")


@pytest.mark.promise("imports.corrected-refusal")
def test_a_corrected_file_that_says_no_after_yes_takes_an_outcome_back(tmp_path: Path) -> None:
    plan, no = planned(tmp_path), FILES["mailings"].replace("ja;49,95", "nee;")
    shop = ImportWorkspace(tmp_path / "shop" / "data", plan)

    def bought(mailings: str) -> tuple[int, list[float | None], list[bool]]:
        corrected = shop.write(planned(tmp_path, files=FILES | {"mailings": mailings})).corrected
        log = DecisionLog(tmp_path / "log")
        log.update(shop.ledger, shop.release, NOW_US)
        labels = log.query("SELECT _label FROM log WHERE _action = 'shoes'", shop.release)["_label"].to_pylist()
        outcomes = shop.ledger.read(shop.stream("c1"))[0].outcomes.get("shoes", ())
        return corrected, [o.value_eur for o in outcomes], labels

    assert bought(MAILINGS) == (0, [49.95], [True])
    assert bought(no) == (1, [], [False])
    assert bought(no) == (0, [], [False])
    assert bought(MAILINGS) == (1, [49.95], [True])
    assert bought(MAILINGS.replace("49,95", "59,95")) == (1, [59.95], [True])
    assert bought(MAILINGS.replace("49,95", "59,95")) == (0, [59.95], [True])
    shop.ledger.erase(shop.stream("c1"))
    assert bought(no)[:2] == (0, [])


def test_a_corrected_assertion_of_the_same_day_counts_too(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    shop = ImportWorkspace(tmp_path / "shop" / "data", plan)
    shop.write(plan)
    assert status(shop) == "granted"
    refusing = "consents: [{purpose: marketing, channel: email, status: refused}]"
    shop.write(planned(tmp_path, SHOP.replace("consents: [{purpose: marketing, channel: email}]", refusing)))
    assert status(shop) == "refused"


def test_two_rows_of_one_customer_with_one_constant_date_are_one_word_or_the_stricter(tmp_path: Path) -> None:
    shop, _ = imported(tmp_path, OPTINS + "c1,Y,0\n")
    assert status(shop) == "granted"
    (tmp_path / "both").mkdir()
    shop, _ = imported(tmp_path / "both", OPTINS + "c1,N,0\n")
    assert status(shop) == "refused"


def test_two_outcomes_of_one_customer_with_one_constant_date_are_refused(tmp_path: Path) -> None:
    told = refused(tmp_path, CONSENTS, optins=OPTINS + "c3,Y,0\nc1,Y,1\n")
    assert "optins.csv: row 5, column (all): the same outcome stands in row 2" in told


def test_a_contact_that_stands_in_two_files_is_refused(tmp_path: Path) -> None:
    again = SHOP.replace("- id: mailings", "- id: more").partition("  - id: more")
    mapping = SHOP + again[1] + again[2]
    assert "the same contact stands in two files" in refused(tmp_path, mapping, more=MAILINGS)
    other = MAILINGS.replace("\nm", "\nn")
    assert len(planned(tmp_path, mapping, FILES | {"more": other}).contacts) == 2


def test_no_file_that_was_given_goes_unread(tmp_path: Path) -> None:
    source = read_mapping("shop.yaml", SHOP.encode())
    with pytest.raises(Refused, match="two files are given for customers"):
        assign_paths(source, tmp_path, ["customers=a.csv", "customers=b.csv", "m.csv"])


@pytest.mark.promise("imports.counts")
def test_an_import_tells_counts_that_can_be_checked_against_the_files(tmp_path: Path) -> None:
    optins = "customer,optin,back\nc1,Y,1\nc2,N,0\nc4,?,0\nc1,Y,0\n"
    told: dict[str, Any] = as_tables(planned(tmp_path, CONSENTS, FILES | {"optins": optins}).counts)
    commas = "read as `,`-separated, decimal point"
    assert told["files"] == [
        {"file": "customers.csv", "rows": 3, "customers": 3, "contacts": 0, "read": commas},
        {
            "file": "mailings.csv",
            "rows": 4,
            "customers": 3,
            "contacts": 3,
            "read": "read as `;`-separated, decimal comma",
        },
        {"file": "optins.csv", "rows": 4, "customers": 3, "contacts": 0, "read": "read as `,`-separated"},
    ]
    assert told["outcomes"] == [
        {"file": "mailings.csv", "outcome": "bought", "happened": 1},
        {"file": "optins.csv", "outcome": "returned", "happened": 1},
    ]
    assert told["consents"] == [
        {"file": "optins.csv", "purpose": "marketing", "channel": "email", "granted": 2, "refused": 1, "neither": 1}
    ]
    empty = {(row["file"], row["column"]): row["cells"] for row in told["empty"]}
    assert empty["customers.csv", "age"] == empty["customers.csv", "spent"] == empty["customers.csv", "vip"] == 1
    assert empty["customers.csv", "customer"] == empty["customers.csv", "known_on"] == 0
    assert empty["mailings.csv", "euro"] == 3


@pytest.mark.promise("imports.counts")
def test_an_import_of_facts_tells_rows_customers_and_empty_cells(tmp_path: Path) -> None:
    shop = ImportWorkspace(tmp_path / "shop" / "data", planned(tmp_path))
    (tmp_path / "p.csv").write_text(
        "customer_id,age,plan,as_of\nc1,30,,2026-01-01\nc1,31,,2026-01-02\nc2,,plus,2026-01-01\n"
    )
    result = import_profile(tmp_path / "p.csv", shop.release.schema, shop.ledger, shop.history, NOW_US)
    assert (result.rows, result.customers) == (3, 2)
    assert result.empty == {"customer_id": 0, "as_of": 0, "age": 1, "plan": 2}
