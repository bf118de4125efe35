"""Explain a recorded decision for every candidate, by screening and deciding again from the ledger."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from decisioning.catalogue.release import Release
from decisioning.deciding.record import Computation
from decisioning.errors import NotFound, Refused
from decisioning.facts.forms import Known, canonical
from decisioning.facts.schema import Value
from decisioning.facts.standing_rules import NO_PAST
from decisioning.records.audiences import Audience, answer_for, figures_for
from decisioning.records.formats import JSON_FORMAT, format_of
from decisioning.review.counterfactual import Counterfactual, counterfactual
from decisioning.review.hints import hints
from decisioning.review.narrative import narrative, what_counted, what_was_left_out, whys_not
from decisioning.review.replaying import recomputed, replay
from features.ledger import Record
from features.ledger.as_of_decision import KnownAtDecisions, known_at_decision
from serving.brain.runtime import Brain

NOT_SHOWN: Final = "not shown: the customer asked so"
"""What stands where something would be named that was collected for a purpose that is not permitted."""


def explain(
    brain: Brain, decision_id: str, *, contributions: bool = False, audience: Audience = "company"
) -> dict[str, Any]:
    """Return the decision, its request, and every candidate with its factors or the gate that stopped it.

    It includes what the customer could change for another first offer, and a summary in words; `not_shown`: features
    that were not read, as what they were collected for was not permitted. Raises NotFound if there
    is no such decision, or if what it was made from was erased.

    :param contributions: whether to add what each feature added to the passed candidates' scores; it takes
        milliseconds for each
    :param audience: for whom it is
    """
    stream, body = _recorded(brain, decision_id)
    known = known_at_decision(brain.ledger, stream, body)
    release = brain.release(body["release"])
    computed = recomputed(body, known, release)
    hidden = sorted(computed.case.unreadable)
    alternative = _counterfactual(brain, body, known, release)
    candidates = _candidates(computed, body)
    hinted = hints(release, computed.case.ask)
    if contributions:
        _add_contributions(brain, computed, candidates)
    return {
        **answer_for(audience, body["answer"]),
        "request": body["request"],
        "facts": body["facts"],
        "read": body["read"],
        "permissions": body["permissions"],
        "paused": body["paused"],
        "picks": [figures_for(audience, pick) for pick in body["picks"]],
        "candidates": [figures_for(audience, candidate) for candidate in candidates],
        "asserted": _asserted(release, known, body),
        "counterfactual": _counterfactual_json(alternative),
        **({"hints": hinted} if hinted else {}),
        **({"not_shown": hidden} if hidden else {}),
        "text": narrative(computed, body["answer"], alternative, audience),
    }


@dataclass(frozen=True)
class CustomersStory:
    """A decision as its customer may hear it: treatment -> what counted for it, and why other things were left out.

    `profiled`: whether a personal score was computed. `refused`: the purposes for which nothing was read.
    """

    counted: dict[str, list[str]]
    left_out: str
    profiled: bool
    refused: tuple[str, ...]


def candidates_for_agents(brain: Brain, decision_id: str) -> list[dict[str, Any]]:
    """Return the candidates of an explanation as agents may see them, without what takes longer to find.

    Raises NotFound as `explain` does.
    """
    stream, body = _recorded(brain, decision_id)
    release = brain.release(body["release"])
    computed = recomputed(body, known_at_decision(brain.ledger, stream, body), release)
    return [figures_for("agent", candidate) for candidate in _candidates(computed, body)]


def story_for_customer(
    brain: Brain, record: Record, locale: str, before: KnownAtDecisions | None = None
) -> CustomersStory | None:
    """Return the story of a decision, or None if what it was made from is gone.

    :param before: reads what was known; one reads each record once for several decisions, the earliest first
    """
    if record.body is None or _read_erased(brain, record.body):
        return None
    body = record.body
    release = brain.release(body["release"])
    computed = recomputed(body, (before or KnownAtDecisions(brain.ledger)).known(record.stream, body), release)
    shown = [offer["treatment"] for placed in body["answer"]["placements"] for offer in placed["offers"]]
    counted = {treatment: what_counted(computed, treatment, locale, "customer") for treatment in shown}
    refused = tuple(sorted(computed.case.refused))
    return CustomersStory(counted, what_was_left_out(computed, locale), computed.screened.profiled, refused)


def _recorded(brain: Brain, decision_id: str) -> tuple[str, dict[str, Any]]:
    """Return the decision's stream and record; raises NotFound as `explain` does."""
    record = brain.ledger.lookup(f"decision:{decision_id}")
    if record is None:
        raise NotFound("decision_id", "no such decision was made here")
    if record.body is None:
        raise NotFound("decision_id", "the customer was erased, and this decision with them")
    if _read_erased(brain, record.body):
        why = "another id of the customer, or the account, was erased, and with it what this decision was made from"
        raise NotFound("decision_id", why)
    return record.stream, record.body


def _counterfactual(brain: Brain, body: dict[str, Any], known: Known, release: Release) -> Counterfactual | None:
    """Return the counterfactual, or None if there is none or the model that decided is gone."""
    try:
        return counterfactual(body, known, release, brain.model_of(release, body["model"]).score)
    except (NotFound, Refused):
        return None


def _counterfactual_json(alternative: Counterfactual | None) -> dict[str, Any]:
    if alternative is None:
        return {"found": False, "why": "none found"}
    changes = [
        {"consent" if c.consent else "fact": c.name, "was": c.was, "becomes": c.becomes} for c in alternative.changes
    ]
    offers = {"was": alternative.was, "becomes": alternative.becomes}
    return {"found": True, "changes": changes, "first_offer": offers}


