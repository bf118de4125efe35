"""Reasons as a good agent would say them: true of this customer, with a direction, short, and fit to be said."""

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from decisioning.catalogue.countries import with_country_rules
from decisioning.catalogue.files import WORDING, load, pack
from decisioning.catalogue.release import Release
from decisioning.facts.because import clause_in
from decisioning.facts.schema import Feature, Value
from decisioning.records.audiences import AUDIENCES, answer_for
from decisioning.records.formats import unpack
from decisioning.review.counterfactual import Counterfactual
from decisioning.review.narrative import narrative, whys_not
from decisioning.review.replaying import replay
from serving.brain.scoring import contributions_of
from tests.promises.reasoned import Told, model, release, told
from training.simulator.telecom import catalogue_files

WITNESS, MANY = 120, 10_000
NUMBERS = {
    "en": ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"],
    "nl": ["nul", "één", "twee", "drie", "vier", "vijf", "zes", "zeven", "acht", "negen", "tien", "elf", "twaalf"],
}
NEVER_OFFERED = {"tv_hours_week", "app_logins_30d", "email_opens_90d", "service_contacts_90d"} | {
    "paid_tv_views_30s",
    "paid_tv_views_1h",
}
U, JE = re.compile(r"\b(?:u|uw)\b", re.IGNORECASE), re.compile(r"\b(?:je|jij|jou|jouw)\b", re.IGNORECASE)


@cache
def drafted() -> Release:
    """Return the company's release without any clause of its own: all are made of names that nobody wrote for them."""
    files = with_country_rules({**catalogue_files(), **WORDING})
    catalogue = load(files)
    bare = tuple(feature.model_copy(update={"because": None}) for feature in catalogue.features)
    return Release.of(catalogue.model_copy(update={"features": bare}), pack(files))


def reasons(of: Told, audience: Any = "company") -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield the offers of a decision with each of their reasons, as an audience gets them."""
    for placement in answer_for(audience, of.decision.answer)["placements"]:
        for offer in placement["offers"]:
            yield from ((offer, reason) for reason in offer["reasons"])


def check(of: Told) -> Counter[str]:
    """Check all reasons of a decision, and return how many there were by kind."""
    seen: Counter[str] = Counter()
    for offer, reason in reasons(of):
        kind, _, name = reason["code"].partition(".")
        seen[f"{kind} {reason.get('direction', '')}".strip()] += 1
        assert_short_and_plain(reason["text"])
        if reason.get("use") is not None and name:
            assert_true(of, reason, name)
        if kind == "propensity" and "figure" in reason:
            assert_direction(of, offer, reason, name)
    assert_for_its_audience(of)
    return seen


def assert_true(of: Told, reason: dict[str, Any], name: str) -> None:
    """The value is known, and every number in the sentence is this customer's, in the right form of its words."""
    feature, value, text = of.decision.computed.release.schema[name], of.facts.get(name), reason["text"]
    assert value is not None, reason
    assert value is not False, reason
    locale = str(of.facts["locale"])
    numbers = set(re.findall(r"\d+(?:[.,]\d+)*", text)) | {w for w in text.split() if w in NUMBERS[locale]}
    fixed = set(re.findall(r"\d+", re.sub(r"\{.*?\}", "", _template(of, name, value, locale))))
    fixed |= {w for w in _template(of, name, value, locale).split() if w in NUMBERS[locale]}
    if not isinstance(value, bool | str):
        assert numbers <= spellings(feature, float(value), locale) | fixed, (text, value)
        assert_form(of, name, value, text, locale)
    else:
        assert numbers <= fixed
    assert text.startswith(
        ({"en": "Because ", "nl": "Omdat "} if reason["direction"] == "for" else {"en": "Although ", "nl": "Hoewel "})[
            locale
        ]
    )


def _template(of: Told, name: str, value: Value, locale: str) -> str:
    because = of.decision._tables.words._because[name]  # type: ignore[attr-defined]  # of wording 2
    return clause_in(because.clause(value), locale)


def spellings(feature: Feature, value: float, locale: str) -> set[str]:
    """Return every way in which a customer's number may be written, rounded as people round it."""
    shown = round(value) if abs(value) >= 10 else round(value, 1)
    texts = {f"{shown:g}", f"{shown:.0f}", f"{shown:,.0f}", f"{value:.2f}", f"{value:.0f}"}
    words = {NUMBERS[locale][int(shown)]} if float(shown).is_integer() and 0 <= shown <= 12 else set()
    return words | (texts if locale == "en" else {t.translate(str.maketrans(",.", ".,")) for t in texts})


def assert_form(of: Told, name: str, value: float, text: str, locale: str) -> None:
    """Exactly one has the first form of a word, and every other number the second."""
    is_one = round(value, 1) == 1.0
    for one, many in re.findall(r"\{([^{}|]*)\|([^{}|]*)\}", _template(of, name, value, locale)):
        assert re.search(rf"\b{re.escape(one if is_one else many)}(?!\w)", text), (text, value)


