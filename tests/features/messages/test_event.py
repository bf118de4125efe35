"""The event fields of messages, and the messages that are refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decisioning.errors import RequestError
from decisioning.facts.signals import SignalType
from features.messages.event import FIELDS, message_fields
from features.messages.scoring import score
from features.messages.text import MAX_CHARACTERS
from features.signals.event import validate

ANGRY = {"text": "Dit is belachelijk, ik bel voor de derde keer!!", "conversation_id": "c-9", "channel_kind": "chat"}
UPSTREAM = {"sentiment": -0.8, "confidence": 0.9, "model": "acme-asr@3", "basis": "text"}
TYPE = SignalType(id="message", retention_days=30, fields=FIELDS)
TAGGED_FIELDS = {f.name for f in FIELDS if {"emotion", "request"} & set(f.tags)}


def test_the_fields_of_an_angry_message():
    fields = message_fields(ANGRY, keep_text=False)
    scored = score(ANGRY["text"])
    assert fields == {
        "author": "customer",
        "conversation_id": "c-9",
        "channel_kind": "chat",
        "language": "nl",
        "scorer": "lexicon",
        "sentiment": scored.polarity,
        "level": -2,
        "confidence": scored.confidence,
        "negative": -scored.polarity,
        "wants_person": False,
        "needs_care": False,
        "urgent": False,
        "perhaps_objection": False,
        "complaint": True,
        "repetition": True,
        "shouting": False,
        "capitals": scored.cues.capitals,
        "punctuation": 1,
        "turn": 1,
        "change": 0.0,
        "slope": 0.0,
        "lowest": scored.polarity,
    }


@given(st.text(st.characters(categories=None), max_size=200), st.booleans(), st.lists(st.floats(-1, 1), max_size=4))
def test_whatever_the_text_the_fields_are_valid_and_serialisable(text, keep_text, earlier):
    fields = message_fields({"text": text}, keep_text=keep_text, earlier=earlier)
    assert validate(TYPE, fields) == fields
    json.dumps(fields).encode()
    assert ("text" in fields) is keep_text


@pytest.mark.promise("messages.text-is-gone")
def test_the_text_is_gone_unless_kept():
    secret = "mijn wachtwoord is zomer"
    assert secret not in repr(message_fields({"text": secret}, keep_text=False))
    assert message_fields({"text": secret}, keep_text=True)["text"] == secret
    text = message_fields({"text": "a\0\ud800" * 100_000}, keep_text=True)["text"]
    assert len(text) == MAX_CHARACTERS
    text.encode()


def test_whatever_tells_of_feelings_or_requests_is_tagged():
    plain = {"author", "conversation_id", "channel_kind", "language", "translated", "scorer"}
    assert {f.name for f in FIELDS} - TAGGED_FIELDS == plain


@pytest.mark.promise("messages.transcripts")
def test_of_a_transcript_only_the_customers_words_are_heard_and_no_other_language() -> None:
    wish = {"text": "I want to speak to a person please", "channel_kind": "voice", "conversation_id": "v-1"}
    assert message_fields({**wish, "language": "en-GB"}, keep_text=False)["language"] == "en"
    assert message_fields({**wish, "language": "en"}, keep_text=False)["wants_person"] is True
    assert "wants_person" not in message_fields({**wish, "author": "agent", "language": "en"}, keep_text=False)
    translated = message_fields({**wish, "language": "pl", "translated": True}, keep_text=False)
    assert (translated["language"], translated["translated"], translated["wants_person"]) == ("pl", True, True)
    spoken = message_fields({"text": "Chcę rozmawiać z człowiekiem", "language": "pl"}, keep_text=False)
    assert (spoken["language"], spoken["wants_person"], spoken["sentiment"]) == ("pl", False, 0.0)
    unstated = message_fields({"text": "Je voudrais parler à une personne, s'il vous plaît"}, keep_text=False)
    assert (unstated["language"], unstated["wants_person"]) == ("other", False)


@pytest.mark.promise("messages.workers")
def test_an_agents_message_tells_of_no_feelings():
    fields = message_fields({**ANGRY, "author": "agent"}, keep_text=False)
    assert fields == {"author": "agent", "conversation_id": "c-9", "channel_kind": "chat"}


def test_the_trend_of_the_conversation():
    fields = message_fields(ANGRY, keep_text=False, earlier=[0.6, 0.2])
    assert fields["turn"] == 3
    assert fields["change"] == pytest.approx(fields["sentiment"] - 0.6)
    assert fields["slope"] < 0
    assert fields["lowest"] == fields["sentiment"]


def test_an_upstream_score_goes_before_ours():
    fields = message_fields({"text": "I love it", "score": UPSTREAM}, keep_text=False)
    assert (fields["sentiment"], fields["level"], fields["negative"]) == (-0.8, -2, 0.8)
    assert (fields["confidence"], fields["scorer"], fields["language"]) == (0.9, "upstream:acme-asr@3", "en")
    alone = message_fields({"score": UPSTREAM}, keep_text=True)
    assert alone["sentiment"] == -0.8
    assert "language" not in alone
    assert "text" not in alone


@pytest.mark.promise("messages.voice-and-face")
@pytest.mark.parametrize("basis", ["voice", "face"])
def test_voice_and_face_need_explicit_consent_and_are_never_about_a_worker(basis):
    data = {"score": {**UPSTREAM, "basis": basis}}
    with pytest.raises(RequestError, match="explicit consent") as refused:
        message_fields(data, keep_text=False)
    assert refused.value.field == "data.score.basis"
    assert message_fields(data, keep_text=False, voice_allowed=True)["sentiment"] == -0.8
    with pytest.raises(RequestError, match="about a worker") as refused:
        message_fields({**data, "author": "agent"}, keep_text=False, voice_allowed=True)
    assert refused.value.field == "data.score"


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (None, "data"),
        ([], "data"),
        ({}, "data.text"),
        ({"text": None}, "data.text"),
        ({"text": 3}, "data.text"),
        ({"text": "hi", "conversation_id": ""}, "data.conversation_id"),
        ({"text": "hi", "conversation_id": "é"}, "data.conversation_id"),
        ({"text": "hi", "conversation_id": "c" * 129}, "data.conversation_id"),
        ({"text": "hi", "author": "robot"}, "data.author"),
        ({"text": "hi", "language": "Jan Jansen"}, "data.language"),
        ({"text": "hi", "channel_kind": "Jan Jansen"}, "data.channel_kind"),
        ({"text": "hi", "mood": "bad"}, "data.mood"),
        ({"text": "hi", "Jan Jansen": 1}, "data"),
        ({"text": "hi", "score": 3}, "data.score"),
        ({"text": "hi", "score": {}}, "data.score.sentiment"),
        ({"score": {**UPSTREAM, "sentiment": 1.5}}, "data.score.sentiment"),
        ({"score": {**UPSTREAM, "sentiment": float("nan")}}, "data.score.sentiment"),
        ({"score": {**UPSTREAM, "sentiment": True}}, "data.score.sentiment"),
        ({"score": {**UPSTREAM, "confidence": -0.1}}, "data.score.confidence"),
        ({"score": {**UPSTREAM, "basis": "gait"}}, "data.score.basis"),
        ({"score": {**UPSTREAM, "model": "Jan Jansen"}}, "data.score.model"),
        ({"score": {**UPSTREAM, "worker": "w-1"}}, "data.score.worker"),
    ],
)
def test_what_is_wrong_is_named_and_not_repeated(data, field):
    with pytest.raises(RequestError) as refused:
        message_fields(data, keep_text=False)
    assert refused.value.field == field
    assert "Jansen" not in str(refused.value)
