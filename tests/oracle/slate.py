"""The second half of the oracle: which permitted candidates are shown where, and with which probability."""

from tests.oracle.chance import Chance, draw
from tests.oracle.oracle import SELLS, TIERS, Oracle


def decide(world, ask):
    """Return what a decision must be, as a dict; its draws follow from its id, which is `d`."""
    of = Oracle(world, ask)
    placements = {name for name, _ in ask["placements"]}
    here = {n: c for n, c in world["candidates"].items() if c[1]["channel"] == ask["channel"]}
    candidates = {n: c for n, c in here.items() if set(c[1]["placements"]) & placements}
    stopped = {n: next(of.gates(*c), None) for n, c in candidates.items()}
    permitted = {n: c for n, c in candidates.items() if stopped[n] is None}
    silence, helping, tone, handover = mood(of)
    decision = {
        "withheld": {n: gate for n, gate in stopped.items() if gate},
        "permitted": {n: {p: of.allowed[p][1] for p in of.purposes(a)} for n, (a, _) in permitted.items()},
        "profiled": of.profiled,
        "arm": of.arm,
        "handover": handover,
    }
    slate = Slate(of, permitted)
    offers = shown_offers(slate, silence, helping, tone)
    return {
        **decision,
        "placements": offers,
        "chances": [slate.chance[o[0]] for placed in offers.values() for o in placed],
    }


def mood(of):
    """Return (silence sales, actions let through, tone, handover); without permission emotion counts as unknown."""
    if not of.allowed.get("emotion", (True,))[0]:
        emotions = [n for n, f in of.world["features"].items() if "emotion" in f["tags"]]
        of.facts, of.evaluated = {n: v for n, v in of.facts.items() if n not in emotions}, {}
    rules = [e for e in sorted(of.world["emotion"], key=lambda e: e["id"]) if of.value(e["when"], None) is True]
    helping = {a for e in rules for a in e["let_through"]}
    tone = next((e["tone"] for e in rules if e["tone"]), None)
    return (
        any(e["silence_sales"] for e in rules),
        helping,
        tone,
        next((e["handover"] for e in rules if e["handover"]), None),
    )


class Slate:
    """The permitted candidates, what each is worth, and those picked so far."""

    def __init__(self, of, permitted):
        self.of, self.permitted, self.picked, self.chance = of, permitted, [], {}
        self.worth = {n: of.priority(a, n) for n, (a, _) in permitted.items()}
        self.score = {n: of.propensity(a, n) for n, (a, _) in permitted.items()}
        self.rank = dict(self.worth)
        if of.arm == "propensity-only":
            better = [n for n, (a, _) in permitted.items() if a["tier"] == "commercial" and self.worth[n] > 0]
            self.rank |= {n: self.score[n] for n in better}

    def fits(self, name):
        """Tell whether a candidate fits beside those picked: each action once, groups and caps not exceeded."""
        action, others = self.permitted[name][0], [self.permitted[n][0] for n in self.picked]
        if any(t["id"] == action["id"] for t in others):
            return False
        alike = sum(t["group"] == action["group"] for t in others)
        if alike >= self.of.world["max_per_group"] and not self.of.ask["negotiation"]:
            return False
        return all(self._leaves_room(cap, action, others) for cap in self.of.world["caps"])

    def _leaves_room(self, cap, action, others):
        of, channel = self.of, self.of.ask["channel"]
        for subject in of.counted(cap, action):
            same = [
                t for t in others if subject in of.counted(cap, t) and key(cap, t, channel) == key(cap, action, channel)
            ]
            if of.room(cap, subject, action) <= len(same):
                return False
        return True

    def pick(self, names, slot):
        """Return the next candidate by tier, then chance or priority, then id; nothing commercial of no worth."""
        open_to = [n for n in names if self.permitted[n][0]["tier"] != "commercial" or self.rank[n] > 0]
        best = min(open_to, key=self.order, default=None)
        if best is None or self.permitted[best][0]["tier"] != "commercial":
            self.chance[best] = 1.0
            return best
        odds, number, cumulative = Chance(self, sorted(open_to)).mixed(), draw(slot), 0.0
        for name, p in odds.items():
            cumulative += p
            if number < cumulative:
                self.chance[name] = p
                return name
        raise AssertionError("chances that do not add up to one")

    def order(self, name):
        return TIERS.index(self.permitted[name][0]["tier"]), -self.rank[name], name

    def filled(self, candidates):
        """Return placement -> what its slots got, from the first; None for an empty slot, which ends the placement."""
        picks, first = {}, 0
        for place, limit in self.of.ask["placements"]:
            picks[place] = []
            while len(picks[place]) < limit and None not in picks[place]:
                open_to = [n for n in candidates if place in self.permitted[n][1]["placements"] and self.fits(n)]
                pick = self.pick(open_to, first + len(picks[place]))
                picks[place].append(pick)
                self.picked += [pick] if pick else []
            first += limit
        return picks


def key(cap, action, channel):
    """Return what candidates have in common that a cap counts together."""
    return {"channel": channel, "customer": "*", "action": action["id"]}.get(cap["count"]) or action[cap["count"]]


def shown_offers(slate, silence, helping, tone):
    """Return placement -> offers, after the emotion layer removed sales and let help through before the rest."""
    world, permitted = slate.of.world, slate.permitted
    held_help = {a for e in world["emotion"] for a in e["let_through"]}
    picks = slate.filled([n for n in permitted if permitted[n][0]["id"] not in held_help])
    if silence:
        picks = {p: [None if n and sells(permitted[n][0]) else n for n in names] for p, names in picks.items()}
    slate.picked = []
    first = {place: [] for place in picks}
    for name in sorted((n for n in permitted if permitted[n][0]["id"] in held_help & helping), key=slate.order):
        free = (p for p, limit in slate.of.ask["placements"] if len(first[p]) < limit)
        place = next((p for p in free if p in permitted[name][1]["placements"]), None)
        if place is not None and slate.fits(name):
            first[place].append(name)
            slate.picked.append(name)
            slate.chance[name] = 1.0
    for place, limit in slate.of.ask["placements"] if slate.picked else ():
        for name in picks[place]:
            if name is None or slate.fits(name):
                first[place].append(name)
                slate.picked += [name] if name else []
        picks[place] = first[place][:limit]
    return {place: [offer(slate, n, tone) for n in names if n] for place, names in picks.items()}


def sells(action):
    return action["issue"] in SELLS or action["credit"]


def offer(slate, name, tone):
    action, treatment = slate.permitted[name]
    spoken = tone if tone in treatment["tones"] else "neutral"
    return name, action["tier"], slate.score[name], slate.worth[name], action["price"], spoken
