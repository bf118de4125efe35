"""Computes the fields of the event of an incoming `message` or `call`; the text is dropped unless it may be kept."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from decisioning.errors import RequestError
from decisioning.facts.schema import Tag, Value
from decisioning.facts.signals import SignalField, SignalType
from features.messages.conversation import trend
from features.messages.hearing.channels import CHANNELS, channel_of
from features.messages.language import LANGUAGES, Language
from features.messages.scoring import MessageModels, MessageScore, level, score
from features.messages.text import clean, stored
from features.signals.event import validate

_EMOTION: tuple[Tag, ...] = ("emotion",)
_REQUEST: tuple[Tag, ...] = ("request",)


_REQUESTS = {
    "wants_person": "asks for a person",
    "complaint": "words of complaint",
    "repetition": "says that it happens again: for the third time",
    "needs_care": "says that somebody is in danger, has died, meets violence at home or cannot pay; not which of these",
    "urgent": "says that somebody cannot wait for help: in danger, or met by violence at home; not which of these",
    "perhaps_objection": "may want no more sales",
}
_URGENT = frozenset({"danger", "violence"})
_CARE = _URGENT | {"bereavement", "money"}
_DATA_REQUESTS = ("access", "erasure")
AUTHORS = ("customer", "agent", "bot")
"""Whose words a message may have. Only the customer's are heard and scored."""
OTHER = "other"
"""The language of a text that is neither Dutch nor English for certain, where its sender does not state it."""


def _emotion(
    name: str, dtype: Literal["int", "float", "bool"], low: float | None, high: float | None, description: str
) -> SignalField:
    """Return a field that is tagged `emotion`."""
    return SignalField(name=name, dtype=dtype, min=low, max=high, tags=_EMOTION, description=description)


FIELDS: tuple[SignalField, ...] = (
    SignalField(name="author", dtype="enum", values=AUTHORS, required=True, description="who wrote or said it"),
    SignalField(name="conversation_id", dtype="string", description="the conversation it belongs to"),
    SignalField(name="channel_kind", dtype="string", description="chat, email, voice, or another kind of channel"),
    SignalField(
        name="language", dtype="string", description="`nl`, `en`, the one that its sender states, or `other`, if known"
    ),
    SignalField(name="translated", dtype="bool", description="its text is a translation from this language"),
    SignalField(
        name="scorer", dtype="string", description="what scored it: `lexicon`, a model, or `upstream:` and a name"
    ),
    _emotion("sentiment", "float", -1, 1, "polarity, from very negative to very positive"),
    _emotion("level", "int", -2, 2, "sentiment in five levels"),
    _emotion("confidence", "float", 0, 1, "of the sentiment"),
    _emotion("negative", "float", 0, 1, "how negative it is"),
    *(SignalField(name=n, dtype="bool", tags=_REQUEST, description=text) for n, text in _REQUESTS.items()),
    SignalField(
        name="objection", dtype="enum", values=CHANNELS, tags=_REQUEST, description="wants no more sales there"
    ),
    SignalField(
        name="data_request", dtype="enum", values=_DATA_REQUESTS, tags=_REQUEST, description="asks for their data"
    ),
    SignalField(
        name="intent", dtype="string", tags=_REQUEST, description="which intent of the catalogue it has, or `unknown`"
    ),
    SignalField(
        name="intent_confidence", dtype="float", min=0, max=1, tags=_REQUEST, description="how sure the intent is"
    ),
    _emotion("shouting", "bool", None, None, "written in capitals"),
    _emotion("capitals", "float", 0, 1, "share of capitals among its letters"),
    _emotion("punctuation", "int", 0, None, "runs of two or more ! and ?"),
    _emotion("turn", "int", 1, None, "which of the customer's messages in the conversation it is"),
    _emotion("change", "float", -2, 2, "its sentiment less that of the conversation's first message"),
    _emotion("slope", "float", -2, 2, "of the sentiment over the conversation, per message"),
    _emotion("lowest", "float", -1, 1, "the worst sentiment of the conversation so far"),
    SignalField(
        name="text", dtype="string", tags=_EMOTION, description="kept where retention is configured and consented"
    ),
)
"""The fields that an event of type `message` or `call` may have, to be declared as the fields of that type."""

