"""Erasing: a tombstone at once, then every byte of a subject, a few rows at a time."""

from features.ledger.erasing.erasures import Erasures, ListedErasure
from features.ledger.erasing.tombstones import erase_subject

__all__ = ["Erasures", "ListedErasure", "erase_subject"]