def assert_direction(of: Told, offer: dict[str, Any], reason: dict[str, Any], name: str) -> None:
    """The direction is the sign of what the feature adds to the whole score, trees included."""
    computed = of.decision.computed
    candidate = int(computed.view.candidates[computed.view.ids.index(offer["treatment"])])
    added = contributions_of(computed.release, model(), computed.facts)(candidate)["features"]
    total = sum(part for column, part in added.items() if column.partition("=")[0] == name)
    assert total != 0.0
    assert reason["direction"] == ("for" if total > 0.0 else "against"), (reason, total)


def assert_short_and_plain(text: str) -> None:
    assert len(text.split()) <= 15, text
    assert re.fullmatch(r"[A-Z].*\.", text), text
    assert not re.search(r"[_={}<>|]|\bnan\b|\bNone\b|\bTrue\b|\bFalse\b", text), text
    assert not (U.search(text) and JE.search(text)), text


def assert_for_its_audience(of: Told) -> None:
    """Customers get what is for an offer and may be shown, agents what may be said, and nobody what another did."""
    signals_of_account = any(stream.startswith("a") for stream in of.known.signals)
    for audience in AUDIENCES:
        for _, reason in reasons(of, audience):
            name = reason["code"].partition(".")[2]
            feature = of.decision.computed.release.schema.features.get(name)
            assert not (feature and feature.source == "signal" and signals_of_account), reason
            fields = {"customer": set(), "agent": {"use", "direction", "strength"}}.get(audience)
            assert fields is None or not reason.keys() - {"code", "text"} - fields
            if audience != "company":
                assert name not in NEVER_OFFERED, (audience, reason)
            if audience == "customer":
                assert not reason["text"].startswith(("Although", "Hoewel"))


def check_story(of: Told) -> None:
    """The story and the reasons why not are in one voice, and every candidate that was left out has one."""
    computed, placed = of.decision.computed, of.decision.answer["placements"]
    not_chosen = whys_not(computed, placed)
    shown = {offer["treatment"] for placement in placed for offer in placement["offers"]}
    requested = {name for name, asked in zip(computed.view.ids, computed.screened.requested, strict=True) if asked}
    assert not_chosen.keys() == requested - shown
    for texts in not_chosen.values():
        for text in texts.values():
            assert re.fullmatch(r"[A-Z].*\.", text), text
            assert not re.search(r"[_={}]", text), text
            assert not U.search(text), text
    instead: Counterfactual | None = None
    for audience in AUDIENCES:
        story = narrative(computed, of.decision.answer, instead, audience)
        assert not U.search(story["nl"]), story["nl"]
        why = re.findall(r"(?:Because|Although|Omdat|Hoewel) .*?\.(?= |$)", f"{story['nl']} {story['en']}")
        assert all(len(sentence.split()) <= 15 for sentence in why), why
        if audience == "agent":
            assert all(re.search(r"\((strongly|clearly|slightly|sterk|duidelijk|licht)\)", s) for s in why), why


def check_many(count: int, of: Release) -> Counter[str]:
    seen: Counter[str] = Counter()
    for n in range(count):
        seen += check(told(n, of))
    return seen


@pytest.mark.promise("reasons.true")
def test_reasons_are_true_directed_short_and_fit_for_their_readers(record_property: Any) -> None:
    seen = check_many(WITNESS, release())
    record_property("reasons", dict(seen))
    assert min(seen["propensity for"], seen["propensity against"], seen["context for"]) >= 3, seen
    for n in range(0, WITNESS, 10):
        check_story(told(n))


@pytest.mark.promise("reasons.true")
@pytest.mark.long
@pytest.mark.parametrize("of", [release, drafted])
def test_ten_thousand_explanations_are_true_directed_and_short(of: Any, record_property: Any) -> None:
    seen = check_many(MANY, of())
    record_property("reasons", dict(seen))
    assert min(seen["propensity for"], seen["propensity against"]) > MANY // 20, seen
    for n in range(0, MANY, 10):
        check_story(told(n, of()))


@pytest.mark.promise("reasons.true")
def test_clauses_made_of_names_that_nobody_wrote_them_for_hold_the_same_properties() -> None:
    seen = check_many(WITNESS // 4, drafted())
    assert seen["propensity for"] > 5, seen
    assert {reason.get("use") for n in range(20) for _, reason in reasons(told(n, drafted()), "agent")} <= {
        None,
        "shown",
    }


@pytest.mark.promise("reasons.true")
def test_decisions_with_directed_reasons_are_recorded_and_made_again_byte_for_byte() -> None:
    for n in range(40):
        of = told(n)
        raw = of.decision.to_bytes()
        record = unpack(raw, release())
        assert record["answer"] == of.decision.answer
        assert replay(record, of.known, release()).to_bytes() == raw
