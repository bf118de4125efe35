"""What `brain check` refuses of `because:`, and how clauses are filled and made."""

import re

import pytest

from decisioning.catalogue.actions import Settings
from decisioning.catalogue.files import WORDING, load, pack
from decisioning.catalogue.release import Release
from decisioning.errors import ConfigError
from decisioning.facts.because import Because
from decisioning.facts.clauses_2 import clauses_of
from decisioning.facts.forms import Ask, PlacementAsk
from decisioning.facts.schema import Feature
from decisioning.records.pieces import SignedNumbering
from decisioning.records.wording_2 import DirectedWords, filled, number, signed_name
from decisioning.review import personas
from decisioning.review.hints import hints
from tests import strategies as world

TWO = "text: {nl: %s, en: %s}"
REFUSED = [
    ("int", "text: {nl: u veel hebt}", "no text in `en`"),
    ("int", "text: u veel hebt", "write `text: {nl: …, en: …}`"),
    ("int", TWO % ("je veel hebt", "you have much"), "says `je`, and the settings `u`"),
    ("int", TWO % ("omdat u veel hebt", "you have much"), "is not what follows `because`"),
    ("int", TWO % ("u veel hebt.", "you have much"), "without a full stop"),
    ("int", TWO % ("u veel hebt", "you have has_tv"), "holds a code"),
    ("int", TWO % ("u veel hebt", '"you have {monthly_fee_eur}"'), "holds a code"),
    ("int", TWO % ("u veel hebt", '"you have {value} lines"'), "reads the same for one and for more"),
    ("int", TWO % ("u veel hebt", " ".join(["word"] * 14)), "more than 13 words"),
    ("bool", TWO % ("u veel hebt", '"you have {value}"'), "is told in words"),
    ("bool", TWO % ("u veel hebt", '"you have {one|two}"'), "only numbers have two forms"),
    ("string", TWO % ("u veel hebt", "you have much"), "is not told as a reason"),
    ("enum, values: [a, b]", TWO % ("u veel hebt", "you have much"), "told in its own words"),
    ("enum, values: [a, b]", "bands: [{is: c, %s}]" % (TWO % ("u dat hebt", "you have it")), "no value of the feature"),
    ("bool", "bands: [{is: false, %s}]" % (TWO % ("u niets hebt", "you have none")), "never what not"),
    ("int", "bands: [{is: 0, %s}]" % (TWO % ("u niets hebt", "you have none")), "never what not"),
    ("int", "bands: [{is: x, %s}]" % (TWO % ("u dat hebt", "you have it")), "the feature is a number"),
    ("int", "bands: [{%s}]" % (TWO % ("u dat hebt", "you have it")), "needs the values that it is for"),
    ("int", "use: shown", "it has no text"),
    ("int", "use: never, " + TWO % ("u veel hebt", "you have much"), "nobody may be told"),
    ("int, tags: [protected]", "use: said, " + TWO % ("u oud bent", "you are old"), "tagged `protected`"),
    ("float, source: model", "use: said, " + TWO % ("u blijft", "you stay"), "a score of a model"),
    ("int", "use: shown, " + TWO % ("u te laat betaalde", "you paid"), "speaks of `te laat`"),
    ("int", "use: shown, " + TWO % ("u keek", "you looked at how to cancel"), "speaks of `cancel`"),
    ("int", "use: said, " + TWO % ("u wegging", "you wanted to leave"), "speaks of `leave`"),
]


def checked(feature: str) -> str:
    """Return what the check says about the small catalogue with one more feature; empty if it accepts it."""
    try:
        load({**world.SMALL_FILES, **WORDING, "x.yaml": f"features:\n  - {feature}\n"})
    except ConfigError as error:
        return str(error)
    return ""


@pytest.mark.promise("reasons.catalogue")
@pytest.mark.parametrize(("dtype", "because", "message"), REFUSED)
def test_a_clause_that_would_not_read_well_is_refused_with_its_line(dtype: str, because: str, message: str) -> None:
    text = checked(f"{{name: more_of_it, dtype: {dtype}, because: {{{because}}}}}")
    assert message in text
    assert "x.yaml:2" in text


@pytest.mark.promise("reasons.catalogue")
def test_a_feature_may_be_told_to_nobody() -> None:
    """Without it, a name that is no word would be read aloud: clauses are made of names where there are none."""
    assert not checked("{name: cons_price_idx, dtype: float, because: {use: never}}")
    feature = Feature(name="more_of_it", dtype="float", because=Because(use="never"))
    words = DirectedWords({"more_of_it": feature}, {}, Settings())
    assert words.spoken("more_of_it", "for", "en", {"more_of_it": 3.0}).sentence == ""


