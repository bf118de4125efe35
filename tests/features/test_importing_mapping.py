"""A mapping's mistakes are reported at their line; its catalogue loads, and replaces nothing that a user wrote."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from decisioning.catalogue.files import load
from decisioning.catalogue.policies import REQUIRED_PROTECTIONS
from decisioning.catalogue.source import parse
from decisioning.errors import ConfigError, Refused
from features.importing import (
    assign_paths,
    catalogue_files,
    checked_catalogue,
    open_mapping,
    read_mapping,
    recipe_names,
)
from features.importing.yaml_text import section
from tests.features.importing_help import FILES, SHOP, planned


def line_of(text: str, part: str) -> int:
    return next(n for n, line in enumerate(text.splitlines(), 1) if part in line)


MISTAKES = [
    ("subject: {column: customer}\n    as_of", "subject: {colum: customer}\n    as_of", "unknown key `colum`"),
    ("dtype: int, unit", "dtype: integer, unit", "cannot be `integer`"),
    ("Shoes: shoes,", "Shoes: shose,", "there is no action `shose` (did you mean `shoes`?)"),
    ("channel: email\n      at", "channel: mail\n      at", "there is no channel `mail` (did you mean `email`?)"),
    ("consents: [{purpose: marketing", "consents: [{purpose: marketting", "did you mean `marketing`?"),
    ("positive: ja, negative: nee, value", "value", "expected `positive: [yes]` or `above: 0`"),
    ("    as_of: {column: known_on}\n", "", "its features need a time"),
    ("time_zone: Europe/Amsterdam", "time_zone: Europe/Amstredam", "there is no time zone `Europe/Amstredam`"),
    ("column: vip, name: vip", "column: vip, name: age", "feature `age` is declared twice"),
    ("      outcomes:\n", "      outcome:\n", "unknown key `outcome` (did you mean `outcomes`?)"),
    (
        "subject: {column: customer}\n    contact",
        "subject: {column: a, row: b}\n    contact",
        "expected {column: customer_id}",
    ),
    ("probability: {column: p}", "probability: 3/2", "must be at most 1"),
]


@pytest.mark.promise("configuration.mistakes")
@pytest.mark.parametrize(("old", "new", "expected"), MISTAKES, ids=[expected for *_, expected in MISTAKES])
def test_a_mistake_is_said_with_file_line_and_suggestion(old: str, new: str, expected: str) -> None:
    assert old in SHOP
    with pytest.raises(ConfigError) as caught:
        read_mapping("shop.yaml", SHOP.replace(old, new).encode())
    assert expected in str(caught.value)
    assert all(p.file == "shop.yaml" and p.line > 1 for p in caught.value.problems)


def test_a_column_that_the_file_does_not_have_is_said_at_its_line(tmp_path: Path) -> None:
    mapping = SHOP.replace("column: spent,", "column: spend,").replace("id: mailing\n", "id: maling\n")
    with pytest.raises(ConfigError) as caught:
        planned(tmp_path, mapping)
    problems = {p.line: str(p) for p in caught.value.problems}
    assert (
        "customers.csv has no column `spend` (read as `,`-separated, decimal point) (did you mean `spent`?)"
        in problems[line_of(mapping, "column: spend,")]
    )
    assert "did you mean `mailing`?" in problems[line_of(mapping, "id: maling")]
    assert len(problems) == 2


def test_what_the_core_refuses_is_said_in_the_mapping(tmp_path: Path) -> None:
    mapping = SHOP.replace('permit: "age >= 18"', 'permit: "agee >= 18"').replace(
        "value: 10", 'value: {expression: "spend", typical: 1}'
    )
    plan = planned(tmp_path, mapping)
    with pytest.raises(ConfigError) as caught:
        checked_catalogue(plan, catalogue_files(plan))
    assert {(p.file, p.line) for p in caught.value.problems} == {
        ("shop.yaml", line_of(mapping, "adults-only")),
        ("shop.yaml", line_of(mapping, "id: shoes")),
    }


def test_the_catalogue_holds_ranges_values_and_assertions(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    catalogue = load(catalogue_files(plan))
    features = {f.name: f for f in catalogue.features}
    assert (features["age"].min, features["age"].max, features["age"].unit) == (0, 50, "years")
    assert features["plan"].values == ("basic", "plus")
    assert features["hardship"].asserted_by == "A. Jansen"
    assert not features["hardship"].learnable
    assert {k for p in catalogue.protections for k in p.kind} == set(REQUIRED_PROTECTIONS)
    shoes = next(a for a in catalogue.actions if a.id == "shoes")
    assert shoes.outcomes.positive == ("bought",)
    assert [t.channel for t in shoes.treatments] == ["email"]
    with pytest.raises(ConfigError, match="stated by a person"):
        load(catalogue_files(plan), "prod")


def test_the_next_import_widens_features_and_leaves_the_rest_alone(tmp_path: Path) -> None:
    first = catalogue_files(planned(tmp_path))
    edited = first | {
        "shop/actions.yaml": first["shop/actions.yaml"].replace("value: 10", "value: 11"),
        "mine.yaml": "caps: []\n",
    }
    older = planned(
        tmp_path, files=FILES | {"customers": "customer,age,spent,plan,vip,known_on\nc9,88,1,gold,no,2026-02-01\n"}
    )
    after = catalogue_files(older, edited, load(edited).schema_of_features)
    assert {k: after[k] for k in edited if k != "shop/features.yaml"} == {
        k: v for k, v in edited.items() if k != "shop/features.yaml"
    }
    features = load(after).schema_of_features
    assert (features["age"].max, features["plan"].values) == (100, ("basic", "gold", "plus"))
    narrower = catalogue_files(planned(tmp_path), after, features)
    assert narrower == after


def test_what_the_workspace_declares_already_is_not_declared_again(tmp_path: Path) -> None:
    mine = {
        "purposes.yaml": 'purposes: [{id: marketing, notice_version: "mine"}]\n',
        "settings.yaml": "settings: {locales: [nl]}\n",
    }
    plan = planned(tmp_path, SHOP.replace("settings: {", "settings: {locales: [nl], max_per_group: 2, "))
    catalogue = load(catalogue_files(plan, mine))
    assert [p.notice_version for p in catalogue.purposes] == ["mine"]
    assert catalogue.settings.max_per_group == 2


def test_paths_are_named_in_order_or_from_the_mapping(tmp_path: Path) -> None:
    source = read_mapping("shop.yaml", SHOP.encode())
    both = {"customers": Path("a.csv"), "mailings": Path("b.csv")}
    assert assign_paths(source, tmp_path, ["a.csv", "b.csv"]) == both
    assert assign_paths(source, tmp_path, ["mailings=b.csv", "a.csv"]) == both
    with pytest.raises(Refused, match=r"no file for mailings.*customers=FILE mailings=FILE"):
        assign_paths(source, tmp_path, ["a.csv"])
    with pytest.raises(Refused, match="too many"):
        assign_paths(source, tmp_path, ["a.csv", "b.csv", "c.csv"])
    own = read_mapping("shop.yaml", SHOP.replace("- id: customers", "- id: customers\n    path: c.csv").encode())
    assert assign_paths(own, tmp_path, ["mailings=b.csv"])["customers"] == tmp_path / "c.csv"


def test_every_recipe_opens_and_others_are_refused_with_a_hint() -> None:
    assert recipe_names() == ("bank-marketing", "hillstrom", "telco-churn")
    for name in recipe_names():
        assert open_mapping(name)[0].mapping.id == name
    with pytest.raises(Refused, match="did you mean `hillstrom`"):
        open_mapping("hilstrom")


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(-1e9, 1e9)
    | st.text("ab :#'\"{}[],&*!|>%@`\\\né—", max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc: -'#", min_size=1, max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@example([{"id": "*a"}])
@given(
    st.lists(st.dictionaries(st.sampled_from(["id", "note", "yes", "a b"]), VALUES, min_size=1), min_size=1, max_size=3)
)
def test_yaml_is_read_back_as_it_was(items: list[dict[str, object]]) -> None:
    document = parse("x.yaml", section("things", items))
    assert not document.problems
    assert document.root is not None
    assert document.root.value["things"] == as_read(items)


def as_read(value: object) -> object:
    if isinstance(value, list):
        return tuple(map(as_read, value))
    return {k: as_read(v) for k, v in value.items()} if isinstance(value, dict) else value
