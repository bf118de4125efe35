"""A draft says what it rests on, guesses no consent, and imports once a person has filled its blanks."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.files import Catalogue, load
from decisioning.errors import ConfigError, Refused
from decisioning.facts.schema import Feature, Value
from decisioning.records.wording_2 import DirectedWords
from features.importing import catalogue_files, make_plan, open_mapping
from features.importing.plan import ImportPlan, assign_paths
from features.importing.reading import BLANK
from tests.features.drafting_help import NOW_US, confirmed, drafted, impressions, renewals

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def planned(folder: Path, text: str) -> tuple[ImportPlan, Catalogue]:
    """Return the plan of an import by a mapping, and the catalogue that it makes, which passes all checks."""
    (folder / "drafted.yaml").write_text(text)
    source, where = open_mapping(str(folder / "drafted.yaml"))
    plan = make_plan(source, assign_paths(source, where, ()), NOW_US)
    return plan, load(catalogue_files(plan))


@pytest.fixture(scope="module")
def renewed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Catalogue, ImportPlan, int]:
    folder = tmp_path_factory.mktemp("renewals")
    text = drafted(folder, renewals(folder / "polissen.xlsx"))
    filled, written = confirmed(text, positive="ja")
    plan, catalogue = planned(folder, filled)
    return text, catalogue, plan, written


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Catalogue, ImportPlan, int]:
    folder = tmp_path_factory.mktemp("impressions")
    text = drafted(folder, impressions(folder / "log.jsonl"))
    filled, written = confirmed(text, positive='"true"')
    plan, catalogue = planned(folder, filled)
    return text, catalogue, plan, written


@pytest.mark.promise("imports.draft")
def test_a_dutch_workbook_needs_few_lines_of_a_person(renewed: tuple[str, Catalogue, ImportPlan, int]) -> None:
    text, catalogue, plan, written = renewed
    assert written <= 20
    assert plan.rows == 400
    assert sum(len(o.row) for o in plan.contacts[0].outcomes) > 100
    features = {f.name: f for f in catalogue.features}
    assert features["geslacht"].tags == ("protected",)
    assert features["premie"].unit == "EUR"
    assert "naam" not in features
    assert "# left out: Naam: " in text
    assert "locales: [nl]" in text


@pytest.mark.promise("imports.draft")
def test_a_log_of_impressions_needs_few_lines_of_a_person(shown: tuple[str, Catalogue, ImportPlan, int]) -> None:
    _, catalogue, plan, written = shown
    assert written <= 20
    assert [a.id for a in catalogue.actions] == ["free-delivery", "summer-sale"]
    assert {c.id: c.medium for c in catalogue.channels} == {"email": "email", "app": None}
    assert plan.counts[0].impossible == 1
    assert {f.name for f in catalogue.features} >= {"visits", "membership"}
    assert "# left out: position: rows of one customer and time differ in it" in shown[0]


def test_moods_and_requests_in_a_file_are_barred_from_models_and_sales(tmp_path: Path) -> None:
    rows = [f"c-{n},{n % 7},{n % 3},{n % 5 / 4},{'yes' if n % 4 == 0 else 'no'}" for n in range(200)]
    (tmp_path / "a.csv").write_text("\n".join(["customer_id,visits,complaints,sentiment,clicked", *rows]))
    filled, _ = confirmed(drafted(tmp_path, tmp_path / "a.csv"), positive='"yes"')
    features = {f.name: f for f in planned(tmp_path, filled)[1].features}
    assert [name for name in ("visits", "complaints", "sentiment") if features[name].learnable] == ["visits"]
    assert not features["complaints"].may_sell
    assert not features["sentiment"].may_sell


def test_a_refused_column_is_told_without_what_is_in_its_cells(tmp_path: Path) -> None:
    rows = [f"{n},{'yes' if n % 2 else 'no'}" for n in range(70_001, 70_151)]
    (tmp_path / "a.csv").write_text("\n".join(["customer_id,clicked", *rows]))
    with pytest.raises(Refused, match="holds 150 different texts") as refused:
        drafted(tmp_path, tmp_path / "a.csv", outcome="customer_id")
    assert "70" not in str(refused.value)


@pytest.mark.promise("imports.draft")
@pytest.mark.parametrize("which", ["renewed", "shown"])
def test_no_draft_guesses_a_consent(which: str, request: pytest.FixtureRequest) -> None:
    """Columns that may be consents are left out and named; consents and bases are blanks with a reason."""
    text, _, plan, _ = request.getfixturevalue(which)
    assert re.search(rf"consents: {BLANK}  # \w+", text)
    assert re.search(rf"bases: {BLANK}  # \w+", text)
    assert plan.consents == ()
    assert re.search(r"# left out: (Nieuwsbrief|opt_in): it may be a consent", text)


def test_an_unfilled_draft_is_refused_blank_by_blank(tmp_path: Path) -> None:
    text = drafted(tmp_path, renewals(tmp_path / "polissen.xlsx", 60))
    (tmp_path / "drafted.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        open_mapping(str(tmp_path / "drafted.yaml"))
    lines = [n for n, line in enumerate(text.splitlines(), 1) if BLANK in line.partition("#")[0]]
    assert [p.line for p in caught.value.problems] == lines
    assert all("is blank (" in str(p) for p in caught.value.problems)


def _values(feature: Feature) -> st.SearchStrategy[Value]:
    if feature.dtype == "bool":
        return st.booleans()
    if feature.dtype == "enum":
        return st.sampled_from(feature.values)
    low, high = feature.min or 0.0, feature.max or 100.0
    return st.integers(int(low), int(high)) if feature.dtype == "int" else st.floats(low, high)


@settings(max_examples=300)
@given(data=st.data())
def test_reasons_of_drafted_features_read_well(
    data: st.DataObject, renewed: tuple[str, Catalogue, ImportPlan, int], shown: tuple[str, Catalogue, ImportPlan, int]
) -> None:
    catalogue = data.draw(st.sampled_from([renewed[1], shown[1]]))
    features = {f.name: f for f in catalogue.features if f.asserted_by is None}
    feature = data.draw(st.sampled_from(list(features.values())))
    value = data.draw(_values(feature))
    locale = catalogue.settings.locales[0]
    words = DirectedWords(features, {}, catalogue.settings)
    sentence = words.spoken(feature.name, data.draw(st.sampled_from(["for", "against"])), locale, {feature.name: value})
    if sentence.sentence:
        check_sentence(sentence.sentence, value, locale)


def check_sentence(sentence: str, value: Value, locale: str) -> None:
    """No raw code, at most 15 words, one form of address, singular and plural as they belong."""
    assert len(sentence.split()) <= 15, sentence
    assert not re.search(r"[_{}<>|]", sentence), sentence
    assert sentence.startswith(("Because ", "Although ") if locale == "en" else ("Omdat ", "Hoewel ")), sentence
    assert not re.search(r"\b(u|uw)\b", sentence) if locale == "nl" else True
    if value == 1 and not isinstance(value, bool | str):
        assert not re.search(r"\b(one|één) \w+s\b", sentence), sentence
