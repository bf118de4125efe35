"""Signals: validated events, the state that a subject's events amount to, and the features read from that state."""

from features.signals.definitions import Definitions
from features.signals.event import Event, check_time, validate
from features.signals.state import State, absorb, decode, encode, facts, merge, missing, rebuild

__all__ = [
    "Definitions",
    "Event",
    "State",
    "absorb",
    "check_time",
    "decode",
    "encode",
    "facts",
    "merge",
    "missing",
    "rebuild",
    "validate",
]
