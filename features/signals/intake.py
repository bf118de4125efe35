"""CloudEvents 1.0 (JSON) as events of the ledger's streams; errors name the attribute that is wrong."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Any, Final, get_args

from decisioning.catalogue.release import Release
from decisioning.errors import RequestError
from decisioning.facts.identity import visitor_id
from decisioning.facts.ids import MAX_ID, problem_of
from decisioning.facts.signals import SignalSettings, SignalType
from decisioning.facts.standing import VisitorKind
from decisioning.times import FUTURE_TIME, TOLERANCE_US, days_us, microseconds
from features.ledger import Ledger, SubjectKind
from features.ledger.records import Names
from features.signals.event import Event, check_time, validate

MAX_ATTRIBUTE: Final = 512
_SUBJECT: Final = re.compile(r"([a-z]+):(.*)", re.DOTALL)
_HASH: Final = re.compile(r"[0-9a-f]{32,128}")
_ATTRIBUTE: Final = re.compile(r"[a-z0-9]{1,64}")
_USUAL: Final = frozenset({"specversion", "id", "source", "type", "subject", "time", "data"})
_JSON: Final = re.compile(r"application/([a-z0-9.+-]+\+)?json *(;.*)?", re.IGNORECASE)
_VISITORS: Final = frozenset(get_args(VisitorKind))
_KINDS: Final[dict[str, tuple[SubjectKind, str]]] = {
    "customer": ("person", "customer_id"),
    "account": ("account", "account_id"),
}
_SUBJECTS: Final = (*_KINDS, *sorted(_VISITORS))
_LONGEST_KIND: Final = 16


@dataclass(frozen=True, slots=True)
class Subject:
    """Who a signal is about: the stream, and the field (`customer_id`, …) and id by which requests name them."""

    stream: str
    field: str
    id: str


class Intake:
    """Parses signals as senders write them, by the signal types of one release.

    :param history: accept late events too, as long as the retention of their type has not passed; for replays
    """

    def __init__(self, release: Release, names: Names | Ledger, *, history: bool = False) -> None:
        self._names, self._history = names, history
        self._types: Mapping[str, SignalType] = release.signals
        self._settings: SignalSettings = release.catalogue.settings.signals
        self._retention_us = {id_: days_us(t.retention_days) for id_, t in self._types.items()}
        self._subjects = lru_cache(maxsize=65_536)(self._subject)

    def event(self, raw: object, now_us: int) -> Event:
        """Return a CloudEvent, parsed from JSON, as an event; without `time`, it happened now. Raises RequestError.

        Extension attributes are allowed, as the specification demands, and not stored.
        """
        if not isinstance(raw, dict):
            raise RequestError("event", "must be a JSON object with the attributes of a CloudEvent")
        _check_envelope(raw)
        return self.of_parts(
            raw.get("id"),
            raw.get("source"),
            raw.get("type"),
            raw.get("subject"),
            self.occurred_us(raw, now_us),
            raw.get("data"),
            now_us,
        )

    def occurred_us(self, raw: Mapping[Any, Any], now_us: int) -> int:
        """Return the time of a CloudEvent, or `now_us` if it has none. Raises RequestError."""
        time = raw.get("time")
        if time is None:
            return now_us
        if not isinstance(time, str):
            raise _bad_time()
        return _time(time)

    def of_parts(
        self, id_: object, source: object, type_: object, subject: object, time: object, data: object, now_us: int
    ) -> Event:
        """Return the event with these attributes; `time` is a text or int microseconds. Raises RequestError."""
        key = event_key(self._names, source, id_)
        declared = self._types.get(_text("type", type_))
        if declared is None:
            raise RequestError(
                "type", f"no such signal type; known are {', '.join(sorted(self._types)[:20]) or 'none'}"
            )
        occurred_us = time if isinstance(time, int) else _time(time)
        if self._history:
            self._check_retention(declared, occurred_us, now_us)
        else:
            check_time(occurred_us, self._settings, now_us)
        about = self.subject(subject)
        return Event(
            key,
            about.stream,
            declared.id,
            occurred_us,
            now_us,
            validate(declared, {} if data is None else data),
            visitor=about.field == "visitor_id",
        )

    def _check_retention(self, type_: SignalType, occurred_us: int, now_us: int) -> None:
        """Refuse an event that may have been purged: whether it is a duplicate could not be decided."""
        if occurred_us <= now_us - self._retention_us[type_.id]:
            raise RequestError("time", f"is longer ago than the {type_.retention_days:g} days that its type is kept")
        if occurred_us > now_us + TOLERANCE_US:
            raise RequestError("time", FUTURE_TIME)

    def subject(self, raw: object) -> Subject:
        """Return whom an attribute `subject` names. Raises RequestError."""
        return self._subjects(raw if isinstance(raw, str) and len(raw) <= MAX_ID + _LONGEST_KIND else "")

    def _subject(self, raw: str) -> Subject:
        match = _SUBJECT.fullmatch(raw)
        if match is None or match[1] not in _SUBJECTS:
            raise RequestError("subject", f"expected `kind:id` with kind one of {', '.join(_SUBJECTS)}")
        kind, id_ = match[1], match[2]
        if kind == "email" and not _HASH.fullmatch(id_):
            raise RequestError("subject", "expected a hash of the address, in lower-case hexadecimal digits")
        stream_kind, field = _KINDS.get(kind, ("visitor", "visitor_id"))
        name = visitor_id(kind, id_) if kind in _VISITORS else id_  # type: ignore[arg-type]
        if problem := problem_of(id_) or problem_of(name):
            raise RequestError("subject", f"its id {problem}")
        return Subject(self._names.stream_of(stream_kind, name), field, name)


def event_key(names: Names | Ledger, source: object, id_: object) -> str:
    """Return the key of an event, made of its source and id as JSON. Raises RequestError if one of them is no text."""
    source_text, id_text = encode_basestring_ascii(_text("source", source)), encode_basestring_ascii(_text("id", id_))
    return names.key_of(f"signal:[{source_text}, {id_text}]")


def _check_envelope(raw: Mapping[Any, Any]) -> None:
    if raw.get("specversion") != "1.0":
        raise RequestError("specversion", 'must be "1.0"')
    if "data_base64" in raw:
        raise RequestError("data_base64", "binary data is not taken; send `data` as a JSON object")
    if "datacontenttype" in raw and not _JSON.fullmatch(str(raw["datacontenttype"])):
        raise RequestError("datacontenttype", "must be application/json")
    if raw.keys() <= _USUAL:
        return
    if not all(isinstance(name, str) and _ATTRIBUTE.fullmatch(name) for name in raw.keys() - _USUAL):
        raise RequestError("event", "an attribute's name is made of lower-case letters and digits")


def _text(name: str, raw: object) -> str:
    if not isinstance(raw, str) or not 0 < len(raw) <= MAX_ATTRIBUTE:
        raise RequestError(name, f"must be a text of 1 to {MAX_ATTRIBUTE} characters")
    return raw


def _time(raw: object) -> int:
    try:
        moment = datetime.fromisoformat(raw)  # type: ignore[arg-type]
        if moment.tzinfo is None:
            raise RequestError("time", "must say its offset from UTC, such as Z")
        return microseconds(moment)
    except (TypeError, ValueError, OverflowError):
        raise _bad_time() from None


def _bad_time() -> RequestError:
    return RequestError("time", "must be a time such as 2026-11-01T08:00:00Z")
