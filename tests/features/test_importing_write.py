"""An import is written once, as a whole, in any order, and never restores an erased customer."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from decisioning.catalogue.files import load
from decisioning.errors import Refused
from features.importing import catalogue_files, import_profile, make_plan, read_mapping
from tests.features.importing_help import FILES, NOW_US, SHOP, ImportWorkspace, planned

DAY_US = 86_400_000_000


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> ImportWorkspace:
    """A workspace into which the three customers and four mailings were imported."""
    folder = tmp_path_factory.mktemp("files")
    plan = planned(folder)
    imported = ImportWorkspace(tmp_path_factory.mktemp("shop") / "data", plan)
    imported.write(plan)
    return imported


def another(tmp_path: Path, shop: ImportWorkspace, name: str = "other") -> ImportWorkspace:
    """Return an empty workspace of the same release."""
    return ImportWorkspace(tmp_path / name / "data", planned(tmp_path))


def standings(shop: ImportWorkspace) -> list[object]:
    """Return contacts, outcomes and consents of the three customers, without the versions of the consents' records."""
    recorded = shop.ledger.read(*(shop.stream(f"c{n}") for n in (1, 2, 3)))
    return [(s.contacts, s.outcomes, tuple(replace(c, record=0) for c in s.consents)) for s in recorded]


def test_the_profile_holds_what_was_known_and_what_was_stated(shop: ImportWorkspace) -> None:
    asserted = {"hardship": False, "vulnerable": False, "complaint_open": False}
    assert shop.facts("c1") == {"age": 30, "spent_eur": 12.5, "plan": "basic", "vip": True, **asserted}
    assert shop.facts("c2") == {"age": 41, "plan": "plus", "vip": False, **asserted}


def test_consents_say_who_stated_them_and_in_what_words(shop: ImportWorkspace) -> None:
    record = next(r for r in shop.ledger.records(shop.stream("c1")) if r.kind == "consent")
    assert record.body is not None
    assert record.body["asserted_by"] == "A. Jansen"
    assert record.body["text"].startswith("Nobody in these files")
    assert shop.ledger.read(shop.stream("c1"))[0].consents[0].asserted_by == "A. Jansen"


def test_what_was_stated_later_is_not_true_before(shop: ImportWorkspace, tmp_path: Path) -> None:
    plan = planned(tmp_path, SHOP.replace("since: 2026-01-01", "since: 2026-03-01"))
    other = ImportWorkspace(tmp_path / "since" / "data", plan)
    other.write(plan)
    times = pa.array([1_770_000_000_000_000, NOW_US], pa.timestamp("us", "UTC"))  # in February, and now
    frame = other.history.point_in_time(pa.table({"subject": [shop.stream("c1")] * 2, "event_timestamp": times}))
    assert frame["hardship"].to_pylist() == [None, False]
    assert frame["age"].to_pylist() == [30, 30]


def test_contacts_and_outcomes_stand_in_the_ledger(shop: ImportWorkspace) -> None:
    standing = shop.ledger.read(shop.stream("c1"))[0]
    assert [(c.action, c.treatment, c.group, c.state) for c in standing.contacts] == [
        ("shoes", "shoes.email", "fashion", "seen"),
        ("coats", "coats.email", "fashion", "seen"),
    ]
    assert [(h.outcome, h.offer_id, h.value_eur) for h in standing.outcomes["shoes"]] == [("bought", "shop:m1", 49.95)]
    assert shop.ledger.read(shop.stream("c3"))[0].contacts == ()  # the row's action is none
    bodies = [r.body for r in shop.ledger.scan(["observation"]) if r.body]
    assert {b["action"]: b["probability"] for b in bodies} == {"shoes": 0.5, "coats": 0.25, "none": 0.25}


def test_importing_again_adds_nothing(shop: ImportWorkspace, tmp_path: Path) -> None:
    before, facts = standings(shop), shop.facts("c1")
    steps: list[tuple[int, int, str]] = []
    written = shop.write(planned(tmp_path), progress=lambda *a: steps.append(a))
    assert (written.records, written.new_records) == (8, 0)
    assert standings(shop) == before
    assert shop.facts("c1") == facts
    assert {(what, done) for done, total, what in steps if done == total} == {("profiles", 3), ("ledger", 8)}


