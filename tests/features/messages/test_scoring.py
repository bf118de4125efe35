"""Language, sentiment and cues of single messages."""

import math
import time
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from features.messages.dutch import judge
from features.messages.scoring import score
from features.messages.text import MAX_CHARACTERS, clean

ANY_TEXT = st.text(st.characters(categories=None), max_size=300) | st.text("!?:)(*.'a🙂\ufe0f\u200d", max_size=200)
LONG = (
    "goed slecht niet maar not good bad ",
    "A",
    "😀",
    "😀😃",
    "!",
    "don't ",
    "de derde ",
    "ik wil een ",
    "a.b,",
    "' - ",
)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Waar blijft mijn bestelling?", "nl"),
        ("Where is my order?", "en"),
        ("Waardeloos!", "nl"),
        ("Terrible!", "en"),
        ("Ik vind the app echt niet fijn", "nl"),
        ("Ich bin mit dem Service nicht zufrieden", None),
        ("Je ne suis pas du tout content de votre service", None),
        ("No estoy contento con el servicio, es muy malo", None),
        ("الخدمة سيئة للغاية", None),
        ("1234 :-)", None),
        ("", None),
    ],
)
def test_language(text, language):
    assert score(text).language == language


@pytest.mark.parametrize(
    ("text", "lowest", "highest"),
    [
        ("I love it, thank you so much! Great help", 2, 2),
        ("This is the worst service ever, I am furious", -2, -2),
        ("The food is not good", -1, -1),
        ("My invoice number is 12345", 0, 0),
        ("Fantastisch geholpen, super vriendelijk!", 2, 2),
        ("Dit is echt waardeloos en belachelijk", -2, -2),
        ("De maaltijd was niet lekker", -1, -1),
        ("Mijn factuurnummer is 12345", 0, 0),
        ("😡😡", -2, -1),
        ("الخدمة 😍", 1, 2),
    ],
)
def test_five_levels(text, lowest, highest):
    assert lowest <= score(text).level <= highest


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ("het eten was niet goed", "het eten was goed"),
        ("het is niet goed", "het is niet heel goed"),
        ("geen goede service", "goede service"),
        ("leuk vind ik het niet", "leuk vind ik het"),
        ("het eten was slecht", "het eten was niet slecht"),
        ("het is lekker", "het is verschrikkelijk lekker"),
        ("het is lekker", "het is heel lekker"),
        ("het is heel slecht", "het is slecht"),
        ("het is slecht!", "het is slecht"),
        ("het is SLECHT", "het is slecht"),
        ("lekker maar duur en vies", "duur en vies maar lekker"),
        ("niet lekker", "niet alleen lekker"),
        ("een trage boze man", "een man"),
        ("de slechtste maaltijd", "de maaltijd"),
        ("prima :-(", "prima :-)"),
        ("nooit blij", "blij. nooit gedacht"),
    ],
)
def test_dutch_says_more_than_its_words(less, more):
    assert judge(less).polarity < judge(more).polarity


def test_a_negation_stays_in_its_clause():
    assert judge("ik weet het niet, het was lekker").polarity == judge("het was lekker").polarity > 0
    assert judge("dat kan ik nu echt nog lang niet zeggen lekker").polarity < 0
    assert judge("niet gisteren of vandaag of morgen lekker").polarity > 0, "the negation does not reach so far"


@pytest.mark.parametrize(
    "text",
    [
        "This is the third time I call you",
        "I've already called three times",
        "I am still waiting",
        "over and over the same answer",
        "Ik bel nu voor de derde keer",
        "voor de 3e keer deze week",
        "het werkt nog steeds niet",
        "ik heb al vijf keer gemaild",
        "alweer geen internet",
    ],
)
def test_repetition(text):
    assert score(text).cues.repetition


@pytest.mark.parametrize("text", ["for the first time", "de eerste keer", "the third floor", "nog steeds blij"])
def test_no_repetition(text):
    assert not score(text).cues.repetition


@pytest.mark.parametrize(
    "text",
    [
        "I want to speak to a human",
        "can I talk with someone from your team please",
        "Let me talk to your manager!",
        "real person please",
        "not a bot",
        "please call me back",
        "why can't I speak to a person",
        "ik wil een medewerker spreken",
        "Kan ik met iemand van de klantenservice praten?",
        "mag ik een echt mens aan de lijn",
        "bel me terug",
        "kunt u mij morgen terugbellen",
        "geen chatbot meer alstublieft",
        "I don't want this bot, I want to talk to a human",
    ],
)
def test_wants_a_person(text):
    assert "wish" in score(text).heard


