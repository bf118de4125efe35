"""What the catalogue says about signals: their types, and how features are computed from them.

Bounds and combinations of keys are checked here. How records fit each other is checked in
`decisioning.catalogue.check.signals`.
"""

import re
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from decisioning.spec import FeatureName, Id, Strict, Tag, Value, one_as_tuple

FieldDtype = Literal["string", "enum", "int", "float", "bool"]
Compute = Literal[
    "count", "sum", "distinct", "last", "intensity", "seconds_since", "session_events", "session_seconds", "repeated"
]
INTENT_FIELDS = ("intent", "intent_confidence")
"""Fields of a scored message that hold which of the catalogue's intents it has, and how sure that is."""
UNKNOWN_INTENT = "unknown"
"""The intent of a message that has none of the catalogue's."""
REQUEST_FIELDS = (
    "wants_person",
    "complaint",
    "repetition",
    "objection",
    "perhaps_objection",
    "data_request",
    "needs_care",
    "urgent",
    *INTENT_FIELDS,
)
"""Fields of a scored message that hold what the customer asks for; they are tagged `request`, and no emotion."""
MOOD_FIELDS = (
    "sentiment",
    "level",
    "confidence",
    "negative",
    "shouting",
    "capitals",
    "punctuation",
    "turn",
    "change",
    "slope",
    "lowest",
)
"""Fields of a scored message that hold how the customer feels; they are tagged `emotion`."""
MESSAGE_TYPES = ("message", "call")
"""Types whose data is scored when it comes in, if they declare a field for the sentiment."""
MAX_CHARACTERS = 4_000
"""The longest text in a field of a signal."""
MAX_NUMBER = 10**15
"""Numbers in a field lie within plus and minus this, so whole ones and sums of them in millionths are exact."""
PARTS = 30
"""A window moves in steps of its length divided by this number."""
GAP_MIN = 30.0
MAX_KEYS = 100
MAX_REPEATED = 20
"""Of how many of the latest events `repeated` finds the most frequent value."""

_KEYS: dict[Compute, tuple[frozenset[str], frozenset[str]]] = {
    "count": (frozenset({"window"}), frozenset()),
    "sum": (frozenset({"field", "window"}), frozenset()),
    "distinct": (frozenset({"field", "window"}), frozenset({"max_keys"})),
    "last": (frozenset({"field"}), frozenset()),
    "intensity": (frozenset({"half_life_s"}), frozenset()),
    "seconds_since": (frozenset(), frozenset()),
    "session_events": (frozenset(), frozenset({"gap_min"})),
    "session_seconds": (frozenset(), frozenset({"gap_min"})),
    "repeated": (frozenset({"field", "window"}), frozenset({"since"})),
}
"""Compute -> (keys that it needs, further keys that it may have)."""
_ALL_KEYS = ("field", "window", "half_life_s", "gap_min", "max_keys", "since")
_EXAMPLES = {"field": "field: page", "window": "window: 5min", "half_life_s": "half_life_s: 3600"}
_WINDOW = re.compile(r"([1-9][0-9]{0,8})(s|min|h|d)")
_UNIT_S = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
_LONGEST_S = 366 * 86_400


def _as_window(raw: Any) -> Any:
    match = _WINDOW.fullmatch(raw) if isinstance(raw, str) else None
    if match is None or int(match[1]) * _UNIT_S[match[2]] > _LONGEST_S:
        raise ValueError("expected a length of time of at most 366d", "write it like `30s`, `5min`, `24h` or `7d`")
    return raw


def _as_values(raw: Any) -> Any:
    if not isinstance(raw, dict):
        raise ValueError("expected fields with the values they must have", "write it like `where: {page: paid-tv}`")
    allowed = {key: value if isinstance(value, tuple) else (value,) for key, value in raw.items()}
    for key, values in allowed.items():
        if not values or not all(isinstance(value, bool | int | float | str) for value in values):
            raise ValueError(f"`{key}` has no value to compare with", f"write `{key}: a value`, or a list of values")
    return allowed


Window = Annotated[str, BeforeValidator(_as_window)]
Where = Annotated[dict[FeatureName, tuple[Value, ...]], BeforeValidator(_as_values)]


class SignalSettings(Strict):
    """How far the time of a signal may lie before our own time.

    `max_ahead_s` has no effect: one tolerance holds for all that is told. Earlier releases state it.
    """

    max_lateness_h: float = Field(default=24.0, ge=0, le=744)
    max_ahead_s: float | None = Field(default=None, ge=0, le=3600)

    @property
    def max_lateness_us(self) -> int:
        """`max_lateness_h` in microseconds."""
        return round(self.max_lateness_h * 3_600_000_000)


class SignalField(Strict):
    """One value in the data of a signal. A signal without a `required` field is refused."""

    name: FeatureName
    dtype: FieldDtype
    required: bool = False
    unit: str | None = None
    values: tuple[str, ...] = ()
    min: float | None = None
    max: float | None = None
    tags: tuple[Tag, ...] = ()
    description: str = ""


