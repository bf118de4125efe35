"""What the record of a decision keeps: codes and figures. Texts, contacts and the answer follow from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from decisioning.facts.schema import Facts

Floats = NDArray[np.float64]
NOTHING = -1
"""The row of a pick that leaves its slot empty."""
OWN, ACCOUNT = "own", "account"
"""What `Kept.unit` calls the stream that the decision is recorded on, and that of its account."""


class Reason(NamedTuple):
    """Why an offer was made: a kind, and what it is about.

    `propensity` and `asserted` are about one of the model's inputs, `context` about features, `uplift` (in percentage
    points), `lever` (a factor) and `value.expected` (euros) about a figure, and the other kinds about nothing.
    """

    kind: str
    about: str | float | tuple[str, ...] | None = None


@dataclass(slots=True)
class KeptPick:
    """One choice: of row `row` of the channel's view, which is number `at` of the scored ones, or of NOTHING.

    `placement` counts the request's placements from 0. `extra` and `given_up` as in `deciding.arbitration.Pick`.
    `drawn_from`: bool (n,), the scored candidates that the slot was drawn from, and `odds`: float64 (n,), the
    probability of each given the picks before; both None if nothing was left to chance, or if the record does not say.
    It tells one of them, depending on its format. `empty`: why NOTHING was picked, a code of the contract;
    None for an offer, and if the record does not tell. The rest belongs to an offer: `factors` are the model's
    inputs that moved the score most, `reasons` the most telling first, amounts are in euros.
    """

    placement: int
    rank: int
    row: int
    probability: float
    extra: float = 0.0
    given_up: float = 0.0
    empty: str | None = None
    at: int = 0
    factors: Sequence[str] = ()
    value_eur: float = 0.0
    priority: float = 0.0
    reasons: Sequence[Reason] = ()
    odds: Floats | None = None
    drawn_from: NDArray[np.bool_] | None = None


@dataclass(slots=True)
class Kept:
    """A decision in codes and figures, of a release that is named elsewhere.

    `request`, `read` and `permissions` are as recorded. `rows`: int64 (n,), the scored rows of the channel's view,
    ascending; the columns of scores belong to them: float64 (n,), `uplift` NaN where it is unknown, `transparency`
    int8. `shadow`: the second model's name and propensities (n,). `empty`: per placement, why it shows no offer, None
    if it shows one. `withheld`: how many candidates did not pass. `tone` and `handover`: what the emotion layer asks
    for. `trial`: when the trial began in which `model` was drawn, microseconds UTC; None if it was drawn in none.
    `counted`: the results of the amounts and weights that count past outcomes, in the order of `View.counting`: numbers
    or 1.0 and 0.0, None where unknown; empty if none do, if nobody was profiled, or if the record does not tell.
    `unit`: what was drawn for an arm: the decision's own stream (`OWN`), that of its account (`ACCOUNT`), or the stream
    of this name; None if there are no arms, or if the record does not tell.
    """

    decision_id: str
    decided_us: int
    request: dict[str, Any]
    picks: Sequence[KeptPick]
    read: dict[str, Any]
    environment: str
    model: str
    paused: Sequence[str]
    supersedes: str | None
    degraded: Sequence[str]
    facts: Facts
    permissions: Mapping[str, str]
    profiled: bool
    arm: str
    empty: Sequence[str | None]
    tone: str | None
    handover: str | None
    withheld: int
    rows: NDArray[np.int64]
    propensity: Floats
    evidence: Floats
    upper: Floats | None = None
    uplift: Floats | None = None
    transparency: NDArray[np.int8] | None = None
    shadow: tuple[str, Floats] | None = None
    trial: int | None = None
    unit: str | None = None
    counted: Sequence[float | None] = ()

    @property
    def offers(self) -> list[KeptPick]:
        """The picks that show something, in their order."""
        return [pick for pick in self.picks if pick.row != NOTHING]
