"""From what was computed to what is recorded and answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np

from decisioning.catalogue.release import Release
from decisioning.catalogue.view import View
from decisioning.deciding.arbitration import NOTHING, Pick
from decisioning.deciding.arms import drawn_unit
from decisioning.deciding.case import Case
from decisioning.deciding.ethics import Mood, may_change_slate
from decisioning.deciding.ranking import Ranking
from decisioning.deciding.reasons import Reasoning
from decisioning.deciding.screening import Screened
from decisioning.facts.forms import PRIOR_MODEL, Known, Scores, canonical
from decisioning.facts.schema import Facts
from decisioning.lazy import lazy_property
from decisioning.records.answers import answer_of, contacts_of, record_of
from decisioning.records.drawn import FIRST_WITHOUT_ODDS
from decisioning.records.formats import (
    FIRST_WITH_DRAWN,
    FIRST_WITH_EMPTY_PICKS,
    JSON_FORMAT,
    NEWEST,
    Unpacked,
    pack,
    tables_for,
)
from decisioning.records.kept import Floats, Kept, KeptPick
from decisioning.records.tables import Tables
from decisioning.rules import Expression, Rule


@dataclass(frozen=True)
class Computation:
    """Everything that one call of decide() computed before the draw; `scores` are those of `screened.rows`.

    `shadow`: the shadow model's name and its propensities of the same rows.
    """

    case: Case
    facts: Facts
    screened: Screened
    scores: Scores
    ranking: Ranking
    mood: Mood
    shadow: tuple[str, Floats] | None

    @property
    def release(self) -> Release:
        return self.case.release

    @property
    def view(self) -> View:
        return self.screened.view

    @property
    def degraded(self) -> list[str]:
        """What the decision had to do without; `transparency`: a model as clear as an issue requires."""
        stated = self.scores.transparency
        opaque = stated is not None and bool((stated < self.view.transparency_floor[self.screened.rows]).any())
        return list(dict.fromkeys((*self.case.known.degraded, *(("transparency",) if opaque else ()))))

    def uplift_of(self, row: int) -> dict[str, float]:
        """Return {"uplift": ...} of a row of the scores, or nothing if uplift did not rank it."""
        uplift = None if self.scores.uplift is None else float(self.scores.uplift[row])
        return {} if uplift is None or isnan(uplift) else {"uplift": uplift}

    @property
    def scoring_model(self) -> str:
        """The model that scored, or PRIOR_MODEL if none was asked."""
        return self.case.context.assigned_model if self.screened.profiled else PRIOR_MODEL

    @property
    def mood_may_change_slate(self) -> bool:
        """Whether the emotion layer could change the slate, whatever is drawn."""
        ranking = self.ranking
        return may_change_slate(self.mood, ranking.slots, self.view, ranking.field, ranking.limits)

    @lazy_property
    def reasoning(self) -> Reasoning:
        """Gives the reasons of this decision's offers."""
        return Reasoning(self.case, self.facts, self.screened, self.scores, self.scores.ranking)


@dataclass(frozen=True)
class Decision:
    """A decision before it is committed: what its record keeps, and how it came about.

    What is sent and what is written is made of it when it is asked for.
    """

    kept: Kept
    computed: Computation

    @property
    def record_format(self) -> int:
        """The format that the decision is recorded in."""
        return self.computed.case.context.record_format

    @property
    def _tables(self) -> Tables:
        return tables_for(self.computed.release, self.record_format)

    @lazy_property
    def answer(self) -> dict[str, Any]:
        """What is sent back, as JSON types."""
        return answer_of(self.kept, self._tables)

    @lazy_property
    def contacts(self) -> list[dict[str, Any]]:
        """The reservations of contacts, one for each offer."""
        return contacts_of(self.kept, self._tables)

    @property
    def account_contacts(self) -> list[dict[str, Any]]:
        """The reservations that belong to the account's stream as well."""
        of_account = self.computed.view.of_account
        return [c for c, pick in zip(self.contacts, self.kept.offers, strict=True) if of_account[pick.row]]

    @lazy_property
    def record(self) -> dict[str, Any]:
        """What the ledger keeps, as JSON types: enough to decide the same again."""
        record = record_of(self.kept, self._tables)
        return record if self.record_format == JSON_FORMAT else Unpacked(record, self.record_format)

    @property
    def gates(self) -> dict[str, int]:
        """Gate -> how many candidates it was the first to stop."""
        return self.computed.screened.gates

    def to_bytes(self) -> bytes:
        """Return the record as the ledger keeps it, in the format of the decision."""
        if self.record_format == JSON_FORMAT:
            return canonical(self.record)
        return pack(self.kept, self.computed.release, self.record_format)


def record(computed: Computation, picks: Sequence[Pick]) -> Decision:
    """Return the decision to commit."""
    case, screened, scores, mood = computed.case, computed.screened, computed.scores, computed.mood
    ask, context, whys = case.ask, case.context, _why_nothing(computed, picks)
    kept = Kept(
        decision_id=context.decision_id,
        decided_us=context.now_us,
        request=ask.model_dump(mode="json", exclude_defaults=True),
        picks=[_pick(computed, pick, why) for pick, why in zip(picks, whys, strict=True)],
        read=_versions_read(case.known),
        environment=context.environment,
        model=context.assigned_model,
        paused=sorted(context.paused & case.release.actions.keys()),
        supersedes=context.supersedes,
        degraded=computed.degraded,
        facts=computed.facts,
        permissions={p: a.cites for p, a in sorted(screened.permissions.items()) if a.allowed and a.cites},
        profiled=screened.profiled,
        arm=screened.arm,
        empty=_why_empty(computed, picks, whys),
        tone=mood.tone,
        handover=mood.handover,
        withheld=screened.withheld_count,
        rows=screened.rows,
        propensity=scores.propensity,
        evidence=scores.evidence,
        upper=scores.upper,
        uplift=scores.uplift,
        transparency=scores.transparency,
        shadow=computed.shadow,
        trial=context.trial,
    )
    if context.record_format >= FIRST_WITH_DRAWN:
        _keep_drawn(kept, computed, picks)
    return Decision(kept, computed)


