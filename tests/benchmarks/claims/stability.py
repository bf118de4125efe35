"""What a report claims of columns that moved: twenty columns of a hundred customers or more, who come back or not."""

from functools import partial

import numpy as np
import pyarrow as pa

from tests.benchmarks.claims.figures import Case, Told
from tests.benchmarks.claims.returning import KINDS
from tests.benchmarks.claims.trial import visits
from training.model.frame import Floats, Ints
from training.reporting.stability import ALPHA, DRIFTED, stability

COLUMNS = 20


def tell(seed: int, world: str, customers: int, shift: float, by_row: bool = False) -> Told:
    """Return whether a report calls any of twenty columns drifted.

    :param customers: of either period
    :param shift: of the first column in standard deviations; no other column moves
    :param by_row: claim by rows and without chance, as a report did before
    """
    rng = np.random.default_rng(seed)
    alarms = []
    for column in range(COLUMNS):
        of_customer = rng.normal(size=(2, customers)) + shift * np.array([[0.0], [column == 0]])
        before, after = (_column(rng, world, values, by_row=by_row) for values in of_customer)
        index = stability(before, after, numeric=True, columns=COLUMNS)
        alarms.append(index.psi >= DRIFTED if by_row else index.drifted)
    if shift:
        return Told(shift, shift if alarms[0] else 0.0, false_claim=any(alarms[1:]), found=alarms[0])
    return Told(0.0, float(any(alarms)), false_claim=any(alarms))


def _column(rng: np.random.Generator, world: str, of_customer: Floats, *, by_row: bool) -> pa.ChunkedArray:
    """Return a column of what each customer's rows say, or of one row of each."""
    rows: Ints = visits(rng, KINDS[world][0], len(of_customer)) if by_row else np.arange(len(of_customer))
    return pa.chunked_array([of_customer[rows]])


def _case(world: str, customers: int, shift: float) -> Case:
    moved = f"one column moved by {shift:g} deviations" if shift else "nothing moved"
    tell_of = partial(tell, world=world, customers=customers, shift=shift)
    return Case("drift of the report", f"{moved}, {customers} customers, {world}", tell_of, 1_000, ALPHA)


CASES = (
    *(_case(world, 100, 0.0) for world in KINDS),
    _case("independent rows", 1_000, 0.0),
    *(_case("independent rows", customers, 1.0) for customers in (100, 300)),
)
"""What tells one row per customer is the same in all worlds; it is measured in each of them all the same."""