@pytest.mark.promise("reasons.catalogue")
def test_a_feature_that_a_protection_reads_is_no_reason_of_an_offer() -> None:
    use = "because: {use: said, text: {nl: dat zo is, en: it is so}}"
    files = {
        name: text.replace("{name: bereaved, dtype: bool,", f"{{name: bereaved, dtype: bool, {use},")
        for name, text in world.SMALL_FILES.items()
    }
    with pytest.raises(ConfigError, match="a protection reads it"):
        load(files)
    load(
        {
            name: text.replace("use: said, text: {nl: dat", "use: on_request, text: {nl: dat")
            for name, text in files.items()
        }
    )


@pytest.mark.promise("reasons.catalogue")
def test_the_sentences_of_every_persona_are_told() -> None:
    release = Release.from_bytes(pack({**world.SMALL_FILES, **WORDING}))
    told = personas.sentences(release)
    assert told["tv-fan, en"].startswith("Because you are 40 years old.")
    assert "Omdat u € 50 per maand betaalt." in told["tv-fan, nl"]
    assert not [text for text in told.values() if re.search(r"\bje\b|_", text)]
    assert personas.sentences(world.SMALL) == {}


@pytest.mark.parametrize(
    ("value", "locale", "text"),
    [
        (1, "en", "you have one line"),
        (3, "en", "you have three lines"),
        (1.04, "nl", "you have één line"),
        (1.5, "nl", "you have 1,5 lines"),
        (12345, "nl", "you have 12.345 lines"),
        (13, "en", "you have 13 lines"),
    ],
)
def test_numbers_are_written_as_they_are_said(value: float, locale: str, text: str) -> None:
    feature = Feature(name="lines", dtype="float")
    assert filled("you have {value} {line|lines}", value, feature, locale) == text


def test_euros_are_written_as_in_each_language() -> None:
    fee = Feature(name="fee_eur", dtype="float", unit="EUR")
    assert filled("{value}", 62.5, fee, "nl") == "€ 62,50"
    assert filled("{value}", 62.0, fee, "en") == "€62"
    assert number(-1234.5, "nl", 2) == "-1234,50"


@pytest.mark.parametrize(
    ("name", "dtype", "more", "text"),
    [
        ("tenure_months", "int", {"unit": "months"}, "your tenure is {value} {month|months}"),
        ("monthly_fee_eur", "float", {"unit": "EUR"}, "your monthly fee is {value}"),
        ("mobile_lines", "int", {}, "you have {value} {mobile line|mobile lines}"),
        ("has_dog", "bool", {}, "you have dog"),
        ("housing", "bool", {}, "housing applies to you"),
        ("roaming_days_90d", "int", {}, "you have {value} {roaming day|roaming days} in 90 days"),
        ("job", "enum", {"values": ("blue-collar", "unknown", "admin.")}, "your job is blue collar"),
        ("v12", "int", {}, ""),
    ],
)
def test_a_clause_is_made_of_a_name_only_if_all_of_it_is_words(name: str, dtype: str, more: dict, text: str) -> None:  # type: ignore[type-arg]
    because = clauses_of(Feature(name=name, dtype=dtype, **more))  # type: ignore[arg-type]
    clauses = [] if because is None else [clause["en"] for _, clause in because.clauses if isinstance(clause, dict)]
    assert (clauses or [""])[0] == text
    assert because is None or because.use == "on_request"
    assert not any("unknown" in clause for clause in clauses)


def test_signed_names_have_numbers_and_come_back() -> None:
    numbering = SignedNumbering(["age", "fee"])
    for name in ("age", "fee+0.1", "fee-9.9", "age+9.9", "age-0.1"):
        code = numbering.code(name)
        assert isinstance(code, int)
        assert numbering.name(code) == name
    assert numbering.codes(["+0.4", "other+0.1", None]) == ["+0.4", "other+0.1", None]
    assert signed_name("fee-0.4") == ("fee", -0.4)
    with pytest.raises(ValueError, match="a figure that there is not"):
        numbering.name(2 * 300)


@pytest.mark.promise("reasons.hints")
def test_hints_name_the_field_of_the_request_and_nothing_of_the_customer() -> None:
    hero = (PlacementAsk(name="hero"), PlacementAsk(name="sidebar"))
    ask = Ask(request_id="r", customer_id="c", channel="web", placements=hero)
    (hint,) = hints(world.SMALL, ask, "en")
    assert hint == {
        "field": "account_id",
        "withheld": 1,
        "text": "Name an account_id: 1 of 7 possibilities are for an account.",
    }
    named = ask.model_copy(update={"account_id": "a"})
    assert hints(world.SMALL, named) == []
    (narrow,) = hints(world.SMALL, named.model_copy(update={"issues": ("service",)}), "nl")
    assert narrow["field"] == "issues"
    assert hints(world.SMALL, ask.model_copy(update={"channel": "gone"})) == []
