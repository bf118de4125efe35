"""What is heard in messages: by kind and language, on phrasings written before there was a model."""

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from features.messages.event import message_fields
from features.messages.hearing.channels import channel_of
from features.messages.hearing.grams import GROUPS, features, features_together
from features.messages.hearing.model import KINDS, HearingModel, built_in
from features.messages.scoring import MessageModels, score
from features.messages.text import clean
from tests.features.messages.hearing import DEVELOPMENT, TAUGHT, UNSEEN, long_texts, phrasings
from tests.features.messages.hearing.judging import LANGUAGES, Judged, judgement, shares, table
from training.learning.messages.hearing import fitted
from training.rows.hearing_corpus import FOLDER, generate

CARE = ("bereavement", "money", "danger", "violence")


def plain(text: str) -> str:
    return re.sub(r"[^\w]+", " ", text.lower()).strip()


@pytest.fixture(scope="module")
def judged() -> list[Judged]:
    """Return the phrasings that are taught, with what is heard in each."""
    return judgement(phrasings())


@pytest.fixture(scope="module")
def judged_untaught() -> list[Judged]:
    """Return the phrasings that are not taught but were looked at, with what is heard in each."""
    return judgement(phrasings(DEVELOPMENT))


@pytest.fixture(scope="module")
def judged_unseen() -> list[Judged]:
    """Return the phrasings that were written apart from the model and are not taught, with what is heard in each."""
    files = [file.read_text(encoding="utf-8") for file in FOLDER.rglob("*.txt")]
    taught = {plain(line) for text in files for line in text.splitlines()}
    return judgement([said for said in phrasings(UNSEEN) if plain(said.text) not in taught])


@pytest.mark.promise("messages.heard")
@pytest.mark.parametrize("kind", KINDS)
def test_phrasings_that_were_written_apart_from_the_model_are_heard(judged_unseen, kind) -> None:
    for language in {one.phrasing.language for one in judged_unseen}:
        heard, false_alarms = shares(judged_unseen, kind, language)
        assert heard >= 0.9, table(judged_unseen)
        assert false_alarms <= 0.02, table(judged_unseen)


def test_the_phrasings_are_as_many_as_they_have_to_be() -> None:
    counts = Counter(p.kind for p in phrasings())
    assert counts["wish"] >= 300
    assert counts["objection"] >= 150
    assert all(counts[kind] >= 100 for kind in ("request", "complaint", *CARE))
    assert counts["ordinary"] >= 1_490
    assert {p.set for p in phrasings()} == set(TAUGHT)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("kind", "least", "most"), [("wish", 0.95, 0.013), ("objection", 0.92, 0.008), ("danger", 0.97, 0.005)]
)
def test_what_must_be_heard_is_heard(judged, kind, language, least, most) -> None:
    heard, false_alarms = shares(judged, kind, language)
    assert heard >= least
    assert false_alarms <= most


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("wish", "objection", "danger")])
def test_other_kinds_are_heard(judged, kind, language) -> None:
    heard, false_alarms = shares(judged, kind, language)
    assert heard >= 0.85
    assert false_alarms <= 0.005


@pytest.mark.promise("messages.heard")
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("kind", "least", "most"),
    [
        ("wish", 0.97, 0.005),
        ("objection", 0.97, 0.015),
        ("access", 0.97, 0.015),
        ("erasure", 0.97, 0.01),
        ("complaint", 0.97, 0.02),
        ("bereavement", 0.97, 0.02),
        ("money", 0.97, 0.01),
        ("danger", 0.97, 0.005),
        ("violence", 0.97, 0.015),
    ],
)
def test_phrasings_that_are_not_taught_are_heard(judged_untaught, kind, language, least, most) -> None:
    heard, false_alarms = shares(judged_untaught, kind, language)
    assert heard >= least, table(judged_untaught)
    assert false_alarms <= most, table(judged_untaught)


@pytest.mark.parametrize(
    "text",
    [
        "Graag persoonlijk contact",
        "ik heb geen zin meer in deze bot",
        "speak to a manger now",
        "It might be easier if I explained this over the phone",
    ],
)
def test_what_the_patterns_missed_is_heard(text) -> None:
    assert "wish" in score(text).heard


def test_an_objection_is_no_wish_for_a_person() -> None:
    heard = score("Bel me alstublieft niet meer").heard
    assert "objection" in heard
    assert "wish" not in heard


@pytest.mark.promise("messages.objections")
def test_what_may_be_an_objection_is_told_apart() -> None:
    unsure = replace(built_in(), thresholds=np.ones(len(KINDS)))
    said = {"text": "I really don't want any more advertising from you"}
    fields = message_fields(said, keep_text=False, models=MessageModels(hearing=unsure))
    assert ("objection" in fields, fields["perhaps_objection"]) == (False, True)
    fields = message_fields(said, keep_text=False)
    assert (fields["objection"], fields["perhaps_objection"]) == ("all", False)