class SignalType(Strict):
    """A kind of event. `retention_days`: how long each event is stored; features computed from it stay.

    `purpose`: what it is collected for; where that is not permitted, nothing that is computed from it is read.
    """

    id: Id
    purpose: Id | None = None
    retention_days: float = Field(gt=0, le=36_500)
    fields: tuple[SignalField, ...] = ()
    tags: tuple[Tag, ...] = ()
    description: str = ""

    @cached_property
    def field_names(self) -> frozenset[str]:
        """The names of the fields."""
        return frozenset(field.name for field in self.fields)

    @property
    def is_message(self) -> bool:
        """Whether its events are messages, which are scored when they come in."""
        return self.id in MESSAGE_TYPES and "sentiment" in self.field_names


class SignalFeature(Strict):
    """How a feature is computed from signals of the types `of` whose fields have one of the values in `where`.

    `window`: a length of time (count, sum, distinct, repeated). `max_keys`: how many of the latest distinct values are
    stored. `since`: the types of signals, such as a solution, after the latest of which events count (repeated).
    """

    of: Annotated[tuple[Id, ...], BeforeValidator(one_as_tuple)] = Field(min_length=1)
    compute: Compute
    where: Where = Field(default_factory=dict)
    field: FeatureName | None = None
    window: Window | None = None
    half_life_s: float | None = Field(default=None, ge=0.001, le=_LONGEST_S)
    gap_min: float | None = Field(default=None, ge=1, le=1440)
    max_keys: int | None = Field(default=None, ge=1, le=1000)
    since: Annotated[tuple[Id, ...], BeforeValidator(one_as_tuple)] = ()

    @model_validator(mode="after")
    def _keys_of_the_compute(self) -> Self:
        needs, may = _KEYS[self.compute]
        set_keys = {key for key in _ALL_KEYS if getattr(self, key)}
        for key in sorted(needs - set_keys):
            raise ValueError(f"compute `{self.compute}` needs `{key}`", f"add `{_EXAMPLES[key]}`")
        for key in sorted(set_keys - needs - may):
            raise ValueError(f"compute `{self.compute}` has no `{key}`", f"remove `{key}`")
        return self

    @property
    def window_us(self) -> int:
        """`window` in microseconds; 0 if there is none."""
        match = _WINDOW.fullmatch(self.window or "")
        return int(match[1]) * _UNIT_S[match[2]] * 1_000_000 if match else 0

    @property
    def half_life_us(self) -> int:
        """`half_life_s` in microseconds; 0 if there is none."""
        return round((self.half_life_s or 0.0) * 1_000_000)

    @property
    def gap_us(self) -> int:
        """The longest time between two events of one session, in microseconds."""
        return round((self.gap_min or GAP_MIN) * 60_000_000)

    @property
    def reads_intents(self) -> bool:
        """Whether it reads which intents messages have, and nothing else that they say."""
        fields = {*self.where, self.field} - {None}
        return bool(fields) and fields <= {*INTENT_FIELDS} and {*self.of} <= {*MESSAGE_TYPES}

    @property
    def holds_the_intent(self) -> bool:
        """Whether it is the intent of the last message."""
        return self.compute == "last" and self.field == "intent" and self.reads_intents

    @property
    def keys(self) -> int:
        """`max_keys`, or its default."""
        return self.max_keys or MAX_KEYS


def misfit(field: SignalField, value: object) -> str | None:
    """Return why `value` cannot be a value of the field, in words that do not repeat the value; None if it can.

    A whole number is also a float; no other value has two types. Bounds are included.
    """
    if field.dtype in ("string", "enum"):
        return _text_misfit(field, value) if isinstance(value, str) else "must be a text"
    if field.dtype == "bool":
        return None if isinstance(value, bool) else "must be true or false"
    if isinstance(value, bool) or not isinstance(value, int if field.dtype == "int" else int | float):
        return "must be a whole number" if field.dtype == "int" else "must be a number"
    return _number_misfit(field, value)


def _text_misfit(field: SignalField, text: str) -> str | None:
    if field.dtype == "enum":
        return None if text in field.values else f"must be one of {', '.join(field.values[:20])}"
    if len(text) > MAX_CHARACTERS:
        return f"must have at most {MAX_CHARACTERS} characters"
    valid = "\0" not in text and (text.isascii() or _is_unicode(text))
    return None if valid else "must be valid Unicode without code 0"


def _is_unicode(text: str) -> bool:
    """Tell whether databases take the text: they refuse lone surrogates."""
    try:
        return bool(text.encode())
    except UnicodeEncodeError:
        return False


def _number_misfit(field: SignalField, number: float) -> str | None:
    if not -MAX_NUMBER <= number <= MAX_NUMBER:  # also refuses NaN
        return f"must be a finite number within ±{MAX_NUMBER:.0e}"
    if field.min is not None and number < field.min:
        return f"must be at least {field.min:g}"
    if field.max is not None and number > field.max:
        return f"must be at most {field.max:g}"
    return None
