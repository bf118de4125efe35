"""A second statement of what still holds of a decision: for a repeat of its request, and when it is delivered.

It is written from the docstring of `decisioning.review.rechecking`, in the manner of `oracle` and `slate`.
"""

from tests.oracle import slate, worlds
from tests.oracle.oracle import Oracle


def holds(world, before, ask, decision):
    """Return what still holds, now that the world and what is known of the customer are `world` and `ask`.

    :param before: the request as it was when it was decided
    :param decision: its `offers` in order, each with id, name, place and until; `purposes` that it cites; `handover`
    """
    own = {offer["id"] for offer in decision["offers"]}
    less = {**ask, "person": without(ask["person"], own), "account": ask["account"] and without(ask["account"], own)}
    of = Oracle(world, less)
    open_to = slate.Slate(of, {n: c for n, c in world["candidates"].items() if next(of.gates(*c), None) is None})
    silence = slate.mood(Oracle(world, less))[0]
    states = {c["offer"]: c["state"] for c in ask["person"]["contacts"]}
    standing = []
    for offer in decision["offers"]:
        if stands(of, open_to, offer, states[offer["id"]], silence, decision):
            open_to.picked.append(offer["name"])
            standing.append(offer["id"])
    lapsed = [p for p in decision["purposes"] if not of.allowed.get(p, (False,))[0]]
    call = decision["handover"] is not None and called(world, before, less, of)
    everything = len(standing) == len(decision["offers"]) and call is (decision["handover"] is not None)
    return {"standing": standing, "call": call, "repeat": everything and not lapsed}


def without(subject, own):
    return {**subject, "contacts": [c for c in subject["contacts"] if c["offer"] not in own]}


def stands(of, open_to, offer, state, silence, decision):
    """Tell whether an offer may still be given, beside those that were found to stand before it."""
    name = offer["name"]
    if of.now >= offer["until"] or state in ("expired", "not_delivered") or name not in open_to.permitted:
        return False
    action, treatment = open_to.permitted[name]
    if offer["place"] not in treatment["placements"] or treatment["channel"] != of.ask["channel"]:
        return False
    if "profiling" in decision["purposes"] and not of.profiled:
        return False
    return not (silence and slate.sells(action)) and open_to.fits(name)


def called(world, before, ask, of):
    """Tell whether the facts of then, as far as they may be read now, still call a person."""
    facts, emotion = before["facts"], of.allowed.get("emotion", (True,))[0]
    restricted = any(s["restricted"] for s in (of.person, *of.visitors))
    if emotion and not restricted:
        return True
    if restricted:
        facts = {n: v for n, v in facts.items() if worlds.FEATURES.get(n, {}).get("tags") == ["request"]}
    elif not emotion:
        facts = {n: v for n, v in facts.items() if worlds.FEATURES.get(n, {}).get("tags") != ["emotion"]}
    then = Oracle(world, {**ask, "facts": facts})
    then.allowed = of.allowed
    return slate.mood(then)[3] is not None


def later(random, world, ask, decision, contacts):
    """Return the world and the request some time after a decision: much as they were, or with a few changes.

    :param contacts: those that the decision reserved for the person and for the account
    """
    ends = [offer["until"] for offer in decision["offers"]]
    now = random.choice((ask["now"], ask["now"] + 1, *(e + d for e in ends[:1] for d in (-1, -1, -1, 0))))
    facts = worlds._facts(random, now) if random.random() < 0.25 else ask["facts"]
    facts = {**facts, "mood": -0.9} if random.random() < 0.2 else facts
    person, account = changed(random, world, now, ask["person"], contacts[0]), ask["account"]
    paused = [random.choice(list(world["actions"]))] if random.random() < 0.1 else ask["paused"]
    return newer(random, world), {
        **ask,
        "now": now,
        "facts": facts,
        "person": person,
        "account": account and changed(random, world, now, account, contacts[1]),
        "paused": paused,
    }


def changed(random, world, now, subject, own):
    """Return a subject with the contacts that a decision reserved, and sometimes with what was told since."""
    state = random.choice(("reserved",) * 6 + ("seen", "expired", "not_delivered"))
    contacts = [*subject["contacts"], *({**c, "state": state} for c in own)]
    consents, more = subject["consents"], {}
    if random.random() < 0.2 and consents:
        told = random.choice(consents)
        no = {**told, "status": random.choice(("withdrawn", "objected")), "at": now, "recorded": now, "record": 99}
        consents = [no if c is told else c for c in consents]
    if random.random() < 0.25:
        like = random.choice([*own, worlds._contact(random, world, now, 90)])
        contacts.append({**like, "offer": "later", "at": now, "counts_on": "decided", "state": "seen"})
    if random.random() < 0.15:
        more["outcomes"] = [*subject["outcomes"], worlds._outcome(random, world, now)]
    if random.random() < 0.05:
        more[random.choice(("restricted", "erased"))] = True
    return {**subject, "contacts": contacts, "consents": consents, **more}


def newer(random, world):
    """Return the world, or a release after it: with another notice, or without a treatment."""
    if random.random() < 0.04:
        purpose = random.choice(list(world["purposes"]))
        changed = {**world["purposes"][purpose], "notice": "v3"}
        return {**world, "purposes": {**world["purposes"], purpose: changed}}
    if random.random() < 0.04:
        gone = random.choice(list(world["actions"].values()))
        actions = {n: a for n, a in world["actions"].items() if a is not gone}
        kept = {n: c for n, c in world["candidates"].items() if c[0] is not gone}
        return {**world, "actions": actions, "candidates": kept} if unnamed(world, gone) else world
    return world


def unnamed(world, action):
    """Tell whether a release may leave an action out: no rule of it names the action, nor its group or issue."""
    named = repr([world[s] for s in ("policies", "caps", "emotion", "protections", "bases")])
    amounts = repr([[a["value"], a["cost"], a["weights"]] for a in world["actions"].values()])
    return repr(action["id"]) not in named + amounts
