"""Signals: validated events, the state they leave per subject, and the features computed from either."""

from features.signals.definitions import Definitions
from features.signals.event import Event, checked_time, validate
from features.signals.state import State, absorb, decode, encode, facts, merge, missing, rebuild

__all__ = [
    "Definitions",
    "Event",
    "State",
    "absorb",
    "checked_time",
    "decode",
    "encode",
    "facts",
    "merge",
    "missing",
    "rebuild",
    "validate",
]
