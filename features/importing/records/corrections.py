"""What the files of an import say otherwise than an earlier import of the same mapping: outcomes of its contacts."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import BindParameter, bindparam, select

from features.ledger import Entry, Ledger, Record
from features.ledger.past.changes import RETRACTED
from features.ledger.tables import KEYS, RECORDS

_KEYS_AT_ONCE: Final = 500
_AMONG: BindParameter[Any] = bindparam("keys", expanding=True)
_BY_KEYS: Final = (
    select(RECORDS, KEYS.c.key.label("name"))
    .join(KEYS, (KEYS.c.stream == RECORDS.c.stream) & (KEYS.c.version == RECORDS.c.version))
    .where(KEYS.c.key.in_(_AMONG))
)
_FIELDS: Final = ("action", "outcome", "offer_id", "value_eur")
"""What a correction says of the outcome that does not hold, beside its time."""


_FIELDS_OF_ACCOUNTS: Final = ("action", "outcome")
"""What counts on an account's stream; earlier versions kept more of an outcome there."""


def corrections(ledger: Ledger, entries: Iterable[Entry], denied: Iterable[str]) -> list[Entry]:
    """Return entries that correct outcomes which an earlier import recorded under these keys.

    An outcome that did not happen after all is taken back, and one with another value or time is put in place of the
    one before. Records of erased subjects stay as they are.

    :param denied: the keys of outcomes that did not happen, by the files
    """
    wanted: dict[str, Entry | None] = {e.key: e for e in entries if e.kind == "outcome" and e.key is not None}
    wanted |= dict.fromkeys(denied)
    corrected: list[Entry] = []
    for key, (record, revision) in _latest(ledger, wanted).items():
        entry = _correction(record, wanted[key])
        if entry is not None:
            corrected.append(replace(entry, key=f"{key}#{revision + 1}"))
    return corrected


def _latest(ledger: Ledger, keys: Iterable[str]) -> dict[str, tuple[Record, int]]:
    """Return key -> the last record under it and its revision, for the keys that the ledger holds."""
    latest: dict[str, tuple[Record, int]] = {}
    names = {key: key for key in keys}
    revision = 0
    while names:
        recorded = _records(ledger, names)
        latest |= {key: (record, revision) for key, record in recorded.items()}
        revision += 1
        names = {f"{key}#{revision}": key for key in recorded}
    return latest


def _records(ledger: Ledger, names: Mapping[str, str]) -> dict[str, Record]:
    """Return what `names` has for a key -> the record under the key."""
    by_hash = {ledger.names.key_of(name): key for name, key in names.items()}
    hashes = list(by_hash)
    return {
        by_hash[row.name]: ledger.record_of(row)
        for at in range(0, len(hashes), _KEYS_AT_ONCE)
        for row in ledger.select(_BY_KEYS, {"keys": hashes[at : at + _KEYS_AT_ONCE]})
    }


def _correction(record: Record, wanted: Entry | None) -> Entry | None:
    """Return what puts `wanted` (None: nothing) in place of a record; None if it says the same, or is erased."""
    body = record.body
    if body is None:
        return None
    holds = body["outcome"] != RETRACTED
    if wanted is None:
        gone = {**body, "outcome": RETRACTED, "value_eur": None}
        return Entry(record.stream, "outcome", gone | _wrong(record, body), record.counted_us) if holds else None
    same = holds and record.counted_us == wanted.occurred_us
    compared = _FIELDS if body.get("scope") != "account" else _FIELDS_OF_ACCOUNTS
    if same and all(body.get(name) == wanted.folded.get(name) for name in compared):
        return None
    return replace(wanted, body={**wanted.folded, **(_wrong(record, body) if holds else {})})


def _wrong(record: Record, body: Mapping[str, Any]) -> dict[str, Any]:
    return {"corrects": {"occurred_us": record.counted_us, **{name: body.get(name) for name in _FIELDS}}}
