"""From what a record keeps to what it says: the answer, the contacts, and the record as JSON types.

The same functions make them when a decision is made and when it is read back. Frozen with formats 1 and 2.
"""

from collections.abc import Mapping
from typing import Any, Final

from decisioning.records.columns import listed
from decisioning.records.kept import Kept, KeptPick
from decisioning.records.tables import ChannelTable, Offered, Tables
from decisioning.times import iso

_PRIOR_MODEL: Final = "prior@0"
CONFIDENCE: Final = ((1000.0, "high"), (100.0, "medium"))
"""(rows behind a propensity, name of the confidence from there on); below all of them it is low."""


def answer_of(kept: Kept, tables: Tables) -> dict[str, Any]:
    """Return what is sent back, as JSON types."""
    request, locale = kept.request, str(kept.facts["locale"])
    channel = tables.channel(request["channel"])
    expires: dict[int, str] = {}
    placed: list[list[dict[str, Any]]] = [[] for _ in request["placements"]]
    for n, pick in enumerate(kept.offers):
        expires_us = channel.expires_us(pick.row, kept.decided_us)
        if expires_us not in expires:
            expires[expires_us] = iso(expires_us)
        placed[pick.placement].append(_offer(n, pick, kept, tables, channel.offered[pick.row], expires[expires_us]))
    placements = zip(request["placements"], kept.empty, placed, strict=True)
    answer: dict[str, Any] = {
        "decision_id": kept.decision_id,
        **_subject(request),
        "decided_at": iso(kept.decided_us),
        "arm": kept.arm,
        "mode": request.get("mode", "live"),
        "environment": kept.environment,
        "placements": [{"name": p["name"], "empty_reason": why, "offers": offers} for p, why, offers in placements],
        "handover": {"reason": kept.handover} if kept.handover else None,
        "withheld": kept.withheld,
        "model": kept.model if kept.profiled else _PRIOR_MODEL,
        "release": tables.release.hash,
        "supersedes": kept.supersedes,
        "degraded": list(kept.degraded),
    }
    if request.get("machine") or channel.channel.machine:
        answer["disclosure"] = tables.words.disclosure(locale)
    return answer


def _subject(request: Mapping[str, Any]) -> dict[str, Any]:
    if request.get("customer_id"):
        return {"customer_id": request["customer_id"]}
    return {"visitor_id": request["visitor_id"]}


def _offer(n: int, pick: KeptPick, kept: Kept, tables: Tables, offered: Offered, expires: str) -> dict[str, Any]:
    at, locale = pick.at, str(kept.facts["locale"])
    content, tone = tables.words.content(offered.treatment, kept.tone, locale, kept.facts)
    uplift = None if kept.uplift is None else kept.uplift.item(at)
    offer = {
        "offer_id": f"{kept.decision_id}.{n}",
        "action": offered.action,
        "treatment": offered.treatment,
        "issue": offered.issue,
        "tier": offered.tier,
        "rank": pick.rank,
        "propensity": kept.propensity.item(at),
        **({} if uplift is None or uplift != uplift else {"uplift": uplift}),  # noqa: PLR0124 (NaN: unknown)
        "confidence": _confidence(kept.evidence.item(at)),
        "value_eur": pick.value_eur,
        "price_eur": offered.price_eur,
        "priority": pick.priority,
        "probability": pick.probability,
        "tone": tone,
        "automation": offered.automation,
        "content": content,
        "content_ref": offered.content_ref,
        "expires_at": expires,
        "reasons": [tables.words.reason(reason, locale, kept.facts) for reason in pick.reasons],
    }
    return {**offer, **offered.routes} if offered.routes else offer


def _confidence(evidence: float) -> str:
    for floor, name in CONFIDENCE:
        if evidence >= floor:
            return name
    return "low"


def contact_of(decision_id: str, n: int, pick: KeptPick, channel: ChannelTable, decided_us: int) -> dict[str, Any]:
    """Return the contact that a decision's offer number `n` reserves."""
    offered = channel.offered[pick.row]
    return {
        "offer_id": f"{decision_id}.{n}",
        "action": offered.action,
        "treatment": offered.treatment,
        "group": offered.group,
        "issue": offered.issue,
        "channel": channel.channel.id,
        "at_us": decided_us,
        "reserved_until_us": channel.expires_us(pick.row, decided_us),
        "counts_on": channel.channel.counts_on,
        "state": "reserved",
    }