def test_outcomes_that_came_later_are_added_by_the_next_export(shop: ImportWorkspace, tmp_path: Path) -> None:
    other = another(tmp_path, shop)
    early = FILES["mailings"].replace("ja;49,95", "nee;")
    assert other.write(planned(tmp_path, files=FILES | {"mailings": early})).new_records == 7
    assert other.write(planned(tmp_path)).new_records == 1
    assert standings(other) == standings(shop)


def test_a_part_imported_before_is_left_out_of_the_whole(shop: ImportWorkspace, tmp_path: Path) -> None:
    other = another(tmp_path, shop)
    part = {name: "".join(text.splitlines(keepends=True)[i] for i in (0, 3)) for name, text in FILES.items()}
    first = other.write(planned(tmp_path, files=part))
    assert (first.customers, first.records) == (1, 2)
    assert other.write(planned(tmp_path)).new_records == 8 - 2
    assert standings(other) == standings(shop)


def test_any_order_of_rows_and_imports_gives_the_same_standing(shop: ImportWorkspace, tmp_path: Path) -> None:
    other = another(tmp_path, shop)
    lines = FILES["mailings"].splitlines(keepends=True)
    customers = FILES["customers"].splitlines(keepends=True)
    added = 0
    for n in (4, 1, 3, 2):
        part = {"mailings": lines[0] + lines[n], "customers": customers[0] + "".join(reversed(customers[1:]))}
        added += other.write(planned(tmp_path, files=part)).new_records
    assert added == 8
    assert standings(other) == standings(shop)
    assert [other.facts(c) for c in ("c1", "c2", "c3")] == [shop.facts(c) for c in ("c1", "c2", "c3")]
    times = pa.table({"subject": [shop.stream("c1")], "event_timestamp": pa.array([NOW_US], pa.timestamp("us", "UTC"))})
    assert other.history.point_in_time(times).equals(shop.history.point_in_time(times))


def test_nothing_is_written_where_the_release_or_the_environment_says_no(shop: ImportWorkspace, tmp_path: Path) -> None:
    other = another(tmp_path, shop)
    plan = planned(tmp_path)
    with pytest.raises(Refused, match=r"prod takes no assertions.*A. Jansen"):
        other.write(plan, environment="prod")
    older = {k: v.replace("id: coats", "id: hats") for k, v in catalogue_files(plan).items()}
    other.catalogue = load(older)
    with pytest.raises(Refused, match="the release has no action coats"):
        other.write(plan)
    other.catalogue = load({k: v.replace("max: 50", "max: 40") for k, v in catalogue_files(plan).items()})
    with pytest.raises(Refused, match="feature age does not allow"):
        other.write(plan)
    other.catalogue = load(
        {k: v.replace("values: [basic, plus]", "values: [basic]") for k, v in catalogue_files(plan).items()}
    )
    with pytest.raises(Refused, match="feature plan does not allow"):
        other.write(plan)
    assert other.ledger.scan(["consent", "observation", "outcome"]) == []
    assert other.facts("c1") == {}


def test_who_was_erased_is_not_brought_back(shop: ImportWorkspace, tmp_path: Path) -> None:
    other = another(tmp_path, shop)
    other.write(planned(tmp_path))
    other.ledger.erase(other.stream("c1"))
    other.profiles.delete(other.stream("c1"))
    again = other.write(planned(tmp_path))
    assert (again.erased, again.customers, again.records) == (1, 2, 4)
    assert other.facts("c1") == {}
    (tmp_path / "profile.csv").write_text("customer_id,age\nc1,31\nc2,42\n")
    upserted = import_profile(tmp_path / "profile.csv", other.release.schema, other.ledger, other.history, NOW_US)
    assert (upserted.rows, upserted.erased) == (1, 1)
    assert other.facts("c1") == {}
    assert other.facts("c2")["age"] == 42


