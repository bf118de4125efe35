"""Append-only streams, one per subject: consents, decisions, contacts and outcomes, and the standing they fold to."""

from features.ledger.checking.opening import KnownLedger
from features.ledger.checking.verification import Flaw
from features.ledger.ledger import Ledger, SubjectKind, now_us
from features.ledger.past.changes import HORIZON_US
from features.ledger.reading.looks import Look
from features.ledger.records import Activation, Duplicate, Entry, PackedBody, Record
from features.ledger.standing import Fold, apply

__all__ = [
    "HORIZON_US",
    "Activation",
    "Duplicate",
    "Entry",
    "Flaw",
    "Fold",
    "KnownLedger",
    "Ledger",
    "Look",
    "PackedBody",
    "Record",
    "SubjectKind",
    "apply",
    "now_us",
]
