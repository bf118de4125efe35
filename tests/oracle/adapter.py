"""Converts a world and a request to the engine's own forms: workspace YAML, standings, a request, a scorer."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from decisioning.catalogue.files import pack
from decisioning.catalogue.release import Release
from decisioning.deciding.case import DecisionContext
from decisioning.deciding.engine import decide
from decisioning.deciding.screening import screened_for
from decisioning.facts.concessions import Concession
from decisioning.facts.forms import Ask, Known, Negotiation, PlacementAsk, Scores
from decisioning.facts.handovers import OpenHandover
from decisioning.facts.identity import merge_elsewhere, merge_standings
from decisioning.facts.standing import Contact, Exclusion, Holder, Link, RecordedOutcome, Standing
from decisioning.review.rechecking import recheck
from decisioning.times import AS_RECORDED
from features.ledger import Fold, apply
from features.ledger.past.changes import PastChanges
from features.ledger.past.counted import Counted
from features.ledger.past.memory import Past
from features.ledger.past.selection import Selector, floor_of

_INFIX = {"and": "&&", "or": "||"}


def text(rule):  # noqa: PLR0911 - a case of the language each
    """Return a rule as the rule language writes it."""
    op, *args = rule
    if op == "const":
        return json.dumps(args[0]) if not isinstance(args[0], float) else f"({args[0]!r})"
    if op == "days":
        return f'duration("{args[0]}d")'
    if op == "fact":
        return args[0]
    if op == "count":
        return f'history({json.dumps(args[0]) if args[0] else "action"}, "{args[1]}", "{args[2]}d")'
    if op == "in":
        return f"({text(args[0])} in {json.dumps(args[1])})"
    if op == "starts":
        return f"{text(args[0])}.startsWith({json.dumps(args[1])})"
    parts = [text(a) for a in args]
    if op == "if":
        return f"({parts[0]} ? {parts[1]} : {parts[2]})"
    if op == "not":
        return f"!({parts[0]})"
    if op in ("known", "default", "min", "max"):
        return f"{op}({', '.join(parts)})"
    return "(" + f" {_INFIX.get(op, op)} ".join(parts) + ")"


def release(world):
    """Return the world as a release that was read from its bytes."""
    return Release.from_bytes(pack({"world.yaml": json.dumps(_catalogue(world))}))


def _catalogue(w):
    media = [{"medium": m, "needs": n, "text": "law"} for m, n in (w["country"] or {}).items()]
    return {
        "settings": _settings(w),
        "features": [{"name": n, **f} for n, f in w["features"].items()],
        "purposes": [
            {"id": p, "notice_version": v["notice"], "max_age_days": v["max_age_days"]}
            for p, v in w["purposes"].items()
        ],
        "bases": [_basis(b) for b in w["bases"]],
        "country_rules": [{"id": "here", "media": media}] if media else [],
        "channels": [_channel(n, c) for n, c in w["channels"].items()],
        "actions": [_action(a) for a in w["actions"].values()],
        "intents": [
            {"id": name, "title": {}, "issue": "service", "risk": risk, "examples": {}}
            for name, risk in w["intents"].items()
        ],
        "policies": [{**_attached(p), p["kind"]: text(p["rule"]), "level": p["level"]} for p in w["policies"]],
        "protections": [{"id": p["id"], "kind": "hardship", "when": text(p["when"])} for p in w["protections"]],
        "caps": [
            {**_attached(c), **_period(c), **{k: c[k] for k in ("count", "limit", "tiers", "channels")}}
            for c in w["caps"]
        ],
        "budgets": [{**_attached(b), "limit_eur": b["limit"] / 100, "days": b["days"]} for b in w["budgets"]],
        "arms": [{**a, "from": _iso(a["from"]), "until": _iso(a["until"])} for a in w["arms"]],
        "emotion": [{**e, "when": text(e["when"])} for e in w["emotion"]],
    }


def _settings(w):
    return {
        "time_zone": w["zone"],
        "time_zone_feature": w["zone_feature"],
        "max_per_group": w["max_per_group"],
        "gpc": w["gpc"],
        "transparency": w["floors"],
        "arm_salt": w["arm_salt"],
        "locales": ["en"],
        **({"age_feature": "age", "adult_age": 18} if w["age"] else {}),
        **({"country_rules": "here"} if w["country"] else {}),
    }


def _iso(us):
    return None if us is None else (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)).isoformat()


def _attached(record):
    key, names = record["attach"]
    return {"id": record["id"], "attach": "all" if key == "all" else {key: names}}


def _period(c):
    return {"per": c["per"]} if c["per"] else {"window_days": c["days"]}


def _basis(b):
    soft = b.get("soft")
    terms = soft and {
        "customer": text(soft["rules"][0]),
        "opt_out_offered": text(soft["rules"][1]),
        "groups": soft["groups"],
    }
    return {**{k: b[k] for k in ("id", "purpose", "basis", "channels")}, "text": "law", "soft_opt_in": terms}


def _channel(name, c):
    hours = c["quiet"] and {"from": c["quiet"][0], "to": c["quiet"][1]}
    gamma = {} if c["gamma"] is None else {"gamma": c["gamma"]}
    gamma |= {k: c[k] for k in ("gamma_grows", "optimism", "issues", "immature", "launch")}
    plain = {k: c[k] for k in ("direction", "medium", "placements", "human", "purposes")}
    return {"id": name, **plain, **gamma, "quiet_hours": hours}


def _action(a):
    plain = (
        "id",
        "issue",
        "group",
        "tier",
        "scope",
        "credit",
        "significant",
        "automation",
        "intent",
        "purposes",
        "prior",
        "suppress",
    )
    stated = {"basis": "b", "review": "write to us", "contest": "write to us"} if a["stated"] else {}
    return {
        **{k: a[k] for k in plain},
        **stated,
        "price_eur": a["price"],
        "gives_eur": a["gives"] / 100,
        "starts_at": _iso(a["starts"]),
        "ends_at": _iso(a["ends"]),
        "value": _amount(a["value"]),
        "cost": _amount(a["cost"]),
        "lever": [{"factor": v["factor"], "from": _iso(v["from"]), "until": _iso(v["until"])} for v in a["levers"]],
        "context_weights": [{"when": text(v["when"]), "factor": v["factor"]} for v in a["weights"]],
        "treatments": [_treatment(t) for t in a["treatments"]],
    }


def _amount(amount):
    return {"expression": text(amount["rule"]), "typical": amount["typical"]} if "rule" in amount else amount["typical"]


def _treatment(t):
    content = {"en": {"title": "For you " + " ".join(f"{{{n}}}" for n in t["names"])}}
    plain = {k: t[k] for k in ("id", "channel", "placements", "claims")}
    return {**plain, "content": content, "tone": dict.fromkeys(t["tones"], content)}


def standing(s):
    """Return a subject's own standing."""
    outcomes = {}
    for action, outcome, at in s["outcomes"]:
        outcomes[action] = (*outcomes.get(action, ()), RecordedOutcome(action, outcome, at))
    joined = [*(v["stream"] for v in s["visitors"] if v["joined"]), *([s["joined"]] if s["joined"] else [])]
    return Standing(
        s["stream"],
        1,
        _consents(s),
        tuple(_contact(c) for c in s["contacts"]),
        outcomes,
        erased=s["erased"],
        restricted=s["restricted"],
        links=tuple(Link(name, "customer", "test", 1, True) for name in sorted(joined)),
        holder=Holder(s["holder"], 1, True) if s["holder"] else None,
        handovers=(OpenHandover("h", "c", "opened", 0),) if s["handover"] else (),
        concessions=tuple(_concession(c) for c in s["concessions"]),
        exclusions=tuple(Exclusion(action, 1, True) for action in s["excluded"]),
    )


