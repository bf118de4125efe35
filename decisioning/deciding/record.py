"""From what was computed to what is recorded and answered: the ledger's record of a decision."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np

from decisioning.catalogue.content import disclosure, render
from decisioning.catalogue.release import Release
from decisioning.catalogue.view import View
from decisioning.deciding.arbitration import NOTHING, Pick
from decisioning.deciding.arms import used
from decisioning.deciding.case import Case
from decisioning.deciding.ethics import Mood, may_change_slate
from decisioning.deciding.ranking import Ranking
from decisioning.deciding.reasons import Explained, reasons
from decisioning.deciding.screening import Screened
from decisioning.facts.forms import PRIOR_MODEL, Known, Scores, canonical
from decisioning.facts.schema import Facts
from decisioning.times import iso

CONFIDENCE = ((1000.0, "high"), (100.0, "medium"))
"""(rows behind a propensity, name of the confidence from there on); below all of them it is low."""


@dataclass(frozen=True)
class Computation:
    """Everything that one call of decide() computed before the draw; `scores` are those of `screened.rows`."""

    case: Case
    facts: Facts
    screened: Screened
    scores: Scores
    ranking: Ranking
    mood: Mood
    shadow: dict[str, Any] | None

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
        uplift = None if self.scores.uplift is None else _number_or_none(float(self.scores.uplift[row]))
        return {} if uplift is None else {"uplift": uplift}

    @property
    def scoring_model(self) -> str:
        """The model that scored, or PRIOR_MODEL if none was asked."""
        return self.case.context.assigned_model if self.screened.profiled else PRIOR_MODEL

    @property
    def mood_may_change_slate(self) -> bool:
        """Whether the emotion layer could change the slate, whatever is drawn."""
        ranking = self.ranking
        return may_change_slate(self.mood, ranking.slots, self.view, ranking.field, ranking.limits)


@dataclass(frozen=True)
class Decision:
    """A decision before it is committed.

    `record`: what the ledger keeps, enough to decide the same again; its bytes are the decision's. `account_contacts`:
    the reservations that belong to the account's stream as well. `computed`: how it came about.
    """

    record: dict[str, Any]
    account_contacts: tuple[dict[str, Any], ...]
    computed: Computation

    @property
    def answer(self) -> dict[str, Any]:
        """What is sent back, as JSON types."""
        answer: dict[str, Any] = self.record["answer"]
        return answer

    @property
    def gates(self) -> dict[str, int]:
        """Gate -> how many candidates it was the first to stop."""
        return self.computed.screened.gates

    def to_bytes(self) -> bytes:
        """Return the canonical bytes of the record."""
        return canonical(self.record)


def record(computed: Computation, picks: Sequence[Pick]) -> Decision:
    """Return the decision to commit: the record for the ledger, the answer, and the reservations of contacts."""
    chosen = [p for p in picks if p.candidate != NOTHING]
    offers = [_offer(computed, p, n) for n, p in enumerate(chosen)]
    contacts = [_contact(computed, p, o) for p, o in zip(chosen, offers, strict=True)]
    case, context = computed.case, computed.case.context
    body = {
        "decision_id": context.decision_id,
        "request": case.ask.model_dump(mode="json", exclude_defaults=True),
        "read": _versions_read(case.known),
        "decided_us": context.now_us,
        "environment": context.environment,
        "release": case.release.hash,
        "model": context.assigned_model,
        "paused": sorted(context.paused & case.release.actions.keys()),
        "supersedes": context.supersedes,
        "degraded": computed.degraded,
        "facts": dict(sorted(computed.facts.items())),
        "permissions": {p: a.cites for p, a in sorted(computed.screened.permissions.items()) if a.allowed},
        "scores": _scores(computed, chosen),
        **({"shadow": computed.shadow} if computed.shadow else {}),
        "picks": [_pick(computed, p) for p in picks],
        "contacts": contacts,
        "answer": _answer(computed, picks, offers),
    }
    account_contacts = (c for c, p in zip(contacts, chosen, strict=True) if computed.view.of_account[p.candidate])
    return Decision(body, tuple(account_contacts), computed)


def _versions_read(known: Known) -> dict[str, Any]:
    """Return the versions of the streams that were read; `linked` and `signals` only if there are any."""
    read = {"person": known.person.version, "account": known.account.version if known.account else None}
    more = {"linked": known.linked, "signals": dict(sorted(known.signals.items()))}
    return {**read, **{name: versions for name, versions in more.items() if versions}}


def _scores(computed: Computation, chosen: Sequence[Pick]) -> dict[str, Any]:
    shown = {p.candidate for p in chosen}
    index = computed.view.candidates[computed.screened.rows].tolist()
    rows = [n for n, i in enumerate(computed.screened.rows.tolist()) if i in shown]
    return {
        "candidates": index,
        "propensity": computed.scores.propensity.tolist(),
        "evidence": computed.scores.evidence.tolist(),
        "factors": {str(index[n]): list(computed.scores.factors[n]) for n in rows},
        **({} if computed.scores.upper is None else {"upper": computed.scores.upper.tolist()}),
        **(
            {}
            if computed.scores.uplift is None
            else {"uplift": [_number_or_none(u) for u in computed.scores.uplift.tolist()]}
        ),
        **({} if computed.scores.transparency is None else {"transparency": computed.scores.transparency.tolist()}),
    }


def _number_or_none(number: float) -> float | None:
    return None if isnan(number) else number


def _pick(computed: Computation, pick: Pick) -> dict[str, Any]:
    nothing = pick.candidate == NOTHING
    return {
        "placement": computed.case.ask.placements[pick.slot.placement].name,
        "rank": pick.slot.rank,
        "treatment": None if nothing else computed.view.ids[pick.candidate],
        "probability": pick.probability,
        **({"immature": {"share": pick.extra, "given_up_eur": pick.given_up}} if pick.extra or pick.given_up else {}),
    }


def _offer(computed: Computation, pick: Pick, n: int) -> dict[str, Any]:
    view, i = computed.view, pick.candidate
    row = int(np.searchsorted(computed.screened.rows, i))
    action, worth, propensity = view.actions[i], computed.screened.worth, computed.scores.propensity
    why = reasons_for(computed, i, row, computed.case.locale)
    content, tone = render(
        view.treatments[i], computed.mood.tone, computed.case.locale, computed.facts, computed.release.schema.features
    )
    return {
        "offer_id": f"{computed.case.context.decision_id}.{n}",
        "action": action.id,
        "treatment": view.ids[i],
        "issue": action.issue,
        "tier": action.tier,
        "rank": pick.slot.rank,
        "propensity": float(propensity[row]),
        **computed.uplift_of(row),
        "confidence": _confidence(float(computed.scores.evidence[row])),
        "value_eur": round(float(worth.value_eur[i]), 2),
        "price_eur": action.price_eur,
        "priority": worth.priority_of(i, float(computed.scores.ranking[row])),
        "probability": pick.probability,
        "tone": tone,
        "automation": action.effective_automation,
        "content": content,
        "content_ref": view.treatments[i].content_ref,
        "expires_at": iso(_expires_us(computed, i)),
        "reasons": why,
        **({"review": action.review, "contest": action.contest} if action.significant else {}),
    }


def reasons_for(computed: Computation, i: int, row: int, locale: str) -> list[dict[str, str]]:
    """Return why candidate `i` of the view, row `row` of the scores, was offered: only what counted in the arm."""
    explained = Explained(i, row, computed.screened, computed.scores, computed.facts, computed.case)
    return used(reasons(explained, locale), computed.screened.arm, computed.view.actions[i].tier)


def _expires_us(computed: Computation, i: int) -> int:
    view = computed.view
    return min(computed.case.now_us + view.channel.reservation_s * 1_000_000, int(view.ends_us[i]))


def _contact(computed: Computation, pick: Pick, offer: dict[str, Any]) -> dict[str, Any]:
    view, i = computed.view, pick.candidate
    return {
        "offer_id": offer["offer_id"],
        "action": offer["action"],
        "treatment": offer["treatment"],
        "group": view.actions[i].group,
        "issue": offer["issue"],
        "channel": view.channel.id,
        "at_us": computed.case.now_us,
        "reserved_until_us": _expires_us(computed, i),
        "counts_on": view.channel.counts_on,
        "state": "reserved",
    }


def _answer(computed: Computation, picks: Sequence[Pick], offers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    ask = computed.case.ask
    shown = iter(offers)
    placed: dict[int, list[dict[str, Any]]] = {n: [] for n in range(len(ask.placements))}
    empty: dict[int, str] = {}
    for pick in picks:
        if pick.candidate == NOTHING:
            empty[pick.slot.placement] = _why_empty(computed, pick)
        else:
            placed[pick.slot.placement].append(next(shown))
    subject = {"customer_id": ask.customer_id} if ask.customer_id else {"visitor_id": ask.visitor_id}
    return {
        "decision_id": computed.case.context.decision_id,
        **subject,
        "decided_at": iso(computed.case.now_us),
        "arm": computed.screened.arm,
        "mode": ask.mode,
        "environment": computed.case.context.environment,
        "placements": [
            {"name": p.name, "empty_reason": None if placed[n] else empty.get(n, "no_room"), "offers": placed[n]}
            for n, p in enumerate(ask.placements)
        ],
        "handover": {"reason": computed.mood.handover} if computed.mood.handover else None,
        "withheld": computed.screened.withheld_count,
        "model": computed.scoring_model,
        "release": computed.release.hash,
        "supersedes": computed.case.context.supersedes,
        "degraded": computed.degraded,
        **_disclosure(computed),
    }


def _disclosure(computed: Computation) -> dict[str, str]:
    """Return the disclosure that has to be made if a machine speaks, else nothing.

    A machine speaks on a channel with `machine: true`, or if the request says so.
    """
    if not (computed.case.ask.machine or computed.view.channel.machine):
        return {}
    return {"disclosure": disclosure(computed.release.catalogue.settings, computed.case.locale)}


def _why_empty(computed: Computation, pick: Pick) -> str:
    """Return why a slot shows nothing, as a code of the contract."""
    if computed.mood.silence_sales:
        return "silenced"
    if not (computed.screened.requested & pick.slot.members).any():
        return "no_candidates"
    if not (computed.screened.permitted & pick.slot.members).any():
        return "all_withheld"
    return "nothing_is_better" if pick.probability == 1.0 else "explored_nothing"


def _confidence(evidence: float) -> str:
    return next((name for floor, name in CONFIDENCE if evidence >= floor), "low")
