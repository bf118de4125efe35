"""The data of an incoming `message` or `call` -> the fields of its event; the text goes no further unless kept."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from decisioning.errors import RequestError
from decisioning.facts.schema import Tag, Value
from decisioning.facts.signals import SignalField, SignalType
from features.messages.conversation import trend
from features.messages.language import LANGUAGES, Language
from features.messages.scoring import MessageScore, Trained, level, score
from features.messages.text import stored
from features.signals.event import validate

_FELT: tuple[Tag, ...] = ("emotion",)


def _felt(
    name: str, dtype: Literal["int", "float", "bool"], low: float | None, high: float | None, about: str
) -> SignalField:
    return SignalField(name=name, dtype=dtype, min=low, max=high, tags=_FELT, description=about)


FIELDS: tuple[SignalField, ...] = (
    SignalField(name="author", dtype="enum", values=("customer", "agent"), required=True, description="who wrote it"),
    SignalField(name="conversation_id", dtype="string", description="the conversation it belongs to"),
    SignalField(name="channel_kind", dtype="string", description="chat, email, voice, or another kind of channel"),
    SignalField(
        name="language", dtype="enum", values=LANGUAGES, description="Dutch or English, where it could be told"
    ),
    SignalField(
        name="scorer", dtype="string", description="what scored it: `lexicon`, a model, or `upstream:` and a name"
    ),
    _felt("sentiment", "float", -1, 1, "polarity, from very negative to very positive"),
    _felt("level", "int", -2, 2, "sentiment in five levels"),
    _felt("confidence", "float", 0, 1, "of the sentiment"),
    _felt("negative", "float", 0, 1, "how negative it is"),
    _felt("wants_person", "bool", None, None, "asks for a person"),
    _felt("complaint", "bool", None, None, "words of complaint"),
    _felt("repetition", "bool", None, None, "says that it happens again: for the third time"),
    _felt("shouting", "bool", None, None, "written in capitals"),
    _felt("capitals", "float", 0, 1, "share of capitals among its letters"),
    _felt("punctuation", "int", 0, None, "runs of two or more ! and ?"),
    _felt("turn", "int", 1, None, "which of the customer's messages in the conversation it is"),
    _felt("change", "float", -2, 2, "its sentiment less that of the conversation's first message"),
    _felt("slope", "float", -2, 2, "of the sentiment over the conversation, per message"),
    _felt("lowest", "float", -1, 1, "the worst sentiment of the conversation so far"),
    SignalField(
        name="text", dtype="string", tags=_FELT, description="kept where retention is configured and consented"
    ),
)
"""What an event of type `message` or `call` may carry, to be declared as that type's fields."""


_MESSAGE = SignalType(
    id="message",
    retention_days=1,
    fields=(
        SignalField(name="author", dtype="enum", values=("customer", "agent")),
        SignalField(name="conversation_id", dtype="string"),
        SignalField(name="channel_kind", dtype="string"),
        SignalField(name="language", dtype="enum", values=LANGUAGES),
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
_WRITTEN = {
    "conversation_id": (re.compile(r"[\x21-\x7e]{1,128}"), "must be 1 to 128 printable ASCII characters"),
    "channel_kind": (re.compile(r"[a-z][a-z0-9_-]{0,31}"), "must be a short name such as chat, email or voice"),
    "model": (
        re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:/-]{0,63}"),
        "must be a name of at most 64 letters, digits and .-_@:/",
    ),
}
_NAME = re.compile(r"[a-z][a-z_]{0,31}")
_UNSAID = 0.5
"""The confidence of an upstream score that states none."""


@dataclass(frozen=True, slots=True)
class _Said:
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
    trained: Trained | None = None,
    models: Mapping[Language, str] | None = None,
) -> dict[str, Value]:
    """The fields of an event (`FIELDS`) from the data of its CloudEvent; what is not known is left out.

    Of an agent's message nothing is scored: no score is ever about a worker. An upstream score goes before our own.

    :param keep_text: retention is configured and the customer consents; else the text is gone once scored
    :param voice_allowed: the customer consented explicitly to scores of their voice or face
    :param earlier: `sentiment` of the customer's earlier messages of this conversation, oldest first
    :param trained: models that score in place of a lexicon, and `models` their names, by language
    :raises RequestError: names the field (`data.score.basis`), repeats no value
    """
    message, upstream = _parsed(data)
    text, author = message.pop("text", None), message.get("author", "customer")
    about: dict[str, Value | None] = {**message, "author": author, "text": text if keep_text else None}
    _check_score(upstream, author, voice_allowed=voice_allowed)
    if author == "customer":
        language = cast(Language | None, message.get("language"))
        scored = None if text is None else score(str(text), language, trained=trained)
        said = _said(upstream, scored, models or {})
        about |= _of_text(scored) | _of_sentiment(said) | _of_conversation([*earlier, said.sentiment])
    return {name: value for name, value in about.items() if value is not None}


def _of_text(scored: MessageScore | None) -> dict[str, Value | None]:
    if scored is None:
        return {}
    cues = scored.cues
    return {
        "language": scored.language,
        "wants_person": cues.wants_person,
        "complaint": cues.complaint,
        "repetition": cues.repetition,
        "shouting": cues.shouting,
        "capitals": cues.capitals,
        "punctuation": cues.punctuation,
    }


def _of_sentiment(said: _Said) -> dict[str, Value | None]:
    return {
        "scorer": said.scorer,
        "sentiment": said.sentiment,
        "level": level(said.sentiment),
        "confidence": said.confidence,
        "negative": said.negative,
    }


def _of_conversation(sentiments: Sequence[float]) -> dict[str, Value | None]:
    found = trend(sentiments)
    return {"turn": found.messages, "change": found.change, "slope": found.slope, "lowest": found.lowest}


def _said(upstream: Mapping[str, Value] | None, scored: MessageScore | None, models: Mapping[Language, str]) -> _Said:
    if upstream is not None:
        polarity, confidence = float(upstream["sentiment"]), float(upstream.get("confidence", _UNSAID))
        return _Said(polarity, max(0.0, -polarity), confidence, f"upstream:{upstream['model']}")
    if scored is None:
        raise RequestError("data.text", "is missing: send the text, or a score of it")
    name = models.get(scored.language, "lexicon") if scored.language else "lexicon"
    return _Said(scored.polarity, scored.negative, scored.confidence, name)


def _check_score(upstream: Mapping[str, Value] | None, author: Value, *, voice_allowed: bool) -> None:
    """Raises RequestError for a score that may not be used."""
    if upstream is None:
        return
    if author == "agent":
        raise RequestError("data.score", "is about a worker: what workers feel is not scored, whoever consents")
    if upstream["basis"] != "text" and not voice_allowed:
        raise RequestError("data.score.basis", "a score of a voice or a face needs the customer's explicit consent")


def _parsed(data: object) -> tuple[dict[str, Value], dict[str, Value] | None]:
    """What was sent of the message, and of an upstream score if there is one; both checked."""
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
    for name, (pattern, expected) in _WRITTEN.items():
        value = fields.get(name)
        if isinstance(value, str) and not pattern.fullmatch(value):
            raise RequestError(f"{where}.{name}", expected)
    return fields
