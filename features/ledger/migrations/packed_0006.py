"""Contacts and standings as `ledger_0006` writes them: the layouts of that time, whatever the code does later."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from struct import Struct
from typing import Any

from pydantic_core import from_json, to_json

_DECIDED_ID = re.compile(r"d-([0-9a-f]{32})\.(0|[1-9][0-9]?|1[0-9][0-9]|2[0-4][0-9]|25[0-5])")
_NO_DECISION = bytes(16)
_NEVER_US = -(2**62)
_MEMBER, _HELD, _HEADER = Struct("<BIqB"), Struct("<16sBIqqB"), Struct("<BBIqqI")
_STATES = ("reserved", "expired", "not_delivered", "delivered", "seen", "pitched")
_Words = tuple[str, ...]


class Packing:
    """Packs contacts, and numbers what they are about."""

    def __init__(self) -> None:
        self._numbers: dict[_Words, int] = {}

    def number_of(self, *words: str) -> int:
        """Return the number of (action, treatment, group, issue, channel, counts_on)."""
        return self._numbers.setdefault(words, len(self._numbers) + 1)

    def kinds(self) -> list[dict[str, Any]]:
        """Return the rows of the table of kinds."""
        return [{"number": number, "body": to_json(words)} for words, number in self._numbers.items()]

    def rows(self, contacts: Iterable[Any]) -> Iterator[dict[str, Any]]:
        """Yield the new rows of one stream's old rows: the offers of a decision together, if they are of one time."""
        grouped: dict[bytes, list[tuple[int, Any]]] = defaultdict(list)
        times: dict[bytes, int] = {}
        for row in sorted(contacts, key=lambda row: (len(row.offer_id), row.offer_id)):
            decision, n = _parts(row.offer_id)
            own = b"o" + row.offer_id.encode()
            name = own if decision == _NO_DECISION else b"d" + decision
            here = row.marks is not None or times.setdefault(name, row.at_us) == row.at_us
            grouped[name if here else own].append((n, row))
        for name, members in grouped.items():
            yield {"offers": name, **self._row(members)}

    def _row(self, members: Sequence[tuple[int, Any]]) -> dict[str, Any]:
        body, marks, at_us = b"", {}, _NEVER_US
        for n, row in members:
            if row.marks is not None:
                marks[str(n)] = from_json(row.marks)
                continue
            at_us, number = row.at_us, self._number_of_row(row)
            body += _MEMBER.pack(n, number, row.reserved_until_us - at_us, _STATES.index(row.state))
        return {"at_us": at_us, "body": body, "marks": to_json(marks).decode() if marks else None}

    def _number_of_row(self, row: Any) -> int:
        return self.number_of(row.action, row.treatment, row.action_group, row.issue, row.channel, row.counts_on)

    def held(self, columns: Sequence[Sequence[Any]]) -> tuple[bytes, list[str]]:
        """Return the contacts of a standing of format 3 as bytes, and the ids that are not a decision's."""
        held, other = b"", []
        for offer_id, *about, at_us, until_us, counts_on, state in zip(*columns, strict=True):
            decision, n = _parts(offer_id)
            if decision == _NO_DECISION:
                other.append(offer_id)
            number = self.number_of(*about, counts_on)
            held += _HELD.pack(decision, n, number, at_us, until_us - at_us, _STATES.index(state))
        return held, other


def _parts(offer_id: str) -> tuple[bytes, int]:
    decided = _DECIDED_ID.fullmatch(offer_id)
    return (_NO_DECISION, 0) if decided is None else (bytes.fromhex(decided[1]), int(decided[2]))


def standing_of(body: bytes, packing: Packing) -> bytes:
    """Return a standing of format 3 in format 4."""
    _, number, contacts, times, consents, erased, restricted, latest_us, restricted_us, links, holder = from_json(body)
    held, other = packing.held(contacts)
    header = _HEADER.pack(4, erased | 2 * restricted, number, latest_us, restricted_us, len(held))
    return header + held + to_json([consents, times, links, holder, other])