LATE = (
    SHOP.replace(
        "        - {name: bought, column: bought, positive: ja, negative: nee, value: {column: euro}}\n",
        "        - {name: opened, column: bought, positive: ja, negative: nee}\n",
    )
    + """
  - id: sales
    subject: {column: customer}
    account: house
    outcomes:
      - name: bought
        contact: mailing
        action: shoes
        column: amount
        above: 0
        value: {column: amount}
        at: {column: day}
      - {name: returned, action: shoes, column: back, positive: 1, counts: negative, at: {column: day}}
    consents:
      - purpose: marketing
        channel: email
        column: optin
        granted: "Y"
        refused: "N"
        notice_version: "2026-01"
        at: {column: day}
"""
)
SALES = """customer,house,mailing,amount,back,optin,day
c1,h1,m1,20,0,Y,2026-02-03
c2,h1,m2,0,1,N,2026-02-04
c3,h2,m3,0,0,?,2026-02-05
"""


def test_outcomes_and_consents_may_stand_in_another_file(shop: ImportWorkspace, tmp_path: Path) -> None:
    plan = planned(tmp_path, LATE, FILES | {"sales": SALES})
    other = ImportWorkspace(tmp_path / "late" / "data", plan)
    shoes = next(a for a in other.catalogue.actions if a.id == "shoes")
    assert (shoes.outcomes.positive, shoes.outcomes.negative) == (("opened", "bought"), ("returned",))
    other.write(plan)
    one, two, three = other.ledger.read(*(other.stream(f"c{n}") for n in (1, 2, 3)))
    assert [(h.outcome, h.offer_id, h.value_eur) for h in one.outcomes["shoes"]] == [
        ("opened", "shop:m1", None),
        ("bought", "shop:m1", 20.0),
    ]
    assert [(h.outcome, h.offer_id) for h in two.outcomes["shoes"]] == [("returned", None)]
    assert [s.consents[0].status for s in (one, two, three)] == ["granted", "refused", "granted"]
    assert one.consents[0].asserted_by is None  # the consent of the file is newer than the asserted one


@pytest.mark.promise("accounts.no-words-of-a-person")
def test_an_account_keeps_of_an_imported_contact_only_what_counts(shop: ImportWorkspace, tmp_path: Path) -> None:
    """A contact's id may be a telephone number, and what is known after it may be what the customer said."""
    mapping = SHOP.replace('separator: ";"', 'separator: ";"\n    account: house').replace(
        "    contact:\n      id: mailing",
        "    features: [{column: euro, name: call_note, dtype: float, after_outcome: true}]\n"
        "    contact:\n      id: mailing",
    )
    lines = FILES["mailings"].splitlines()
    mailings = "\n".join([f"{lines[0]};house", *(f"{line};h1" for line in lines[1:])]).replace("m2", "tel:0612345678")
    plan = planned(tmp_path, mapping, FILES | {"mailings": mailings})
    other = ImportWorkspace(tmp_path / "words" / "data", plan)
    actions = tuple(a.model_copy(update={"scope": "account"}) for a in other.catalogue.actions)
    other.catalogue = other.catalogue.model_copy(update={"actions": actions})
    other.write(plan)
    account = other.ledger.stream_of("account", "h1")
    kept = [(record.kind, record.body) for record in other.ledger.records(account)]
    named = {"action", "channel", "treatment", "group", "issue", "outcome", "observation_id", "offer_id", "scope"}
    assert {kind for kind, _ in kept} == {"observation", "outcome"}
    assert {name for _, body in kept for name in body or {}} <= named
    assert "0612345678" not in str(kept)
    assert "shop:" not in str(kept)
    (before,) = other.ledger.read(account)
    other.write(plan)
    assert other.ledger.read(account) == (before,)
    assert (len(before.contacts) > 0, bool(before.outcomes)) == (True, True)