@pytest.mark.parametrize(
    "text", ["I need help", "help me please", "ik heb hulp nodig", "help", "can you help me with my router"]
)
def test_who_asks_for_help_is_in_no_danger(text) -> None:
    assert not score(text).heard


@pytest.mark.parametrize(
    "text",
    ["mijn internet doet het niet", "my internet isn't working", "er is weer storing", "The parcel has not come yet"],
)
def test_a_report_of_a_fault_is_no_complaint(text) -> None:
    assert not score(text).heard


def test_features_of_texts_together_are_those_of_each() -> None:
    texts = [clean(p.text) for p in phrasings(DEVELOPMENT)[::40]] + ["", "?!", "... ."]
    together, text_of = features_together(texts)
    for at, text in enumerate(texts):
        alone, pieces = features(text), np.flatnonzero(text_of == at)
        chosen = np.isin(together.slots // GROUPS, pieces)
        slots = together.slots[chosen] - GROUPS * (pieces[0] if len(pieces) else 0)
        assert len(pieces) == alone.pieces
        assert sorted(zip(together.buckets[chosen], slots, strict=True)) == sorted(
            zip(alone.buckets, alone.slots, strict=True)
        )


@pytest.mark.parametrize(
    ("text", "channel"),
    [
        ("Bel me alstublieft niet meer", "phone"),
        ("stop emailing me", "email"),
        ("Geen sms'jes meer sturen graag", "sms"),
        ("no more junk mail through my letterbox, leaflets", "all"),
        ("Stop sending me leaflets in the post", "post"),
        ("Ik wil helemaal geen reclame meer", "all"),
        ("I don't want push messages about deals", "app"),
    ],
)
def test_the_channel_of_an_objection(text, channel) -> None:
    assert channel_of(clean(text)) == channel


@pytest.mark.parametrize(
    "text",
    [
        "Ich möchte bitte mit einem Menschen sprechen, das ist mir wichtig",
        "Je voudrais parler à une personne s'il vous plaît, pas à un robot",
        "Quiero hablar con una persona por favor, no con un robot",
        "Vorrei parlare con una persona, non con un robot, grazie",
        "أريد التحدث إلى شخص",
        "Хочу поговорить с человеком",
    ],
)
def test_nothing_is_heard_in_another_language(text) -> None:
    assert not score(text).heard


def test_a_wish_within_a_long_message_is_heard() -> None:
    long = long_texts("nl")[0]
    assert "wish" not in score(long).heard
    assert "wish" in score(f"{long} Ik wil graag iemand van u aan de telefoon. {long}").heard


def test_a_saved_model_hears_the_same() -> None:
    model = built_in()
    again = HearingModel.from_files(model.files())
    texts = [clean(p.text) for p in phrasings()[:50]]
    assert model.is_of_these_words, "train it again: python -m training.learning.messages.hearing"
    assert [again.probabilities(text) for text in texts] == [model.probabilities(text) for text in texts]
    assert sum(map(len, model.files().values())) < 1_000_000


@pytest.mark.long
def test_the_model_that_comes_with_the_product_is_what_training_makes() -> None:
    again, model = fitted(generate()), built_in()
    texts = [clean(p.text) for p in phrasings()]
    assert np.mean([again.heard(text).keys() == model.heard(text).keys() for text in texts]) > 0.99


@pytest.mark.long
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", ["wish", "objection", "danger"])
def test_phrasings_that_training_does_not_make_word_for_word_are_heard(judged_untaught, kind, language) -> None:
    learned = {plain(example.text) for example in generate()}
    apart = [
        one for one in judged_untaught if plain(one.phrasing.text) not in learned or one.phrasing.kind == "ordinary"
    ]
    assert shares(apart, kind, language)[0] >= 0.9


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.long)])
def test_public_messages_are_ordinary(airline, restaurants, every) -> None:
    """Restaurants' guests ask for nobody. Travellers do, so theirs are disagreements to look at, not errors."""
    for texts, most in (
        (restaurants["nl"]["text"], 0.03),
        (restaurants["en"]["text"], 0.03),
        (pd.read_parquet(airline)["text"], 0.12),
    ):
        heard = [built_in().heard(clean(str(text))) for text in texts[:: 6 * every if most > 0.1 else every]]
        assert np.mean(["wish" in one for one in heard]) <= most
        assert np.mean(["objection" in one or "danger" in one for one in heard]) <= most


@pytest.mark.promise("messages.own-hearing")
def test_own_messages_teach_more_to_hear() -> None:
    own = {f"{text} {at}": "wish" for text in ("zorp me the quavely", "quavely zorp now") for at in "abcdefghij"}
    model = fitted(generate(per_family=1)[::4], own)
    assert "wish" in model.heard("get me the quavely zorp")
    assert "wish" not in built_in().heard("get me the quavely zorp")
