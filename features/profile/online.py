"""A subject's current profile and model scores, read from and written to the online store.

Every value carries its own time (`features.profile.versions`), since Feast applies no TTL online, reports an absent
entity as nulls and keeps one timestamp per row. This module decides age and order, for both online stores alike.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

from decisioning.errors import Refused, RequestError
from decisioning.facts.schema import Facts, Feature, FeatureSchema, Value
from decisioning.times import FIRST_US, FUTURE_TIME, LAST_US, TOLERANCE_US
from features.profile.archive import Archive
from features.profile.store import SignalState, Store, signal_state
from features.profile.stores.rows import OnlineRow, table_of
from features.profile.versions import Stamp, State, Statement, newer
from features.views import PYTHON_TYPES, ProfileView, views_of

Progress = Callable[[int, int], None]
"""Called with (number of subjects done, number of subjects in all)."""


class Stored:
    """One subject as stored.

    `facts` holds the values that are known and young enough; it is not to be changed. `signals` is the state of the
    subject's signals, or None if none was written.
    """

    __slots__ = ("_rows", "facts", "signals")

    def __init__(self, facts: dict[str, Value], signals: SignalState | None, rows: Sequence[OnlineRow | None]) -> None:
        self.facts, self.signals, self._rows = facts, signals, rows

    @property
    def raw(self) -> dict[str, tuple[Value, int]]:
        """Every known value, however old, with its time (microseconds)."""
        rows = [row for row in self._rows[:-1] if row is not None]  # the last row is of the signals
        return {name: (cast(Value, values[name]), _time(times, name)) for values, times in rows for name in values}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stored) and (self.facts, self.raw, self.signals) == (
            other.facts,
            other.raw,
            other.signals,
        )

    __hash__ = None  # type: ignore[assignment]  # its facts may be changed


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
        self._views = tuple(_OnlineView(view) for view in self.archive.views if view.features)
        self._read = store.online.reader([*(view.table for view in self._views), store.signals])

    def read(self, subjects: Sequence[str], *, now_us: int) -> list[Stored]:
        """Return the subjects in the order given, read in one round trip; an unknown one has no facts.

        Raises Unavailable.
        """
        return [self._stored(rows, now_us) for rows in self._read(subjects)]

    def _stored(self, rows: Sequence[OnlineRow | None], now_us: int) -> Stored:
        facts: dict[str, Value] = {}
        for view, row in zip(self._views, rows, strict=False):  # the last row is of the signals
            if row is not None:
                own = view.facts(row, now_us)
                facts = {**facts, **own} if facts else own
        return Stored(facts, signal_state(rows[-1]), rows)

    def write(self, subject: str, facts: Facts, told_us: int | None, *, now_us: int) -> None:
        """Record that `facts` were true at `told_us`, or are true now if it is None.

        A fact None records that a value is not known. Per feature, a newer time stays; what is told without a time is
        newer than all that is stored. When this returns, the facts are online and, durably, in the history. Raises
        RequestError for a fact that the schema does not declare and for a time too far ahead, and Unavailable when a
        store is down: then the facts are in neither, unless only Redis's answer was lost. Repeating a write is safe.
        """
        stated, at_us = self._checked(facts), _checked_time(told_us, now_us)
        if facts:
            with self.archive.spool.writing():
                event_us = self._counted_us(subject, facts, at_us, now_us)
                statement = Statement(Stamp(event_us, max(event_us, now_us)), stated)
                self.archive.spool.append(subject, statement)
                for view in self._views:
                    self.store.online.update(view.table, [subject], partial(_news, view, statement.versions))

    def _counted_us(self, subject: str, facts: Facts, at_us: int | None, now_us: int) -> int:
        """Return when a statement counts: at its time, or after all that is stored if it has none.

        Nor does what is told of now stay behind a time that a clock ahead gave: a protection told now holds.
        """
        if at_us is not None and at_us <= now_us - TOLERANCE_US:
            return at_us
        after_us = self._after_all(subject, facts, now_us)
        return after_us if at_us is None or after_us > now_us + TOLERANCE_US else at_us

    def _after_all(self, subject: str, facts: Facts, now_us: int) -> int:
        """Return the time of a statement without one: now, or later if a clock was ahead when these facts were told."""
        (rows,) = self._read([subject])
        stored = [times for _, times in filter(None, rows[:-1])]  # the last row is of the signals
        latest_us = [times if isinstance(times, int) else times.get(name, -1) for times in stored for name in facts]
        return max([now_us, *(us + 1 for us in latest_us)])

    def forget(self, *subjects: str) -> None:
        """Erase subjects from the online store and the spool, within milliseconds. Raises Unavailable.

        Their rows in the history files stay until `delete`, and copies that were left when rows moved until
        `remove_remains`.
        """
        self.archive.spool.forget(subjects)
        tables = [table_of(view) for view in self.archive.views]
        self.store.online.forget([*tables, self.store.signals], subjects)

    def delete(self, *subjects: str) -> None:
        """Erase subjects from the history files too; the time this takes grows with the files. Raises Unavailable."""
        self.archive.forget(subjects)
        self.forget(*subjects)

    def remove_remains(self, pass_us: int) -> None:
        """Remove copies of what was deleted before the pass began from the databases' files. Raises Unavailable.

        Writers wait for some milliseconds at most, and a pass that was interrupted goes on where it was.
        """
        self.archive.spool.remove_remains(pass_us)
        self.store.online.remove_remains(pass_us)

    def probe(self) -> None:
        """Raise Unavailable if a fact could not be written now."""
        self.archive.spool.probe()
        self.store.online.probe()

    def _checked(self, facts: Facts) -> dict[str, Value | None]:
        """Return the facts as stored (floats as float). Raises RequestError, which names the feature, not its value."""
        for name in facts:
            if name not in self._features:
                raise RequestError(name, "is not a profile or model feature of this release")
        return {name: checked(name, value, self._features[name]) for name, value in facts.items()}


class _OnlineView:
    """One view, with everything that reading and writing it needs prepared."""

    def __init__(self, view: ProfileView) -> None:
        self.table = table_of(view)
        self.enums = [(f.name, frozenset(f.values)) for f in view.features if f.dtype == "enum"]
        self.ages_us = [(f.name, f.max_age_s * 1_000_000) for f in view.features if f.max_age_s is not None]

    def facts(self, row: OnlineRow, now_us: int) -> dict[str, Value]:
        """Return the values that are young enough, and drop from `row` what its enum does not have."""
        values: dict[str, Any] = row[0]
        for name, allowed in self.enums:
            if name in values and values[name] not in allowed:
                del values[name]
        if not self.ages_us:
            return values
        times = row[1]
        old = [name for name, age_us in self.ages_us if name in values and now_us - _time(times, name) > age_us]
        return {name: value for name, value in values.items() if name not in old} if old else values


def _time(times: int | Mapping[str, int], name: str) -> int:
    return times if isinstance(times, int) else times[name]


def _news(view: _OnlineView, stated: State, _: str, stored: State) -> State:
    """Return the versions of the view's features that replace what is stored."""
    return newer(stored, {name: version for name, version in stated.items() if name in view.table.kinds})


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
    if feature.dtype == "timestamp" and not FIRST_US <= number <= LAST_US:
        raise RequestError(name, "is not a time between the years 1 and 9999")
    low, high = feature.min, feature.max
    if (low is not None and number < low) or (high is not None and number > high):
        raise RequestError(name, "is outside the range its feature declares")
    return float(number) if feature.dtype == "float" else number


def _checked_time(told_us: int | None, now_us: int) -> int | None:
    """Return when a statement counts that was told with this time: not later than now."""
    if told_us is None:
        return None
    if told_us < 0:
        raise RequestError("as_of", "lies before 1970")
    if told_us > now_us + TOLERANCE_US:
        raise RequestError("as_of", FUTURE_TIME)
    return min(told_us, now_us)


def open_profiles(workspace_data_dir: Path, schema: FeatureSchema) -> Profiles:
    """Return profiles over a new `Store`. Raises Refused before the first `apply`."""
    return Profiles(Store(workspace_data_dir), schema)
