"""Parts of a plan: the rows of some customers at a time, so that memory does not grow with their number."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.importing.plan import ConsentRows, ContactRows, ImportPlan, LateRows, OutcomeRows

Rows = npt.NDArray[np.int32]
"""Rows or positions of customers, of which a file has fewer than 2^31."""


def by_customers(plan: ImportPlan, size: int) -> Iterator[ImportPlan]:
    """Yield the plan without its profiles in parts of `size` customers, who have all their rows in one part."""
    subjects = plan.subjects
    contacts = [_contacts(rows) for rows in plan.contacts]
    late = [_late(rows) for rows in plan.late]
    consents = [_consents(rows) for rows in plan.consents]
    for first in range(0, len(subjects), size):
        last = first + size
        yield replace(
            plan,
            subjects=subjects.slice(first, size),
            profiles=(),
            contacts=tuple(part(first, last) for part in contacts),
            late=tuple(part(first, last) for part in late),
            consents=tuple(part(first, last) for part in consents),
        )


class _Sorted:
    """Row numbers sorted by the position of the row's customer among all; rows of one customer stay in order."""

    def __init__(self, positions: Rows) -> None:
        self.order: Rows = np.argsort(positions, kind="stable").astype(np.int32)
        self._positions = positions[self.order]

    def bounds(self, first: int, last: int) -> tuple[int, int]:
        """Return where in `order` the rows of the customers `first` to `last`, exclusive, begin and end."""
        low, high = np.searchsorted(self._positions, [first, last])
        return int(low), int(high)

    def rows(self, first: int, last: int) -> Rows:
        low, high = self.bounds(first, last)
        return self.order[low:high]


def _positions(subject: pa.DictionaryArray) -> Rows:
    return np.asarray(subject.indices)


def _contacts(rows: ContactRows) -> Callable[[int, int], ContactRows]:
    """Return a function of a range of customers that gives their contacts and outcomes."""
    positions = _positions(rows.subject)
    contacts = _Sorted(positions)
    outcomes = [(outcome, np.asarray(outcome.row), _Sorted(positions[outcome.row])) for outcome in rows.outcomes]
    place = np.empty(len(positions), np.int32)
    place[contacts.order] = np.arange(len(positions))

    def part(first: int, last: int) -> ContactRows:
        low, high = contacts.bounds(first, last)
        at = contacts.order[low:high]
        return ContactRows(
            subject=rows.subject.take(at),
            account=None if rows.account is None else rows.account.take(at),
            id=None if rows.id is None else rows.id.take(at),
            action=rows.action.take(at),
            channel=rows.channel.take(at),
            at_us=rows.at_us.take(at),
            probability=rows.probability.take(at),
            after={name: cells.take(at) for name, cells in rows.after.items()},
            outcomes=tuple(
                _outcome(o, place[row[of]] - low, of) for o, row, s in outcomes for of in [s.rows(first, last)]
            ),
            outcome_names=rows.outcome_names,
        )

    return part


def _outcome(rows: OutcomeRows, contact: Rows, at: Rows) -> OutcomeRows:
    return OutcomeRows(rows.name, pa.array(contact), rows.at_us.take(at), rows.value_eur.take(at))


def _late(rows: LateRows) -> Callable[[int, int], LateRows]:
    ordered = _Sorted(_positions(rows.subject))

    def part(first: int, last: int) -> LateRows:
        at = ordered.rows(first, last)
        contact = None if rows.contact is None else rows.contact.take(at)
        subject, action, at_us, value = (c.take(at) for c in (rows.subject, rows.action, rows.at_us, rows.value_eur))
        return LateRows(rows.name, subject, contact, action, at_us, value)

    return part


def _consents(rows: ConsentRows) -> Callable[[int, int], ConsentRows]:
    ordered = _Sorted(_positions(rows.subject))

    def part(first: int, last: int) -> ConsentRows:
        at = ordered.rows(first, last)
        subject, granted, at_us = (c.take(at) for c in (rows.subject, rows.granted, rows.at_us))
        return replace(rows, subject=subject, granted=granted, at_us=at_us)

    return part