_MESSAGE = SignalType(
    id="message",
    retention_days=1,
    fields=(
        SignalField(name="author", dtype="enum", values=AUTHORS),
        SignalField(name="conversation_id", dtype="string"),
        SignalField(name="channel_kind", dtype="string"),
        SignalField(name="language", dtype="string"),
        SignalField(name="translated", dtype="bool"),
        SignalField(name="text", dtype="string"),
    ),
)
_UPSTREAM = SignalType(
    id="score",
    retention_days=1,
    fields=(
        SignalField(name="sentiment", dtype="float", required=True, min=-1, max=1),
        SignalField(name="confidence", dtype="float", min=0, max=1),
        SignalField(name="model", dtype="string", required=True),
        SignalField(name="basis", dtype="enum", required=True, values=("text", "voice", "face")),
    ),
)
_PATTERNS = {
    "conversation_id": (re.compile(r"[\x21-\x7e]{1,128}"), "must be 1 to 128 printable ASCII characters"),
    "language": (re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8}){0,3}"), "must be a language such as nl, en-GB or fr"),
    "channel_kind": (re.compile(r"[a-z][a-z0-9_-]{0,31}"), "must be a short name such as chat, email or voice"),
    "model": (
        re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:/-]{0,63}"),
        "must be a name of at most 64 letters, digits and .-_@:/",
    ),
}
_BUILT_IN = MessageModels()
_DEFAULT_CONFIDENCE = 0.5
"""The confidence of an upstream score that states none."""


@dataclass(frozen=True, slots=True)
class _Sentiment:
    """A sentiment (-1 to 1) with its scorer: a model's name, `lexicon`, or `upstream:` and a name."""

    sentiment: float
    negative: float
    confidence: float
    scorer: str


def message_fields(
    data: object,
    *,
    keep_text: bool,
    voice_allowed: bool = False,
    earlier: Sequence[float] = (),
    models: MessageModels = _BUILT_IN,
) -> dict[str, Value]:
    """Return the fields of an event (`FIELDS`) from the data of its CloudEvent, without unknown ones.

    Only the customer's words are heard and scored: no score is ever about a worker. Of a live transcript, `language` is
    the one that was spoken, and a text that is `translated` is heard as what it was translated to. What is neither
    Dutch nor English is not heard. An upstream score takes precedence over our own.

    :param keep_text: retention is configured and the customer consents; else the text is dropped after scoring
    :param voice_allowed: the customer consented explicitly to scores of their voice or face
    :param earlier: `sentiment` of the customer's earlier messages in this conversation, oldest first
    :param models: what scores it, by default what comes with the product
    :raises RequestError: names the field (`data.score.basis`), never its value
    """
    message, upstream = _parsed(data)
    text, author = message.pop("text", None), message.get("author", "customer")
    fields: dict[str, Value | None] = {**message, "author": author, "text": text if keep_text else None}
    _check_score(upstream, author, voice_allowed=voice_allowed)
    if author == "customer":
        scored = None if text is None else _scored(str(text), message, models)
        result = _sentiment(upstream, scored, models.names)
        fields |= (
            _text_fields(str(text), message.get("language"), scored)
            | _sentiment_fields(result)
            | _conversation_fields([*earlier, result.sentiment])
        )
    return {name: value for name, value in fields.items() if value is not None}


def _scored(text: str, message: Mapping[str, Value], models: MessageModels) -> MessageScore:
    stated = None if message.get("translated") else message.get("language")
    language = stated if stated in LANGUAGES else None
    return score(text, language, foreign=stated is not None and language is None, models=models)


