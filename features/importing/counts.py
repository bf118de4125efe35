"""What an import understood of each file, in counts that a person can check against the file."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class FileCounts:
    """How a file was read, its rows, its different customers and the rows with a contact; and what its columns say.

    `outcomes`: outcome -> rows where it happened. `consents`: purpose and channel -> rows that grant, that refuse, and
    that do neither. `empty`: column that was read -> missing cells. `impossible`: contacts that state a probability of
    0, which nothing that happened had, so that theirs is unknown.
    """

    file: str
    rows: int
    customers: int
    contacts: int
    outcomes: Mapping[str, int]
    consents: Mapping[tuple[str, str], tuple[int, int, int]]
    empty: Mapping[str, int]
    how: str
    impossible: int = 0


def as_tables(counts: Iterable[FileCounts]) -> dict[str, list[dict[str, Any]]]:
    """Return the counts as JSON: a list of records each for files, outcomes, consents and empty cells."""
    files = list(counts)
    zero = [{"file": f.file, "contacts": f.impossible} for f in files if f.impossible]
    return {
        "files": [
            {"file": f.file, "rows": f.rows, "customers": f.customers, "contacts": f.contacts, "read": f.how}
            for f in files
        ],
        **({"with_probability_0_taken_as_unknown": zero} if zero else {}),
        "outcomes": [{"file": f.file, "outcome": o, "happened": n} for f in files for o, n in f.outcomes.items()],
        "consents": [
            {"file": f.file, "purpose": p, "channel": c, "granted": yes, "refused": no, "neither": neither}
            for f in files
            for (p, c), (yes, no, neither) in f.consents.items()
        ],
        "empty": [{"file": f.file, "column": c, "cells": n} for f in files for c, n in f.empty.items()],
    }