def merged(s, of=standing):
    """Return a subject's standing, merged with those of the other identifiers of the same person.

    :param of: makes the standing of each
    """
    own, visitors, elsewhere = of(s), [of(v) for v in s["visitors"]], [of(v) for v in s["elsewhere"]]
    return merge_elsewhere(own, elsewhere) if elsewhere else merge_standings(own, visitors)


def _consents(s):
    """Return the consents that a ledger's stream holds after these records."""
    fold, counted = Fold(s["stream"]), Counted(AS_RECORDED)
    for c in sorted(s["consents"], key=lambda c: c["record"]):
        plain = {k: c[k] for k in ("purpose", "channel", "status")}
        body = {**plain, "source": "test", "notice_version": c["notice"], "expires_us": c["expires"]}
        at_us, body = counted.of("consent", body, c["at"], c.get("recorded", c["at"]))
        fold = apply(fold, "consent", body, c["record"], at_us)
    return fold.consents


def bounded(of, now_us):
    """Return what makes a subject's standing with those outcomes alone that decisions by a release read."""
    selector = Selector(of.standing_rules)

    def bounded_standing(s):
        own, past = standing(s), Past()
        for outcome in (outcome for outcomes in own.outcomes.values() for outcome in outcomes):
            past.add(PastChanges(outcomes=((outcome, 1),)))
        times = selector.make(past, floor_of(now_us, now_us, own.rule)).times
        outcomes = {}
        for (action, outcome), when in times.items():
            outcomes.setdefault(action, []).extend(RecordedOutcome(action, outcome, at) for at in when)
        return replace(own, outcomes={action: tuple(those) for action, those in outcomes.items()})

    return bounded_standing