@pytest.mark.parametrize(
    "text",
    [
        "I don't want to talk to a person",
        "no need to call me",
        "please do not call me",
        "I spoke with an agent yesterday",
        "ik wil geen medewerker spreken",
        "je hoeft me niet te bellen",
        "bel me niet meer",
        "ik heb gisteren een medewerker gesproken",
        "er is iemand aan de deur",
    ],
)
def test_wants_no_person(text):
    assert "wish" not in score(text).heard


@pytest.mark.parametrize(
    ("text", "complains"),
    [
        ("I want to file a complaint", True),
        ("this is ridiculous", True),
        ("my internet is not working", True),
        ("ik heb een klacht", True),
        ("de router doet het weer niet", True),
        ("Onacceptabel, ik ben het zat", True),
        ("no complaints, all fine", False),
        ("ik heb geen klachten", False),
        ("which plan do you advise", False),
        ("wat kost een abonnement", False),
    ],
)
def test_complaint(text, complains):
    assert score(text).cues.complaint is complains


def test_capitals_and_punctuation():
    loud = score("WAAR BLIJFT MIJN PAKKET?!?! Antwoord!!").cues
    assert loud.shouting
    assert loud.punctuation == 2
    assert 0.6 < loud.capitals < 1
    quiet = score("Mijn KPN DSL doet het. Echt? Ja!").cues
    assert not quiet.shouting
    assert quiet.punctuation == 0
    assert score("OK").cues.capitals == 1.0
    assert not score("OK").cues.shouting
    assert score("这是🙂 1234").cues.capitals == 0.0


def test_cues_weigh_in():
    assert score("I call you for the third time").polarity < score("I call you now").polarity


@pytest.mark.promise("messages.any-text")
@given(ANY_TEXT)
@example("\ud800\udfff\x00\x1b[31m")
@example("\u202e\u200f\u05e9\u05dc\u05d5\u05dd\u200e")
@example("e\u0301" * 50)
@example("\ufdfa" * 50)
def test_any_text_has_a_score(text):
    for language in (None, "nl", "en"):
        scored = score(text, language)
        assert -1.0 <= scored.polarity <= 1.0
        assert 0.0 <= scored.negative <= 1.0
        assert 0.0 <= scored.confidence <= 1.0
        assert 0.0 <= scored.cues.capitals <= 1.0
        assert scored == score(text, language), "scoring again gives the same"
        assert (scored.level > 0) <= (scored.polarity > 0)
        assert (scored.level < 0) <= (scored.polarity < 0)


@given(st.text("Ik vind dit goed slecht niet! 😡", max_size=120))
def test_controls_directions_and_halves_of_characters_change_nothing(text):
    dirty = "\u202e" + "".join(f"{c}\u200b\x07\ud83d" for c in text) if text.isascii() else text + "\u200f\x00"
    assert score(dirty) == score(text)


@pytest.mark.promise("messages.any-text")
@pytest.mark.parametrize("piece", LONG)
@pytest.mark.parametrize("language", ["nl", "en", None])
def test_work_is_bounded(piece, language):
    """A hundred thousand characters take no longer than the first few thousand."""
    text = (piece * 100_000)[:100_000]
    begun = time.process_time()
    scored = score(text, language)
    assert time.process_time() - begun < 2.0
    assert scored == score(text[:MAX_CHARACTERS], language)


@given(ANY_TEXT)
def test_clean_text_is_plain(text):
    cleaned = clean(text)
    assert len(cleaned) <= MAX_CHARACTERS
    assert clean(cleaned) == cleaned
    cleaned.encode()
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs") for c in cleaned)


def test_a_long_message_is_judged_by_all_its_sentences():
    good, bad = "It is great and I love it. ", "It is terrible and I hate it. "
    assert score(good * 60, "en").level == 2
    assert score(bad * 60, "en").level == -2
    assert math.isclose(score(good * 60 + bad * 60, "en").polarity, 0.0, abs_tol=0.3)
