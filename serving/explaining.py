"""Why, and why not: a recorded decision screened and decided again from the ledger, for every candidate."""

from typing import Any

import numpy as np

from decisioning.decision import Ask, Known, canonical
from decisioning.engine import replay, screened_for
from decisioning.errors import NotFound, Refused
from decisioning.identity import merged
from features.ledger import Record
from serving.runtime import Brain


def explain(brain: Brain, decision_id: str) -> dict[str, Any]:
    """The decision, its request, and every candidate: passed, with its factors, or the gate that stopped it."""
    record = brain.ledger.lookup(f"decision:{decision_id}")
    if record is None:
        raise NotFound("decision_id", "no such decision was made here")
    if record.body is None:
        raise NotFound("decision_id", "the customer was erased, and this decision with them")
    if _forgotten(brain, record.body):
        raise NotFound("decision_id", "a linked visitor was erased, and with them what this decision was made from")
    body = record.body
    return {
        **body["answer"],
        "request": body["request"],
        "facts": body["facts"],
        "read": body["read"],
        "permissions": body["permissions"],
        "paused": body["paused"],
        "picks": body["picks"],
        "candidates": _candidates(brain, record.stream, body),
        "asserted": _asserted(brain, record.stream, body),
    }


def known_then(brain: Brain, stream: str, body: dict[str, Any]) -> Known:
    """What was known when it was decided: the facts as served, and the standings at the versions that were read.

    The person's is merged with those of the visitors that were linked then.
    """
    read, account = body["read"], None
    if read["account"] is not None:
        account = brain.ledger.fold_at(
            brain.ledger.stream_of("account", body["request"]["account_id"]), read["account"]
        )
    visitors = [brain.ledger.fold_at(visitor, version) for visitor, version in read.get("linked", {}).items()]
    person = merged(brain.ledger.fold_at(stream, read["person"]), visitors)
    return Known(body["facts"], person, account, tuple(body["degraded"]), read.get("signals", {}))


def erased(brain: Brain, record: Record) -> bool:
    """Whether what the decision was made from is gone: with its own subject, or with a visitor linked to it then."""
    return record.body is None or _forgotten(brain, record.body)


def _forgotten(brain: Brain, body: dict[str, Any]) -> bool:
    return any(standing.erased for standing in brain.ledger.read(*body["read"].get("linked", ())))


def recomputes(brain: Brain, record: Record) -> bool:
    """Whether the recorded decision comes out again, byte for byte."""
    if record.body is None:
        raise Refused("the decision was erased with its customer")
    release = brain.release(record.body["release"])
    again = replay(record.body, known_then(brain, record.stream, record.body), release)
    return again.to_bytes() == canonical(record.body)


def _candidates(brain: Brain, stream: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    release = brain.release(body["release"])
    ask = Ask.model_validate_json(canonical(body["request"]))
    known = known_then(brain, stream, body)
    screened = screened_for(ask, known, release, now_us=body["decided_us"], paused=frozenset(body["paused"]))
    scores = dict(zip(body["scores"]["candidates"], body["scores"]["propensity"], strict=True))
    found = []
    for i in np.flatnonzero(screened.permitted).tolist():
        worth, propensity = screened.worth, scores[int(screened.view.candidates[i])]
        found.append(
            {
                "treatment": screened.view.ids[i],
                "passed": True,
                "propensity": propensity,
                "value_eur": float(worth.value_eur[i]),
                "cost_eur": float(worth.cost_eur[i]),
                "context_weight": float(worth.weight[i]),
                "lever": float(worth.lever[i]),
                "priority": worth.priority_of(i, propensity),
            }
        )
    stopped = (
        {"treatment": w.treatment, "passed": False, "gate": w.gate, "why": w.why, "facts": w.facts}
        for w in screened.withheld
    )
    return sorted([*found, *stopped], key=lambda c: str(c["treatment"]))


def _asserted(brain: Brain, stream: str, body: dict[str, Any]) -> list[dict[str, str]]:
    """What the decision took on someone's word: features, legal bases and consents stated, not recorded."""
    catalogue = brain.release(body["release"]).catalogue
    features = [
        {"feature": f.name, "by": f.asserted_by}
        for f in catalogue.features
        if f.asserted_by and f.name in body["facts"]
    ]
    cited = set(body["permissions"].values())
    bases = [
        {"basis": b.id, "by": b.asserted_by} for b in catalogue.bases if b.asserted_by and f"basis:{b.id}" in cited
    ]
    standing = known_then(brain, stream, body).person
    consents = [
        {"consent": f"{c.purpose}/{c.channel}", "by": c.asserted_by}
        for c in standing.consents
        if c.asserted_by and f"consent:{c.purpose}/{c.channel}@{c.record}" in cited
    ]
    return [*features, *bases, *consents]