def test_an_action_of_account_scope_is_counted_for_the_account_too(shop: ImportWorkspace, tmp_path: Path) -> None:
    mapping = SHOP.replace('separator: ";"', 'separator: ";"\n    account: house')
    lines = FILES["mailings"].splitlines()
    mailings = "\n".join([f"{lines[0]};house", *(f"{line};h1" for line in lines[1:])])
    plan = planned(tmp_path, mapping, FILES | {"mailings": mailings})
    other = ImportWorkspace(tmp_path / "accounts" / "data", plan)
    actions = [a.model_copy(update={"scope": "account"}) if a.id == "coats" else a for a in other.catalogue.actions]
    other.catalogue = other.catalogue.model_copy(update={"actions": tuple(actions)})
    other.write(plan)
    house = other.ledger.read(other.ledger.stream_of("account", "h1"))[0]
    assert [(c.action, c.channel) for c in house.contacts] == [("coats", "email")] * 2
    assert [c.offer_id for c in other.ledger.read(other.stream("c2"))[0].contacts] == ["shop:m2"]


def test_columns_known_after_the_outcome_stay_with_the_contact(shop: ImportWorkspace, tmp_path: Path) -> None:
    mapping = SHOP.replace(
        "    contact:\n      id: mailing",
        "    features: [{column: euro, name: euros_paid, dtype: float, after_outcome: true}]\n"
        "    contact:\n      id: mailing",
    )
    plan = planned(tmp_path, mapping)
    other = ImportWorkspace(tmp_path / "after" / "data", plan)
    other.write(plan)
    assert other.release.schema["euros_paid"].after_outcome
    assert "euros_paid" not in other.facts("c1")
    bodies = {r.body["observation_id"]: r.body["after"] for r in other.ledger.scan(["observation"]) if r.body}
    assert bodies["shop:m1"] == {"euros_paid": 49.95}
    assert bodies["shop:m2"] == {}


PROFILE_MISTAKES = [
    ("customer_id,agee\nc1,3\n", "column `agee` is no profile feature of the release (did you mean `age`?)"),
    ("customer,age\nc1,3\n", "has no column `customer_id`"),
    ("customer_id\nc1\n", "has no column that is a feature"),
    ("customer_id,age\nc1,old\n", "p.csv: row 2, column age: is not a whole number"),
    ("customer_id,age\nc1,51\n", "p.csv: row 2, column age: is above the maximum of age"),
    ("customer_id,plan\nc1,x\n", "p.csv: row 2, column plan: is not one of the values of plan"),
    ("customer_id,age\nc1,1\nc1,2\n", "p.csv: row 3, column (all): the same customer stands in row 2"),
]


@pytest.mark.parametrize(("text", "expected"), PROFILE_MISTAKES, ids=[expected for _, expected in PROFILE_MISTAKES])
def test_a_wrong_profile_file_is_refused_whole(shop: ImportWorkspace, tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "p.csv").write_text(text)
    before = shop.facts("c1")
    with pytest.raises(Refused) as caught:
        import_profile(tmp_path / "p.csv", shop.release.schema, shop.ledger, shop.history, NOW_US)
    assert expected in str(caught.value)
    assert shop.facts("c1") == before


def test_a_profile_file_sets_facts_and_older_ones_stay_older(tmp_path: Path, shop: ImportWorkspace) -> None:
    other = another(tmp_path, shop)
    path = tmp_path / "p.csv"
    path.write_text("customer_id,age,plan,as_of\nc1,33,,2026-03-01\nc4,20,plus,2026-03-01\n")
    assert import_profile(path, other.release.schema, other.ledger, other.history, NOW_US).features == ("age", "plan")
    path.write_text("customer_id,age,vip,as_of\nc1,32,no,2026-02-01\n")
    import_profile(path, other.release.schema, other.ledger, other.history, NOW_US)
    assert other.facts("c1") == {"age": 33, "vip": False}
    assert other.facts("c4") == {"age": 20, "plan": "plus"}


def test_progress_begins_with_reading(tmp_path: Path) -> None:
    planned(tmp_path)
    steps: list[str] = []
    source = read_mapping("shop.yaml", SHOP.encode())
    paths = {name: tmp_path / f"{name}.csv" for name in FILES}
    make_plan(source, paths, NOW_US, lambda done, total, what: steps.append(f"{done}/{total} {what}"))
    assert steps == ["0/2 reading files", "1/2 reading files", "2/2 reading files"]
