"""Scores a text: its language, sentiment, cues, intent and what is heard in it.

The same text and models give the same scores.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from features.messages import dutch, english
from features.messages.cues import Cues, find_cues
from features.messages.hearing.model import NOTHING, HearingModel, built_in
from features.messages.intents.model import IntentModel, NamedIntent
from features.messages.judgement import NO_JUDGEMENT, Judgement, from_lexicon
from features.messages.language import Language, detect, detect_other
from features.messages.text import MAX_WORDS, clean
from features.messages.trained import SentimentModel

Level = Literal[-2, -1, 0, 1, 2]
Trained = Mapping[Language, SentimentModel]
"""By language, the models that score it in place of its lexicon."""

_SURE = 0.6
"""How sure it must be that a text is in another language for nothing to be heard in it."""
_NEUTRAL_BELOW = 0.1
_STRONG_FROM = 0.5
_CUE_PENALTY = 0.25
"""Subtracted from a lexicon's polarity for a complaint, and for a repetition: a lexicon has few of their words."""


@dataclass(frozen=True, slots=True)
class MessageScore:
    """The scores of the first `text.MAX_CHARACTERS` characters of a message.

    `language` is None if the text is recognised neither as Dutch nor as English; then only emoji are scored.
    `polarity` is from -1 to 1, `level` from -2 (very negative) to 2, `negative` (how negative it is) and `confidence`
    from 0 to 1. `heard`: what the customer asks for or needs (`hearing.model.KINDS`), with probabilities, and `perhaps`
    what they may. `intent`: None where no model names one. Nothing is heard or named in another language than the two.
    `foreign`: it is in another one for certain.
    """

    language: Language | None
    polarity: float
    level: Level
    negative: float
    confidence: float
    cues: Cues
    heard: Mapping[str, float]
    perhaps: frozenset[str] = frozenset()
    foreign: bool = False
    intent: NamedIntent | None = None


@dataclass(frozen=True, slots=True)
class MessageModels:
    """The models that score messages in place of what comes with the product.

    `names`: language -> name of the model in `trained`. `hearing`: None for the built-in one. `intents`: None if no
    intent is named.
    """

    trained: Trained = field(default_factory=dict)
    names: Mapping[Language, str] = field(default_factory=dict)
    hearing: HearingModel | None = None
    intents: IntentModel | None = None


_BUILT_IN = MessageModels()


def score(
    text: str,
    language: Language | None = None,
    *,
    foreign: bool = False,
    models: MessageModels = _BUILT_IN,
) -> MessageScore:
    """Return the scores of any text. `language` is the one that the sender states; None: it is detected.

    :param foreign: the sender states another language than the two
    :param models: what scores it, by default what comes with the product
    """
    cleaned = clean(text)
    spoken = None if foreign else language or detect(cleaned)
    cues = find_cues(cleaned)
    model = models.trained.get(spoken) if spoken else None
    judged = model.judge(cleaned) if model else by_lexicon(cleaned, spoken, cues)
    foreign = foreign or (spoken is None and detect_other(cleaned) >= _SURE)
    heard = NOTHING if foreign else (models.hearing or built_in()).hear(cleaned)
    return MessageScore(
        language=spoken,
        polarity=judged.polarity,
        level=level(judged.polarity),
        negative=judged.negative,
        confidence=judged.confidence,
        cues=cues,
        heard=heard.surely,
        perhaps=heard.perhaps,
        foreign=foreign,
        intent=models.intents.name(cleaned) if models.intents and not foreign else None,
    )


def by_lexicon(cleaned: str, language: Language | None, cues: Cues) -> Judgement:
    """Return the judgement by the lexicon of the language, less the penalties for cues."""
    if language is None:
        return _signs(cleaned)
    judged = english.judge(cleaned) if language == "en" else dutch.judge(cleaned)
    polarity = max(-1.0, judged.polarity - _CUE_PENALTY * (cues.complaint + cues.repetition))
    return Judgement(polarity, max(0.0, -polarity), judged.confidence)


def level(polarity: float) -> Level:
    """Return the level of a polarity between -1 and 1."""
    if abs(polarity) < _NEUTRAL_BELOW:
        return 0
    if polarity < 0:
        return -2 if polarity <= -_STRONG_FROM else -1
    return 2 if polarity >= _STRONG_FROM else 1


def _signs(cleaned: str) -> Judgement:
    """Return the judgement by emoji and emoticons alone, which belong to no language."""
    tokens = cleaned.split()[:MAX_WORDS]
    polarities = [v for token in tokens if (v := english.sign(token)) is not None]
    polarities += [v for c in cleaned[:MAX_WORDS] if not c.isascii() and (v := english.sign(c)) is not None]
    return from_lexicon(sum(polarities) / len(polarities), polarities) if polarities else NO_JUDGEMENT
