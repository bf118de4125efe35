"""What a decision is asked for, what it knows, and its result: forms that are sent, recorded and replayed exactly."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from pydantic_core import to_json

from decisioning.facts.ids import RECORDED, SubjectId
from decisioning.facts.schema import Facts, Strict, Value
from decisioning.facts.standing import Standing

MAX_PLACEMENTS = 20
MAX_SLOTS = 50
MAX_CONTEXT = 100
PRIOR_MODEL = "prior@0"
"""What decisions name as their model where none scored: the catalogue's priors."""
Issue = Literal["grow", "retain", "service", "nurture", "hardship"]
"""A goal of the business."""
Scalar = Annotated[str, Field(max_length=1000)] | bool | int | Annotated[float, Field(allow_inf_nan=False)] | None


class PlacementAsk(Strict):
    """One placement to fill with up to `limit` offers. The channel shows `fallback` if the brain cannot answer."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    limit: int = Field(default=1, ge=1, le=MAX_SLOTS)
    fallback: Annotated[str, Field(max_length=256)] | None = None


class Negotiation(Strict):
    """What is negotiated: alternatives are asked for, or the one that an agent takes (`take`, an action).

    `instead_of`: the offers whose place it takes, so that what they hold for the customer is free again.
    """

    take: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    instead_of: Annotated[tuple[SubjectId, ...], Field(max_length=MAX_SLOTS)] = ()


class Ask(Strict):
    """A request for a decision, as it is received and recorded.

    A request with `visitor_id` is decided for that visitor, from the visitor's own stream, even if the visitor is
    linked to a customer: a device may be shared. Only caps and suppressions count the whole person then.

    `as_of`, `release`, `overrides` and `seed` belong to previews: the time, the release hash, facts that replace the
    stored ones, and the id of the decision whose random draws are repeated. `moment` names the moment that opened a
    decision nobody requested. `consent_platform`: purpose -> what a consent platform on the page reports; a refusal
    there withdraws the purpose, a permission there grants nothing. `machine`: the customer is talking with a machine.
    `issues`: the only issues that may be offered, by default all. `conversation_id`: the conversation in which it is
    asked; where a live decision calls a person, a handover of that conversation is opened.
    `negotiation`: only what a budget covers may be offered, as alternatives side by side, or one of them alone.
    `detail`: for whom the answer is, by default for whom the caller's key is; it decides nothing, and is not recorded.
    """

    request_id: SubjectId
    customer_id: SubjectId | None = None
    visitor_id: SubjectId | None = None
    account_id: SubjectId | None = None
    channel: Annotated[str, Field(min_length=1, max_length=64)]
    locale: Annotated[str, Field(min_length=2, max_length=16)] | None = None
    mode: Literal["live", "preview"] = "live"
    placements: Annotated[tuple[PlacementAsk, ...], Field(min_length=1, max_length=MAX_PLACEMENTS)]
    consent_platform: Annotated[dict[Annotated[str, Field(max_length=64)], bool], Field(max_length=MAX_CONTEXT)] = {}
    machine: bool = False
    context: Annotated[dict[Annotated[str, Field(max_length=64)], Scalar], Field(max_length=MAX_CONTEXT)] = {}
    as_of: str | None = Field(default=None, max_length=40)
    release: str | None = Field(default=None, max_length=80)
    overrides: Annotated[dict[Annotated[str, Field(max_length=64)], Scalar], Field(max_length=1000)] = {}
    seed: SubjectId | None = None
    moment: str | None = Field(default=None, max_length=64)
    issues: Annotated[tuple[Issue, ...], Field(max_length=len(get_args(Issue)))] = ()
    conversation_id: SubjectId | None = None
    negotiation: Negotiation | None = None
    detail: Literal["customer", "agent", "company"] | None = Field(default=None, exclude=True)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.customer_id is None) == (self.visitor_id is None):
            raise ValueError("customer_id: name either a customer_id or a visitor_id")
        names = [p.name for p in self.placements]
        if len(set(names)) < len(names):
            raise ValueError("placements: each placement may be named once")
        if sum(p.limit for p in self.placements) > MAX_SLOTS:
            raise ValueError(f"placements: at most {MAX_SLOTS} offers in one request")
        if self.mode == "live" and (self.as_of or self.release or self.overrides or self.seed):
            raise ValueError("mode: as_of, release, overrides and seed need mode preview")
        return self


def recorded_ask(request: Mapping[str, Any]) -> Ask:
    """Return a request of a record, whatever ids were valid on its day."""
    return Ask.model_validate_json(canonical(request), context=RECORDED)


@dataclass(frozen=True)
class Known:
    """What the brain knows when it decides: the facts as served, and the standing of every stream involved.

    `signals`: stream -> version of its signal state, for every stream that has one; signal features are as of these.
    """

    facts: Facts
    person: Standing
    account: Standing | None = None
    degraded: tuple[str, ...] = ()
    signals: Mapping[str, int] = field(default_factory=dict)

    @property
    def linked(self) -> dict[str, int]:
        """Stream -> version read, of the other identifiers that are merged into `person`, sorted by stream."""
        return {other.stream: other.version for other in self.person.visitors or self.person.elsewhere}


@dataclass(frozen=True)
class Scores:
    """What a scorer returns for n candidates.

    `propensity`: float64 (n,) in [0, 1]. `evidence`: float64 (n,), how many independent rows each score rests on; those
    of one customer count as fewer. `factors`: per candidate, the names of the features that influenced its score most.
    `transparency`: int8 (n,), how well each score can be followed, from 1 (opaque) to 5; None: all are opaque. `upper`:
    float64 (n,), the upper end of each propensity's interval of one standard deviation; None: unknown. `uplift`:
    float64 (n,), what showing each candidate adds to its propensity, NaN where unknown; None: uplift does not rank.
    """

    propensity: NDArray[np.float64]
    evidence: NDArray[np.float64]
    factors: Sequence[tuple[str, ...]]
    transparency: NDArray[np.int8] | None = None
    upper: NDArray[np.float64] | None = None
    uplift: NDArray[np.float64] | None = None

    @property
    def ranking(self) -> NDArray[np.float64]:
        """What priority is computed from, float64 (n,): uplift if it ranks and is known, else propensity."""
        if self.uplift is None:
            return self.propensity
        return np.where(np.isnan(self.uplift), self.propensity, self.uplift)


Scorer = Callable[[Facts, NDArray[np.int64]], Scores]
"""Facts and indices into the release's candidates, int64 (n,) -> their scores, in the same order."""


BlockScorer = Callable[[Sequence[Facts], NDArray[np.int64]], Sequence[Scores]]
"""Facts of several customers and candidates as for a Scorer -> each customer's scores, as the Scorer gives them."""


@dataclass(frozen=True)
class Shadow:
    """A model that scores the same candidates for comparison: its scores are recorded and change nothing."""

    model: str
    score: Scorer


@dataclass(frozen=True, slots=True)
class Withheld:
    """A candidate that did not pass: the first gate that stopped it, and the facts that the gate read."""

    treatment: str
    gate: str
    why: str
    facts: dict[str, Value | None] = field(default_factory=dict)


def canonical(value: Mapping[str, Any]) -> bytes:
    """Return JSON bytes with keys in the order of `value` and floats in their shortest exact form."""
    return to_json(value, inf_nan_mode="strings")
