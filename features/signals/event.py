"""Signals as events, and their validation against the declared type."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from decisioning.errors import RequestError
from decisioning.facts.schema import Value
from decisioning.facts.signals import SignalSettings, SignalType, misfit
from decisioning.times import FUTURE_TIME, TOLERANCE_US

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


class Event(NamedTuple):
    """One validated signal of a ledger stream.

    `key`: its identity, the same however often it is sent; a text that can be sorted. `recorded_us`: when it was
    accepted. `fields`: what `validate` returned. `content`: names what was sent, if the fields do not say it, as those
    of a message that was scored; empty otherwise. `visitor`: the stream is the one that a visitor's id names, and what
    takes the event is found when it is recorded (`features.signals.placing`).
    """

    key: str
    stream: str
    type: str
    occurred_us: int
    recorded_us: int
    fields: Mapping[str, Value]
    content: bytes = b""
    visitor: bool = False

    def repeats(self, before: "Event") -> bool:
        """Tell whether this says what an event with the same key said; without a time of its own, at any time."""
        if self.type != before.type or (self._is_timed and self.occurred_us != before.occurred_us):
            return False
        if self.content:
            return before.content in (b"", self.content)
        return self.fields == before.fields

    def correcting(self, before: "Event") -> "Event":
        """Return what holds if this corrects an event with the same key: without a time of its own, that of before."""
        if self._is_timed:
            return self
        return self._replace(occurred_us=before.occurred_us, recorded_us=before.recorded_us)

    @property
    def _is_timed(self) -> bool:
        """Whether its sender gave a time: without one, it occurred when it was recorded."""
        return self.occurred_us != self.recorded_us

    @property
    def time_us(self) -> int:
        """When it counts as having happened: not after its recording, so that a fast clock hides no event."""
        return min(self.occurred_us, self.recorded_us)


def validate(type_: SignalType, data: object) -> dict[str, Value]:
    """Return the fields of a signal's data in their declared types (a float from 3, too), without nulls.

    :raises RequestError: names the field (`data.page`) and never repeats a value
    """
    if not isinstance(data, dict):
        raise RequestError("data", "must be an object")
    if not data.keys() <= type_.field_names:
        raise _unknown(next(name for name in data if name not in type_.field_names), type_)
    values: dict[str, Value] = {}
    for field in type_.fields:
        name = field.name
        value = data.get(name)
        if value is None:
            if field.required:
                raise RequestError(f"data.{name}", "is missing")
        elif message := misfit(field, value):
            raise RequestError(f"data.{name}", message)
        else:
            values[name] = float(value) + 0.0 if field.dtype == "float" else value  # makes -0.0 and 0.0 one value
    return values


def _unknown(name: object, type_: SignalType) -> RequestError:
    """Return an error that names the key only if it looks like a field: other keys might be personal data."""
    where = f"data.{name}" if isinstance(name, str) and _NAME.fullmatch(name) else "data"
    known = ", ".join(field.name for field in type_.fields)
    return RequestError(where, f"unknown field; known are {known or 'none'}")


def check_time(occurred_us: int, settings: SignalSettings, now_us: int) -> int:
    """Return the time of a signal unchanged.

    :raises RequestError: it lies too far in the past or the future
    """
    if occurred_us < now_us - settings.max_lateness_us:
        raise RequestError("time", f"is more than {settings.max_lateness_h:g} hours ago")
    if occurred_us > now_us + TOLERANCE_US:
        raise RequestError("time", FUTURE_TIME)
    return occurred_us
