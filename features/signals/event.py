"""One signal, checked against its type."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from decisioning.errors import RequestError
from decisioning.facts.schema import Value
from decisioning.facts.signals import SignalField, SignalSettings, SignalType, misfit

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class Event:
    """One validated signal of a ledger stream. `key`: its identity, whoever sends it how often; text that sorts.

    `recorded_us`: when it was accepted. `fields` holds what `validate` returned.
    """

    key: str
    stream: str
    type: str
    occurred_us: int
    recorded_us: int
    fields: Mapping[str, Value]

    @property
    def time_us(self) -> int:
        """When it counts as having happened: a sender's clock ahead of ours does not hide it from the next decision."""
        return min(self.occurred_us, self.recorded_us)


def validate(type_: SignalType, data: object) -> dict[str, Value]:
    """The data of a signal -> its fields, each of the type declared: floats where 3 was written, null left out.

    Raises RequestError that names the field (`data.page`) and never repeats a value.
    """
    if not isinstance(data, Mapping):
        raise RequestError("data", "must be an object")
    known = {field.name: field for field in type_.fields}
    for name in data:
        if name not in known:
            raise _unknown(name, known)
    return {f.name: _value(f, data[f.name]) for f in type_.fields if _given(f, data)}


def _given(field: SignalField, data: Mapping[Any, Any]) -> bool:
    if data.get(field.name) is not None:
        return True
    if field.required:
        raise RequestError(f"data.{field.name}", "is missing")
    return False


def _value(field: SignalField, value: Any) -> Value:
    if why := misfit(field, value):
        raise RequestError(f"data.{field.name}", why)
    if field.dtype == "float":
        return float(value) + 0.0  # -0.0 and 0.0 are one value
    return value  # type: ignore[no-any-return]


def _unknown(name: object, known: Mapping[str, SignalField]) -> RequestError:
    """Names no key that a sender may have made of personal data."""
    where = f"data.{name}" if isinstance(name, str) and _NAME.fullmatch(name) else "data"
    return RequestError(where, f"unknown field; known are {', '.join(known) or 'none'}")


def checked_time(occurred_us: int, settings: SignalSettings, now_us: int) -> int:
    """The time a signal says it happened, if it is neither too late nor too far ahead. Raises RequestError."""
    if occurred_us < now_us - settings.max_lateness_us:
        raise RequestError("time", f"is more than {settings.max_lateness_h:g} hours ago")
    if occurred_us > now_us + settings.max_ahead_us:
        raise RequestError("time", f"is more than {settings.max_ahead_s:g} seconds ahead")
    return occurred_us
