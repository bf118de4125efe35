"""From what was computed to what is kept and answered: the ledger's record of a decision."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decisioning.catalogue.content import disclosure, render
from decisioning.catalogue.release import Release
from decisioning.deciding.arbitration import NOTHING, Pick
from decisioning.deciding.arms import used
from decisioning.deciding.contact import history_of
from decisioning.deciding.ethics import Mood
from decisioning.deciding.reasons import reasons
from decisioning.deciding.screening import Screened
from decisioning.facts.forms import PRIOR_MODEL, Ask, Decision, Known, Scores
from decisioning.facts.schema import Facts
from decisioning.times import iso

CONFIDENCE = ((1000.0, "high"), (100.0, "medium"))
"""Rows behind a propensity from which it is called so; below, low."""


@dataclass(frozen=True)
class Run:
    """Everything that one call of decide() computed; `rows` are the permitted candidates, in the order of `scores`."""

    ask: Ask
    known: Known
    release: Release
    screened: Screened
    rows: NDArray[np.int64]
    scores: Scores
    mood: Mood
    facts: Facts
    locale: str
    model: str
    now_us: int
    decision_id: str
    environment: str
    arm: str
    shadow: dict[str, Any] | None

    @property
    def degraded(self) -> list[str]:
        """What the decision had to do without; `transparency`: the model, where an issue asks for a clearer one."""
        stated = self.scores.transparency
        opaque = stated is not None and bool((stated < self.screened.view.transparency_floor[self.rows]).any())
        return list(dict.fromkeys((*self.known.degraded, *(("transparency",) if opaque else ()))))

    def uplift_of(self, row: int) -> dict[str, float]:
        """Of a row of the scores, by name; empty where it did not rank."""
        found = None if self.scores.uplift is None else _told(float(self.scores.uplift[row]))
        return {} if found is None else {"uplift": found}

    @property
    def served_by(self) -> str:
        """The model that scored, or the catalogue's priors where none did."""
        return self.model if self.screened.profiled else PRIOR_MODEL


def sealed(run: Run, picks: Sequence[Pick], paused: tuple[str, ...], supersedes: str | None) -> Decision:
    """The decision to commit."""
    chosen = [p for p in picks if p.candidate != NOTHING]
    offers = [_offer(run, p, n) for n, p in enumerate(chosen)]
    contacts = [_contact(run, p, o) for p, o in zip(chosen, offers, strict=True)]
    known = run.known
    record = {
        "decision_id": run.decision_id,
        "request": run.ask.model_dump(mode="json", exclude_defaults=True),
        "read": _read(known),
        "decided_us": run.now_us,
        "environment": run.environment,
        "release": run.release.hash,
        "model": run.model,
        "paused": list(paused),
        "supersedes": supersedes,
        "degraded": run.degraded,
        "facts": dict(sorted(run.facts.items())),
        "permissions": {p: a.cites for p, a in sorted(run.screened.permissions.items()) if a.allowed},
        "scores": _scores(run, chosen),
        **({"shadow": run.shadow} if run.shadow else {}),
        "picks": [_pick(run, p) for p in picks],
        "contacts": contacts,
        "answer": _answer(run, picks, offers, supersedes),
    }
    of_account = {
        o["offer_id"] for p, o in zip(chosen, offers, strict=True) if run.screened.view.of_account[p.candidate]
    }
    of_its_account = tuple(c for c in contacts if c["offer_id"] in of_account)
    return Decision(record, of_its_account, run.screened.gates)


def _read(known: Known) -> dict[str, Any]:
    """The versions of the streams that were read; `linked` and `signals` only where there are any, as ever before."""
    read = {"person": known.person.version, "account": known.account.version if known.account else None}
    more = {"linked": known.linked, "signals": dict(sorted(known.signals.items()))}
    return {**read, **{name: versions for name, versions in more.items() if versions}}


def _scores(run: Run, chosen: Sequence[Pick]) -> dict[str, Any]:
    shown = {p.candidate for p in chosen}
    index = run.screened.view.candidates[run.rows].tolist()
    factors = zip(run.rows.tolist(), index, run.scores.factors, strict=True)
    return {
        "candidates": index,
        "propensity": run.scores.propensity.tolist(),
        "evidence": run.scores.evidence.tolist(),
        "factors": {str(c): list(names) for i, c, names in factors if i in shown},
        **({} if run.scores.upper is None else {"upper": run.scores.upper.tolist()}),
        **({} if run.scores.uplift is None else {"uplift": [_told(u) for u in run.scores.uplift.tolist()]}),
        **({} if run.scores.transparency is None else {"transparency": run.scores.transparency.tolist()}),
    }


def _told(number: float) -> float | None:
    return None if isnan(number) else number