def _text_fields(text: str, stated: Value | None, scored: MessageScore | None) -> dict[str, Value | None]:
    if scored is None:
        return {}
    cues, heard = scored.cues, scored.heard
    asked = [kind for kind in _DATA_REQUESTS if kind in heard]
    return {
        "language": stated or scored.language or (OTHER if scored.foreign else None),
        "wants_person": "wish" in heard,
        "complaint": cues.complaint or "complaint" in heard,
        "repetition": cues.repetition,
        "needs_care": not _CARE.isdisjoint(heard),
        "urgent": not _URGENT.isdisjoint(heard),
        "perhaps_objection": "objection" in scored.perhaps,
        "objection": channel_of(clean(text)) if "objection" in heard else None,
        "data_request": max(asked, key=heard.__getitem__) if asked else None,
        **(scored.intent.fields() if scored.intent else {}),
        "shouting": cues.shouting,
        "capitals": cues.capitals,
        "punctuation": cues.punctuation,
    }


def _sentiment_fields(sentiment: _Sentiment) -> dict[str, Value | None]:
    return {
        "scorer": sentiment.scorer,
        "sentiment": sentiment.sentiment,
        "level": level(sentiment.sentiment),
        "confidence": sentiment.confidence,
        "negative": sentiment.negative,
    }


def _conversation_fields(sentiments: Sequence[float]) -> dict[str, Value | None]:
    figures = trend(sentiments)
    return {"turn": figures.messages, "change": figures.change, "slope": figures.slope, "lowest": figures.lowest}


def _sentiment(
    upstream: Mapping[str, Value] | None, scored: MessageScore | None, models: Mapping[Language, str]
) -> _Sentiment:
    """Return the upstream sentiment, else our own. Raises RequestError if there is neither."""
    if upstream is not None:
        polarity, confidence = float(upstream["sentiment"]), float(upstream.get("confidence", _DEFAULT_CONFIDENCE))
        return _Sentiment(polarity, max(0.0, -polarity), confidence, f"upstream:{upstream['model']}")
    if scored is None:
        raise RequestError("data.text", "is missing: send the text, or a score of it")
    name = models.get(scored.language, "lexicon") if scored.language else "lexicon"
    return _Sentiment(scored.polarity, scored.negative, scored.confidence, name)


def _check_score(upstream: Mapping[str, Value] | None, author: Value, *, voice_allowed: bool) -> None:
    """Raise RequestError for an upstream score that may not be used."""
    if upstream is None:
        return
    if author == "agent":
        raise RequestError("data.score", "is about a worker: what workers feel is not scored, whoever consents")
    if upstream["basis"] != "text" and not voice_allowed:
        raise RequestError("data.score.basis", "a score of a voice or a face needs the customer's explicit consent")


def _parsed(data: object) -> tuple[dict[str, Value], dict[str, Value] | None]:
    """Return the checked fields of the message, and of the upstream score if there is one."""
    if not isinstance(data, Mapping):
        raise RequestError("data", "must be an object")
    plain = {name: value for name, value in data.items() if name != "score"}
    if isinstance(text := plain.get("text"), str):
        plain["text"] = stored(text)
    message = _checked(_MESSAGE, plain, "data")
    upstream = data.get("score")
    return message, None if upstream is None else _checked(_UPSTREAM, upstream, "data.score")


def _checked(type_: SignalType, data: object, where: str) -> dict[str, Value]:
    try:
        fields = validate(type_, data)
    except RequestError as error:
        name, message = error.field.removeprefix("data"), str(error).partition(": ")[2]
        raise RequestError(where + name, message) from None
    for name, (pattern, expected) in _PATTERNS.items():
        value = fields.get(name)
        if isinstance(value, str) and not pattern.fullmatch(value):
            raise RequestError(f"{where}.{name}", expected)
    if isinstance(language := fields.get("language"), str):
        fields["language"] = language.partition("-")[0].lower()
    return fields
