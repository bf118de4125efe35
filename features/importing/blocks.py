"""Parts of a plan: the rows of some customers at a time, so that memory does not grow with their number."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.importing.plan import ConsentRows, ContactRows, ImportPlan, LateRows, OutcomeRows

Rows = npt.NDArray[np.integer[Any]]
"""Rows or positions of customers, of which a file has fewer than 2^31."""


def by_customers(plan: ImportPlan, size: int) -> Iterator[ImportPlan]:
    """Yield the plan without its profiles in parts of `size` customers, who have all their rows in one part."""
    subjects = plan.subjects
    starts = np.arange(0, len(subjects) + size, size)
    contacts = [_contacts(rows, starts) for rows in plan.contacts]
    late = [_late(rows, starts) for rows in plan.late]
    consents = [_consents(rows, starts) for rows in plan.consents]
    for n, first in enumerate(starts[:-1].tolist()):
        yield replace(
            plan,
            subjects=subjects.slice(first, size),
            profiles=(),
            contacts=tuple(part(n) for part in contacts),
            late=tuple(part(n) for part in late),
            consents=tuple(part(n) for part in consents),
        )


class _Sorted:
    """Row numbers sorted by the customer among all; rows of one customer stay in order, in parts of some customers.

    :param customers: of each row, the position of its customer
    :param starts: the first customer of each part, and the end of the last one
    """

    def __init__(self, customers: Rows, starts: Rows) -> None:
        self._order: Rows = np.argsort(customers, kind="stable").astype(np.int32)
        self._ends = np.searchsorted(customers[self._order], starts)

    def rows(self, part: int) -> Rows:
        """Return the rows of a part."""
        return self._order[self._ends[part] : self._ends[part + 1]]


def _customers(subject: pa.DictionaryArray) -> Rows:
    return np.asarray(subject.indices)


def _contacts(rows: ContactRows, starts: Rows) -> Callable[[int], ContactRows]:
    """Return a function of the number of a part that gives its contacts and outcomes."""
    customers = _customers(rows.subject)
    contacts = _Sorted(customers, starts)
    outcomes = [(o, np.asarray(o.row), _Sorted(customers[o.row], starts)) for o in rows.outcomes]

    def part(n: int) -> ContactRows:
        at = contacts.rows(n)
        ascending = np.argsort(at)
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
                _outcome(o, ascending[np.searchsorted(at, row[of], sorter=ascending)], of)
                for o, row, s in outcomes
                for of in [s.rows(n)]
            ),
            outcome_names=rows.outcome_names,
        )

    return part


def _outcome(rows: OutcomeRows, contact: Rows, at: Rows) -> OutcomeRows:
    return OutcomeRows(rows.name, pa.array(contact), rows.at_us.take(at), rows.value_eur.take(at))


def _late(rows: LateRows, starts: Rows) -> Callable[[int], LateRows]:
    ordered = _Sorted(_customers(rows.subject), starts)

    def part(n: int) -> LateRows:
        at = ordered.rows(n)
        contact = None if rows.contact is None else rows.contact.take(at)
        subject, action, at_us, value = (c.take(at) for c in (rows.subject, rows.action, rows.at_us, rows.value_eur))
        return LateRows(rows.name, subject, contact, action, at_us, value)

    return part


def _consents(rows: ConsentRows, starts: Rows) -> Callable[[int], ConsentRows]:
    ordered = _Sorted(_customers(rows.subject), starts)

    def part(n: int) -> ConsentRows:
        at = ordered.rows(n)
        subject, granted, at_us = (c.take(at) for c in (rows.subject, rows.granted, rows.at_us))
        return replace(rows, subject=subject, granted=granted, at_us=at_us)

    return part