def _keep_drawn(kept: Kept, computed: Computation, picks: Sequence[Pick]) -> None:
    """Keep which unit was drawn, and what each slot was drawn from.

    Chance did not decide alone what is shown if the customer's mood may change it; then nothing is kept of the slots.
    """
    kept.unit = drawn_unit(computed.case)
    if computed.mood.silence_sales or computed.mood.let_through:
        return
    with_odds, screened = computed.case.context.record_format < FIRST_WITHOUT_ODDS, computed.screened
    if screened.profiled and not with_odds:
        kept.counted = [_result(formula, computed) for _, formula in screened.view.counting]
    for pick, kept_pick in zip(picks, kept.picks, strict=True):
        if pick.odds is not None and pick.probability != 1.0:
            at = screened.rows.searchsorted(pick.odds.candidates)
            if with_odds:
                kept_pick.odds = np.zeros(len(screened.rows))
                kept_pick.odds[at] = pick.odds.probability[:-1].astype(np.float32)
            else:
                kept_pick.drawn_from = np.zeros(len(screened.rows), dtype=np.bool_)
                kept_pick.drawn_from[at] = True


def _result(formula: Expression | Rule, computed: Computation) -> float | None:
    """Return what an amount or a weight's rule came to; 1.0 and 0.0 of a rule."""
    evaluate = formula.value if isinstance(formula, Expression) else formula.truth
    result = evaluate(computed.facts, computed.case.history)
    return None if result is None else float(result)


def _versions_read(known: Known) -> dict[str, Any]:
    """Return the versions of the streams that were read; `linked` and `signals` only if there are any."""
    read = {"person": known.person.version, "account": known.account.version if known.account else None}
    more = {"linked": known.linked, "signals": dict(sorted(known.signals.items()))}
    return {**read, **{name: versions for name, versions in more.items() if versions}}


def _pick(computed: Computation, pick: Pick, why: str | None) -> KeptPick:
    i, slot = pick.candidate, pick.slot
    empty = why if computed.case.context.record_format >= FIRST_WITH_EMPTY_PICKS else None
    kept = KeptPick(slot.placement, slot.rank, i, pick.probability, pick.extra, pick.given_up, empty)
    if i == NOTHING:
        return kept
    screened = computed.screened
    rows = screened.rows
    row = kept.at = i if len(rows) == len(screened.view) else int(rows.searchsorted(i))
    kept.factors = computed.scores.factors[row]
    kept.value_eur = round(screened.worth.value_eur.item(i), 2)
    kept.priority = screened.worth.priority_of(i, computed.reasoning.ranking.item(row))
    kept.reasons = computed.reasoning.of(i, row, kept.factors)
    return kept


def reasons_for(computed: Computation, i: int, row: int, locale: str) -> list[dict[str, Any]]:
    """Return why candidate `i` of the view, row `row` of the scores, was offered, in words of a locale."""
    words = tables_for(computed.release, NEWEST).words
    reasons = computed.reasoning.of(i, row, computed.scores.factors[row])
    return [words.reason(reason, locale, computed.facts) for reason in reasons]


def _why_nothing(computed: Computation, picks: Sequence[Pick]) -> list[str | None]:
    """Return per pick why it leaves its slot empty, as a code of the contract; None for an offer."""
    return [_reason_of(computed, picks, n) if pick.candidate == NOTHING else None for n, pick in enumerate(picks)]


def _why_empty(computed: Computation, picks: Sequence[Pick], whys: Sequence[str | None]) -> list[str | None]:
    """Return per placement why it shows nothing, as a code of the contract, or None."""
    filled = {pick.slot.placement for pick in picks if pick.candidate != NOTHING}
    empty = {pick.slot.placement: why for pick, why in zip(picks, whys, strict=True)}
    return [None if n in filled else empty.get(n, "no_room") for n in range(len(computed.case.ask.placements))]


def _reason_of(computed: Computation, picks: Sequence[Pick], n: int) -> str:
    """Return why pick number `n`, of nothing, was made."""
    pick, screened = picks[n], computed.screened
    if computed.mood.silence_sales:
        return "silenced"
    if not (screened.requested & pick.slot.members).any():
        return "no_candidates"
    if not (screened.permitted & pick.slot.members).any():
        return "all_withheld"
    if pick.probability < 1.0:
        return "explored_nothing"
    with_room = computed.case.context.record_format >= FIRST_WITH_EMPTY_PICKS
    return "no_room" if with_room and not _has_room(computed, picks[:n], pick) else "nothing_is_better"


def _has_room(computed: Computation, before: Sequence[Pick], pick: Pick) -> bool:
    """Tell whether the picks before left room for anything that could be drawn for the slot of `pick`."""
    limits = computed.ranking.limits
    for earlier in before:
        if earlier.candidate != NOTHING:
            limits = limits.without(earlier.candidate)
    return bool((computed.ranking.without_held_help.permitted & pick.slot.members & limits.room).any())
