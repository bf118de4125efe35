"""A subject's current profile and model scores, read and written through Feast's online store.

Feast applies no TTL online, reports an absent entity as nulls, keeps one timestamp per row (whole seconds on SQLite)
and orders rows by rules of its own. So every view carries the times of its values itself (`features.profile.versions`),
and this module decides age, absence and order, for both online stores alike.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from feast.protos.feast.types.Value_pb2 import Value as Proto

from decisioning.errors import Refused, RequestError
from decisioning.facts.schema import Dtype, Facts, Feature, FeatureSchema, Value
from features.profile.archive import Archive
from features.profile.rows import Table, Values, Write
from features.profile.store import CHUNK, SignalState, Store, signal_state
from features.profile.versions import Stamp, State, Statement, Version, decode_stamps, encode_stamps, newer
from features.views import PYTHON_TYPES, ProfileView, views_of

FIELD: Mapping[Dtype, str] = {
    "float": "double_val",
    "int": "int64_val",
    "bool": "bool_val",
    "string": "string_val",
    "enum": "string_val",
    "timestamp": "int64_val",
}
"""The field of Feast's protobuf value that holds a dtype."""

LAST_US = 253_370_764_800_000_000  # 9999-01-01
Progress = Callable[[int, int], None]
"""Called with (number of subjects done, number of subjects in all)."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One subject as stored.

    `facts` holds the values that are known and young enough, `raw` every known value with its time (microseconds),
    `signals` the state of the subject's signals, or None if none was written.
    """

    facts: dict[str, Value]
    raw: dict[str, tuple[Value, int]]
    signals: SignalState | None = None


class Profiles:
    """Profile and scores of subjects (ledger stream ids), as the schema of one release declares them.

    Several instances may share one `Store`; safe for threads and processes. Raises Refused for a schema that was
    never applied.
    """

    def __init__(self, store: Store, schema: FeatureSchema) -> None:
        self.store = store
        self.schema = schema
        self.archive = Archive(store.layout, views_of(schema))
        if not all(map(self.archive.holds, self.archive.views)):
            raise Refused("this release's features are not in the feature store yet: run `brain release`")
        self._features = {f.name: f for view in self.archive.views for f in view.features}
        self._views = tuple(_OnlineView(view, store.table(view)) for view in self.archive.views if view.features)
        self._read = store.online.reader([*(view.table for view in self._views), store.signals])

    def read(self, subjects: Sequence[str], *, now_us: int) -> list[Stored]:
        """Return the subjects in the order given, read in one round trip; an unknown one has no facts.

        Raises Unavailable.
        """
        return [self._stored(values, now_us) for values in self._read(subjects)]

    def _stored(self, values: Values, now_us: int) -> Stored:
        stored = Stored({}, {}, signal_state(values))
        for view in self._views:
            view.decode(values, now_us, stored)
        return stored

    def write(self, subject: str, facts: Facts, event_us: int, *, now_us: int) -> None:
        """Record that `facts` were true at `event_us`; None records that a value is not known.

        Per feature, a newer event stays. When this returns, the facts are online and, durably, in the history. Raises
        RequestError for a fact that the schema does not declare, and Unavailable when a store is down: then the facts
        are in neither, unless only Redis's answer was lost. Repeating a write is safe.
        """
        statement = Statement(Stamp(_checked_time(event_us), now_us), self._checked(facts))
        if facts:
            with self.archive.spool.writing():
                self.archive.spool.append(subject, statement)
                self._merge({subject: statement.versions})

    def merge(self, states: Mapping[str, State], progress: Progress | None = None) -> None:
        """Write versions that the history already holds to the online store; newer ones there stay."""
        subjects = list(states)
        for start in range(0, len(subjects), CHUNK):
            chunk = subjects[start : start + CHUNK]
            with self.archive.spool.writing():
                self._merge({s: states[s] for s in chunk})
            if progress:
                progress(start + len(chunk), len(subjects))

    def delete(self, *subjects: str) -> None:
        """Erase subjects from the online store, the spool, the history files and the logs of their databases.

        Raises Unavailable while another process still reads a log; the erasure must then be repeated.
        """
        self.archive.forget(subjects)
        tables = [self.store.table(view) for view in self.archive.views]
        self.store.online.forget([*tables, self.store.signals], subjects)

    def rewrite(self) -> None:
        """Rewrite the files so that no erased byte stays between rows. Raises Unavailable while others use them."""
        self.archive.spool.rewrite()
        self.store.online.rewrite()

    def _merge(self, states: Mapping[str, State]) -> None:
        for view in self._views:
            self.store.online.update(view.table, list(states), partial(_merged, view, states))

    def _checked(self, facts: Facts) -> dict[str, Value | None]:
        """Return the facts as stored (floats as float). Raises RequestError, which names the feature, not its value."""
        for name in facts:
            if name not in self._features:
                raise RequestError(name, "is not a profile or model feature of this release")
        return {name: checked(name, value, self._features[name]) for name, value in facts.items()}