def inputs_erased(brain: Brain, record: Record) -> bool:
    """Tell whether the decision's subject was erased, or since then another of its ids or the account."""
    return record.body is None or _read_erased(brain, record.body)


def _read_erased(brain: Brain, body: dict[str, Any]) -> bool:
    """Tell whether another stream that a decision read was erased since; what was erased before, it read as that."""
    read = body["read"]
    versions = dict(read.get("linked", {}))
    if read["account"] is not None:
        versions[brain.ledger.stream_of("account", body["request"]["account_id"])] = read["account"]
    standings = brain.ledger.read(*versions, rules=NO_PAST)
    return any(standing.erased and versions[standing.stream] < standing.version for standing in standings)


def recomputes(brain: Brain, record: Record, before: KnownAtDecisions | None = None) -> bool:
    """Tell whether deciding again gives the recorded decision byte for byte; raises Refused if it was erased.

    Its streams are folded up to the versions that it read; its release is read by hash, and its scores are the recorded
    ones.

    :param before: reads what was known; one for many decisions, in their order, reads each record once
    """
    if record.body is None:
        raise Refused("the decision was erased with its customer")
    release = brain.release(record.body["release"])
    before = before or KnownAtDecisions(brain.ledger)
    replayed = replay(record.body, before.known(record.stream, record.body, release.standing_rules), release)
    return replayed.to_bytes() == (canonical(record.body) if format_of(record.body) == JSON_FORMAT else record.raw)


def _candidates(computed: Computation, body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return every candidate by treatment: those that passed with their factors, the others with their gate.

    `silenced` are those that passed and would sell, where the customer's mood or words silence sales.
    """
    silenced, sells = computed.mood.silence_sales, computed.screened.view.sells_or_lends
    screened, picked = computed.screened, {p["treatment"]: p["probability"] for p in body["picks"]}
    passed = []
    for row, i in enumerate(screened.rows.tolist()):
        worth, propensity, name = screened.worth, float(computed.scores.propensity[row]), screened.view.ids[i]
        passed.append(
            {
                "treatment": name,
                "passed": True,
                "cites": screened.cites(i),
                "propensity": propensity,
                "evidence": float(computed.scores.evidence[row]),
                "value_eur": float(worth.value_eur[i]),
                "cost_eur": float(worth.cost_eur[i]),
                "context_weight": float(worth.weight[i]),
                "lever": float(worth.lever[i]),
                **computed.uplift_of(row),
                "priority": worth.priority_of(i, float(computed.scores.ranking[row])),
                "chosen": name in picked,
                "probability": picked.get(name),
                **({"silenced": True} if silenced and sells[i] else {}),
            }
        )
    stopped = (
        {"treatment": w.treatment, "passed": False, "gate": w.gate, "why": w.why, "facts": _shown(computed, w.facts)}
        for w in screened.withheld
    )
    texts = whys_not(computed, body["answer"]["placements"])
    every = ({**c, **({"text": texts[c["treatment"]]} if c["treatment"] in texts else {})} for c in (*passed, *stopped))
    return sorted(every, key=lambda c: str(c["treatment"]))


def _shown(computed: Computation, facts: Mapping[str, Value | None]) -> dict[str, Value | None]:
    """Return what a gate read, and of what may not be read that the customer asked so."""
    hidden = computed.case.unreadable
    return {name: NOT_SHOWN if name in hidden else value for name, value in facts.items()}


def _with_hidden(shares: dict[str, Any], hidden: frozenset[str]) -> dict[str, Any]:
    """Return what features contributed, with one sum for those that are missing because they may not be read."""
    features: dict[str, float] = {}
    for name, added in shares["features"].items():
        shown = NOT_SHOWN if name.partition("=")[0] in hidden else name
        features[shown] = features.get(shown, 0.0) + added
    return {**shares, "features": features}


def _add_contributions(brain: Brain, computed: Computation, candidates: list[dict[str, Any]]) -> None:
    """Add to passed candidates what each feature contributed; None where the prior was used instead of the model."""
    rows = {computed.view.ids[i]: (row, i) for row, i in enumerate(computed.screened.rows.tolist())}
    model = computed.case.context.assigned_model
    shares = brain.contributions(computed.release, model, computed.facts) if computed.screened.profiled else None
    stated = computed.scores.transparency
    for candidate in candidates:
        if candidate["passed"]:
            row, i = rows[candidate["treatment"]]
            opaque = stated is not None and stated[row] < computed.view.transparency_floor[i]
            added = None if shares is None or opaque else shares(computed.view.candidates[i])
            hidden = computed.case.unreadable
            candidate["contributions"] = _with_hidden(added, hidden) if added and hidden else added


def _asserted(release: Release, known: Known, body: dict[str, Any]) -> list[dict[str, str]]:
    """Return what the decision used on someone's assertion, without a record: features, legal bases and consents."""
    catalogue = release.catalogue
    features = [
        {"feature": f.name, "by": f.asserted_by}
        for f in catalogue.features
        if f.asserted_by and f.name in body["facts"]
    ]
    cited = set(body["permissions"].values())
    bases = [
        {"basis": b.id, "by": b.asserted_by} for b in catalogue.bases if b.asserted_by and f"basis:{b.id}" in cited
    ]
    standing = known.person
    consents = [
        {"consent": f"{c.purpose}/{c.channel}", "by": c.asserted_by}
        for c in standing.consents
        if c.asserted_by and f"consent:{c.purpose}/{c.channel}@{c.record}" in cited
    ]
    return [*features, *bases, *consents]