def contacts_of(kept: Kept, tables: Tables) -> list[dict[str, Any]]:
    """Return the contacts that a decision reserves, one for each offer."""
    channel = tables.channel(kept.request["channel"])
    return [contact_of(kept.decision_id, n, p, channel, kept.decided_us) for n, p in enumerate(kept.offers)]


def record_of(kept: Kept, tables: Tables) -> dict[str, Any]:
    """Return the whole record as JSON types."""
    channel = tables.channel(kept.request["channel"])
    return {
        "decision_id": kept.decision_id,
        "request": kept.request,
        "read": kept.read,
        "decided_us": kept.decided_us,
        "environment": kept.environment,
        "release": tables.release.hash,
        "model": kept.model,
        **_drawn(kept),
        "paused": list(kept.paused),
        "supersedes": kept.supersedes,
        "degraded": list(kept.degraded),
        "facts": dict(sorted(kept.facts.items())),
        "permissions": kept.permissions,
        "scores": _scores(kept, channel),
        **({"shadow": {"model": kept.shadow[0], "propensity": kept.shadow[1].tolist()}} if kept.shadow else {}),
        "picks": [_pick(pick, kept, channel) for pick in kept.picks],
        "contacts": contacts_of(kept, tables),
        "answer": answer_of(kept, tables),
    }


def figures_of(kept: Kept, tables: Tables) -> dict[str, Any]:
    """Return what models are trained on: the parts of the record without texts, of the scores the propensities."""
    channel, request = tables.channel(kept.request["channel"]), kept.request
    placed: list[list[dict[str, Any]]] = [[] for _ in request["placements"]]
    for n, pick in enumerate(kept.offers):
        figures = {"propensity": kept.propensity.item(pick.at), "priority": pick.priority, "value_eur": pick.value_eur}
        placed[pick.placement].append({"offer_id": f"{kept.decision_id}.{n}", **figures})
    placements = zip(request["placements"], kept.empty, placed, strict=True)
    return {
        "decision_id": kept.decision_id,
        "request": request,
        "decided_us": kept.decided_us,
        "release": tables.release.hash,
        "model": kept.model,
        **_drawn(kept),
        "facts": kept.facts,
        "scores": {
            "candidates": channel.view.candidates[kept.rows].tolist(),
            "propensity": kept.propensity.tolist(),
        },
        **({"shadow": {"model": kept.shadow[0]}} if kept.shadow else {}),
        "picks": [_pick(pick, kept, channel) for pick in kept.picks],
        "contacts": contacts_of(kept, tables),
        "answer": {
            "arm": kept.arm,
            "model": kept.model if kept.profiled else _PRIOR_MODEL,
            "placements": [{"name": p["name"], "empty_reason": why, "offers": offers} for p, why, offers in placements],
            "handover": {"reason": kept.handover} if kept.handover else None,
        },
    }


def _drawn(kept: Kept) -> dict[str, Any]:
    """Return what was drawn: the trial of the model, and the unit for an arm; and what was counted for the odds."""
    drawn = {"trial": kept.trial, "unit": kept.unit, "counted": list(kept.counted) or None}
    return {name: what for name, what in drawn.items() if what is not None}


def _scores(kept: Kept, channel: ChannelTable) -> dict[str, Any]:
    candidates = channel.view.candidates
    shown = sorted(kept.offers, key=lambda pick: pick.row)
    return {
        "candidates": candidates[kept.rows].tolist(),
        "propensity": kept.propensity.tolist(),
        "evidence": kept.evidence.tolist(),
        "factors": {str(int(candidates[pick.row])): list(pick.factors) for pick in shown},
        **({} if kept.upper is None else {"upper": kept.upper.tolist()}),
        **({} if kept.uplift is None else {"uplift": listed(kept.uplift)}),
        **({} if kept.transparency is None else {"transparency": kept.transparency.tolist()}),
    }


def _pick(pick: KeptPick, kept: Kept, channel: ChannelTable) -> dict[str, Any]:
    drawn_from = pick.drawn_from
    return {
        "placement": kept.request["placements"][pick.placement]["name"],
        "rank": pick.rank,
        "treatment": channel.offered[pick.row].treatment if pick.row >= 0 else None,
        "probability": pick.probability,
        **({"empty_reason": pick.empty} if pick.empty else {}),
        **({"immature": {"share": pick.extra, "given_up_eur": pick.given_up}} if pick.extra or pick.given_up else {}),
        **({} if pick.odds is None else {"odds": pick.odds.tolist()}),
        **({} if drawn_from is None else {"drawn_from": channel.view.candidates[kept.rows[drawn_from]].tolist()}),
    }