class _OnlineView:
    """One view, with everything that reading and writing it needs prepared."""

    def __init__(self, view: ProfileView, table: Table) -> None:
        self.view = view
        self.table = table
        self.fields = {f.name: FIELD[f.dtype] for f in view.features}
        self.enums = {f.name: frozenset(f.values) for f in view.features if f.dtype == "enum"}
        self.ages_us = {f.name: f.max_age_s * 1_000_000 for f in view.features if f.max_age_s is not None}

    def decode(self, values: Values, now_us: int, into: Stored) -> None:
        """Add the known values to `into`; a value without a time of its own is not known."""
        stamps = _stamps(values, self.view)
        for name, field in self.fields.items():
            value = _value(values.get(name), field)
            stamp = stamps.get(name)
            if value is None or stamp is None or (name in self.enums and value not in self.enums[name]):
                continue
            into.raw[name] = (value, stamp.event_us)
            if name not in self.ages_us or now_us - stamp.event_us <= self.ages_us[name]:
                into.facts[name] = value

    def encode(self, state: State, values: Values) -> Write | None:
        """Return the columns to write, with the newest event and time of recording, or None if `state` has no news."""
        stamps = _stamps(values, self.view)
        old = {name: Version(_value(values.get(name), self.fields.get(name, "")), s) for name, s in stamps.items()}
        news = newer(old, {name: version for name, version in state.items() if name in self.fields})
        if not news:
            return None
        merged = {**stamps, **{name: version.stamp for name, version in news.items()}}
        protos = {name: _proto(version.value, self.fields[name]) for name, version in news.items()}
        protos[self.view.stamps] = Proto(string_val=encode_stamps(merged))
        return Write(protos, max(s.event_us for s in merged.values()), max(s.created_us for s in merged.values()))


def _merged(view: _OnlineView, states: Mapping[str, State], subject: str, values: Values) -> Write | None:
    return view.encode(states[subject], values)


def checked(name: str, value: Value | None, feature: Feature) -> Value | None:
    """Return `value` as the feature stores it. Raises RequestError when dtype, range or enum do not allow it."""
    if value is None:
        return None
    if type(value) not in PYTHON_TYPES[feature.dtype]:
        raise RequestError(name, f"is not a {feature.dtype}")
    if feature.dtype == "enum" and value not in feature.values:
        raise RequestError(name, f"is not one of {', '.join(feature.values)}")
    return _text(name, value) if isinstance(value, str) else _number(name, value, feature)


def _text(name: str, text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise RequestError(name, "is not valid Unicode") from None
    return text


def _number(name: str, number: float, feature: Feature) -> Value:
    if (isinstance(number, int) and not -(2**63) <= number < 2**63) or not math.isfinite(number):
        raise RequestError(name, "is not a finite 64-bit number")
    low, high = feature.min, feature.max
    if (low is not None and number < low) or (high is not None and number > high):
        raise RequestError(name, "is outside the range its feature declares")
    return float(number) if feature.dtype == "float" else number


def _checked_time(event_us: int) -> int:
    if not 0 <= event_us <= LAST_US:
        raise RequestError("event_us", "is not between 1970 and 9999")
    return event_us


def _stamps(values: Values, view: ProfileView) -> Mapping[str, Stamp]:
    proto = values.get(view.stamps)
    return decode_stamps(proto.string_val) if proto is not None and proto.string_val else {}


def _value(proto: Any, field: str) -> Value | None:
    """Return the content of `field`, or None if the value has another type.

    An int that was stored before its feature became a float is returned as a float.
    """
    if proto is None:
        return None
    stored_field = proto.WhichOneof("val")
    if stored_field == field:
        return getattr(proto, field)  # type: ignore[no-any-return]
    return float(proto.int64_val) if stored_field == "int64_val" and field == "double_val" else None


def _proto(value: Value | None, field: str) -> Any:
    proto = Proto()
    if value is not None:
        setattr(proto, field, value)
    return proto


def open_profiles(workspace_data_dir: Path, schema: FeatureSchema) -> Profiles:
    """Return profiles over a new `Store`. Raises Refused before the first `apply`."""
    return Profiles(Store(workspace_data_dir), schema)
