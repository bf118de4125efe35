"""Intents named by the demo's catalogue, on phrasings written before there was a model."""

import re
import time

import numpy as np
import pytest

from decisioning.catalogue.intents import Intent
from decisioning.facts.signals import UNKNOWN_INTENT
from features.messages.event import message_fields
from features.messages.intents.fitting import _fitted, intent_model
from features.messages.intents.model import IntentModel
from features.messages.scoring import MessageModels, score
from features.messages.text import clean
from tests.benchmarks.intents import SURE, demo_intents, figures
from tests.features.messages.intents import LANGUAGES, phrasings


@pytest.fixture(scope="module")
def intents() -> tuple[Intent, ...]:
    return demo_intents()


@pytest.fixture(scope="module")
def model(intents: tuple[Intent, ...]) -> IntentModel:
    model = intent_model(intents)
    assert model is not None
    return model


def words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.lower()))


def test_the_phrasings_are_as_many_as_they_have_to_be(intents) -> None:
    for language in LANGUAGES:
        spoken = [p for p in phrasings() if p.language == language]
        assert all(sum(p.intent == i.id for p in spoken) >= 30 for i in intents)
        assert sum(p.intent == UNKNOWN_INTENT for p in spoken) >= 100


def test_no_phrasing_is_an_example_in_other_words(intents) -> None:
    examples = {spoken: [(words(e), e) for i in intents for e in i.examples[spoken]] for spoken in LANGUAGES}
    for phrasing in phrasings():
        said = words(phrasing.text)
        alike = [text for of, text in examples[phrasing.language] if len(said & of) >= 0.7 * len(said | of)]
        assert not alike, phrasing.text


@pytest.mark.promise("messages.intents")
@pytest.mark.parametrize("language", LANGUAGES)
def test_intents_are_named_and_what_is_none_is_unknown(model, language) -> None:
    found = figures(lambda text: model.name(clean(text)), [p for p in phrasings() if p.language == language])
    assert found["accuracy"] >= 0.6
    assert found["unknown"] >= 0.85
    assert found["precision"] >= 0.8
    assert found["precision_sure"] >= 0.87
    assert found["ece"] <= 0.12


def test_the_held_out_share_tells_how_phrasings_of_others_do(model) -> None:
    first = [
        model.intents[int(_scores(model, p.text).argmax())] == p.intent
        for p in phrasings()
        if p.intent != UNKNOWN_INTENT
    ]
    assert abs(model.held_out - np.mean(first)) < 0.1


def _scores(model: IntentModel, text: str):
    places, values = model.vocabulary.vector(re.findall(r"[^\W_]+(?:['-][^\W_]+)*", clean(text).lower()))
    return np.array(values) @ model.weights[places]


def test_the_same_examples_make_the_same_model_within_three_seconds(intents, model) -> None:
    start = time.process_time()
    again = _fitted.__wrapped__(tuple((i.id, tuple(i.examples.items())) for i in intents))
    assert time.process_time() - start < 3
    assert np.array_equal(again.weights, model.weights)
    assert (again.slope, again.unknown, again.intents) == (model.slope, model.unknown, model.intents)


def test_an_intent_in_a_long_message_is_named(model) -> None:
    small_talk = " ".join(p.text for p in phrasings() if p.family in ("greeting", "weather", "cooking"))
    assert model.name(clean(small_talk)).intent == UNKNOWN_INTENT
    assert model.name(clean(f"{small_talk} I want to cancel my contract with you.")).intent == "leaving"


@pytest.mark.parametrize("text", ["", "?!", "...", "12345", "\U0001f600"])
def test_what_has_no_words_is_unknown(model, text) -> None:
    assert model.name(clean(text)).intent == UNKNOWN_INTENT


def test_no_intent_is_named_in_another_language_and_none_without_intents(model) -> None:
    german = "Ich möchte meinen Vertrag bitte sofort kündigen, das ist mir wichtig"
    assert score(german, models=MessageModels(intents=model)).intent is None
    assert score("I want to cancel my contract").intent is None
    assert intent_model(()) is None


def test_a_message_records_its_intent(model) -> None:
    fields = message_fields({"text": "Where is my parcel?"}, keep_text=False, models=MessageModels(intents=model))
    assert fields["intent"] == "order-status"
    assert fields["intent_confidence"] >= SURE
    assert "intent" not in message_fields({"text": "Where is my parcel?"}, keep_text=False)
    agent = {"text": "Where is my parcel?", "author": "agent"}
    assert "intent" not in message_fields(agent, keep_text=False, models=MessageModels(intents=model))


def test_a_catalogue_in_one_language_needs_no_other(intents) -> None:
    dutch = [i.model_copy(update={"examples": {"nl": i.examples["nl"]}}) for i in intents[:2]]
    model = intent_model(dutch)
    assert model is not None
    assert model.name("ik kan niet inloggen met mijn wachtwoord").intent == "account-access"
