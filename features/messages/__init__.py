"""What a customer's message says beside its words: language, sentiment, cues, and how a conversation goes."""

from features.messages.conversation import Trend, trend
from features.messages.cues import Cues
from features.messages.event import FIELDS, message_fields
from features.messages.language import LANGUAGES, Language
from features.messages.scoring import Level, Scored, score
from features.messages.text import MAX_CHARACTERS
from features.messages.trained import SentimentModel

__all__ = [
    "FIELDS",
    "LANGUAGES",
    "MAX_CHARACTERS",
    "Cues",
    "Language",
    "Level",
    "Scored",
    "SentimentModel",
    "Trend",
    "message_fields",
    "score",
    "trend",
]