def _concession(c):
    words = {"offer_id": c["offer"], "action": c["action"], "group": c["group"], "issue": c["issue"]}
    return Concession(**words, cents=c["cents"], at_us=c["at"], until_us=c["until"], given=c["given"])


def _contact(c):
    return Contact(
        offer_id=c["offer"],
        action=c["action"],
        treatment="t",
        group=c["group"],
        issue=c["issue"],
        channel=c["channel"],
        at_us=c["at"],
        reserved_until_us=c["until"],
        counts_on=c["counts_on"],
        state=c["state"],
    )


def known(ask, of=standing):
    """Return what the brain would have read for this request; `of` makes the standing of each subject."""
    return Known(ask["facts"], merged(ask["person"], of), ask["account"] and of(ask["account"]))


def request(ask):
    asked = ask["negotiation"]
    placements = tuple(PlacementAsk(name=n, limit=limit) for n, limit in ask["placements"])
    return Ask(
        request_id="r",
        customer_id="c",
        channel=ask["channel"],
        placements=placements,
        consent_platform=ask["platform"],
        issues=tuple(ask["issues"]),
        negotiation=asked and Negotiation(take=asked["take"], instead_of=tuple(asked["instead_of"])),
    )


def permitted(of, ask):
    """Return the treatments that pass every filter."""
    screened = screened_for(request(ask), known(ask), of, now_us=ask["now"], paused=frozenset(ask["paused"]))
    return {screened.view.ids[i] for i in np.flatnonzero(screened.permitted)}


def decision(of, ask, seed="d", read=standing, **context):
    """Return the engine's decision with the scores that come with the request; `read` makes the standings.

    `context`: more of the DecisionContext.
    """
    names = [f"{a.id}.{t.id}" for a, t in of.candidates]

    def score(_facts, candidates):
        wanted = [names[c] for c in candidates.tolist()]
        scores = np.asarray([ask["scores"][n] for n in wanted])
        evidence = np.asarray([ask["evidence"][n.partition(".")[0]] for n in wanted])
        upper = np.minimum(scores[:, 0] * [ask["upper"][n] for n in wanted], 1.0)
        return Scores(scores[:, 0], evidence, ((),) * len(wanted), scores[:, 1].astype(np.int8), upper)

    more = {"assigned_model": "m", "now_us": ask["now"], "decision_id": seed, "paused": frozenset(ask["paused"])}
    return decide(request(ask), known(ask, read), of, score, DecisionContext(**more, **context))


def rechecked(of, record, ask):
    """Return what the engine says still holds of a recorded decision, in the form of `again.holds`."""
    result = recheck(record, known(ask), of, ask["now"], frozenset(ask["paused"]))
    own = [c["offer_id"] for c in record["contacts"]]
    called = record["answer"]["handover"] is not None and result.call_holds
    return {
        "standing": [offer_id for offer_id in own if offer_id not in result.stopped],
        "call": called,
        "repeat": result.may_be_repeated,
    }


def decided(of, ask):
    """Return the engine's decision in the oracle's form, from outcomes that a standing of bounded size holds."""
    read = bounded(of, ask["now"])
    screened = screened_for(request(ask), known(ask, read), of, now_us=ask["now"], paused=frozenset(ask["paused"]))
    answer = decision(of, ask, read=read).answer
    return {
        "withheld": {w.treatment: w.gate for w in screened.withheld},
        "permitted": {screened.view.ids[i]: screened.cites(i) for i in np.flatnonzero(screened.permitted).tolist()},
        "profiled": screened.profiled,
        "arm": answer["arm"],
        "handover": answer["handover"] and answer["handover"]["reason"],
        "placements": {p["name"]: [_offer(o) for o in p["offers"]] for p in answer["placements"]},
        "chances": [o["probability"] for p in answer["placements"] for o in p["offers"]],
    }


def _offer(o):
    return o["treatment"], o["tier"], o["propensity"], o["priority"], o["price_eur"], o["tone"]