def _pick(run: Run, pick: Pick) -> dict[str, Any]:
    nothing = pick.candidate == NOTHING
    return {
        "placement": run.ask.placements[pick.slot.placement].name,
        "rank": pick.slot.rank,
        "treatment": None if nothing else run.screened.view.ids[pick.candidate],
        "probability": pick.probability,
        **({"immature": {"share": pick.extra, "given_up_eur": pick.given_up}} if pick.extra or pick.given_up else {}),
    }


def _offer(run: Run, pick: Pick, n: int) -> dict[str, Any]:
    view, i = run.screened.view, pick.candidate
    row = int(np.searchsorted(run.rows, i))
    action, worth, propensity = view.actions[i], run.screened.worth, run.scores.propensity
    why = reasons_for(run, i, row, run.locale)
    content, tone = render(view.treatments[i], run.mood.tone, run.locale, run.facts, run.release.schema.features)
    return {
        "offer_id": f"{run.decision_id}.{n}",
        "action": action.id,
        "treatment": view.ids[i],
        "issue": action.issue,
        "tier": action.tier,
        "rank": pick.slot.rank,
        "propensity": float(propensity[row]),
        **run.uplift_of(row),
        "confidence": _confidence(float(run.scores.evidence[row])),
        "value_eur": round(float(worth.value_eur[i]), 2),
        "price_eur": action.price_eur,
        "priority": worth.priority_of(i, float(run.scores.ranking[row])),
        "probability": pick.probability,
        "tone": tone,
        "automation": action.effective_automation,
        "content": content,
        "content_ref": view.treatments[i].content_ref,
        "expires_at": iso(_expires_us(run, i)),
        "reasons": why,
        **({"review": action.review, "contest": action.contest} if action.significant else {}),
    }


def reasons_for(run: Run, i: int, row: int, locale: str) -> list[dict[str, str]]:
    """Why candidate `i` of the view, row `row` of the scores, in this locale: what counted in the arm alone."""
    history = history_of(run.release, run.known, run.now_us)
    why = reasons(i, row, run.screened, run.scores, run.release.schema.features, locale, run.facts, history)
    return used(why, run.arm, run.screened.view.actions[i].tier)


def _expires_us(run: Run, i: int) -> int:
    view = run.screened.view
    return min(run.now_us + view.channel.reservation_s * 1_000_000, int(view.ends_us[i]))


def _contact(run: Run, pick: Pick, offer: dict[str, Any]) -> dict[str, Any]:
    view, i = run.screened.view, pick.candidate
    return {
        "offer_id": offer["offer_id"],
        "action": offer["action"],
        "treatment": offer["treatment"],
        "group": view.actions[i].group,
        "issue": offer["issue"],
        "channel": view.channel.id,
        "at_us": run.now_us,
        "reserved_until_us": _expires_us(run, i),
        "counts_on": view.channel.counts_on,
        "state": "reserved",
    }


def _answer(
    run: Run, picks: Sequence[Pick], offers: Sequence[dict[str, Any]], supersedes: str | None
) -> dict[str, Any]:
    ask = run.ask
    shown = iter(offers)
    placed: dict[int, list[dict[str, Any]]] = {n: [] for n in range(len(ask.placements))}
    empty: dict[int, str] = {}
    for pick in picks:
        if pick.candidate == NOTHING:
            empty[pick.slot.placement] = _why_empty(run, pick)
        else:
            placed[pick.slot.placement].append(next(shown))
    subject = {"customer_id": ask.customer_id} if ask.customer_id else {"visitor_id": ask.visitor_id}
    return {
        "decision_id": run.decision_id,
        **subject,
        "decided_at": iso(run.now_us),
        "arm": run.arm,
        "mode": ask.mode,
        "environment": run.environment,
        "placements": [
            {"name": p.name, "empty_reason": None if placed[n] else empty.get(n, "no_room"), "offers": placed[n]}
            for n, p in enumerate(ask.placements)
        ],
        "handover": {"reason": run.mood.handover} if run.mood.handover else None,
        "withheld": int(np.count_nonzero(run.screened.asked & ~run.screened.permitted)),
        "model": run.served_by,
        "release": run.release.hash,
        "supersedes": supersedes,
        "degraded": run.degraded,
        **_disclosure(run),
    }


def _disclosure(run: Run) -> dict[str, str]:
    """What has to be said where a machine speaks; nothing where it does not."""
    if not (run.ask.machine or run.screened.view.channel.machine):
        return {}
    return {"disclosure": disclosure(run.release.catalogue.settings, run.locale)}


def _why_empty(run: Run, pick: Pick) -> str:
    """Why a slot shows nothing: a code of the contract."""
    if run.mood.silence_sales:
        return "silenced"
    if not (run.screened.asked & pick.slot.members).any():
        return "no_candidates"
    if not (run.screened.permitted & pick.slot.members).any():
        return "all_withheld"
    return "nothing_is_better" if pick.probability == 1.0 else "explored_nothing"


def _confidence(evidence: float) -> str:
    return next((name for floor, name in CONFIDENCE if evidence >= floor), "low")
