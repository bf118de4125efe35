"""The second half of the oracle: who is shown where, once it is known who may be, and how likely that was."""

from tests.oracle.chance import Chance, draw
from tests.oracle.oracle import SELLS, TIERS, Oracle


def decide(world, ask):
    """What a decision has to be, as a dict; its draws follow from its id, which is `d`."""
    of = Oracle(world, ask)
    wanted = [name for name, _ in ask["placements"]]
    here = {n: c for n, c in world["candidates"].items() if c[1]["channel"] == ask["channel"]}
    asked = {n: c for n, c in here.items() if set(c[1]["placements"]) & set(wanted)}
    stopped = {n: next(of.gates(*c), None) for n, c in asked.items()}
    passed = {n: c for n, c in asked.items() if stopped[n] is None}
    silence, helping, tone, handover = mood(of)
    said = {
        "withheld": {n: gate for n, gate in stopped.items() if gate},
        "permitted": {n: {p: of.allowed[p][1] for p in of.purposes(a)} for n, (a, _) in passed.items()},
        "profiled": of.profiled,
        "arm": of.arm,
        "handover": handover,
    }
    slate = Slate(of, passed)
    offers = shown(slate, silence, helping, tone)
    return {**said, "placements": offers, "chances": [slate.chance[o[0]] for told in offers.values() for o in told]}


def mood(of):
    """What the emotion layer asks for; without the permission, what is felt is as if it were not known."""
    if not of.allowed.get("emotion", (True,))[0]:
        felt = [n for n, f in of.world["features"].items() if "emotion" in f["tags"]]
        of.facts, of.seen = {n: v for n, v in of.facts.items() if n not in felt}, {}
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
    """The candidates that passed, what each is worth, and what was taken so far."""

    def __init__(self, of, passed):
        self.of, self.passed, self.taken, self.chance = of, passed, [], {}
        self.worth = {n: of.priority(a, n) for n, (a, _) in passed.items()}
        self.score = {n: of.propensity(a, n) for n, (a, _) in passed.items()}
        self.rank = dict(self.worth)
        if of.arm == "propensity-only":
            better = [n for n, (a, _) in passed.items() if a["tier"] == "commercial" and self.worth[n] > 0]
            self.rank |= {n: self.score[n] for n in better}

    def fits(self, name):
        """Whether a candidate can be taken beside those that were: each action once, groups and caps not overrun."""
        action, taken = self.passed[name][0], [self.passed[n][0] for n in self.taken]
        if any(t["id"] == action["id"] for t in taken):
            return False
        if sum(t["group"] == action["group"] for t in taken) >= self.of.world["max_per_group"]:
            return False
        return all(self._leaves_room(cap, action, taken) for cap in self.of.world["caps"])

    def _leaves_room(self, cap, action, taken):
        of, channel = self.of, self.of.ask["channel"]
        for whose in of.counted(cap, action):
            same = [
                t for t in taken if whose in of.counted(cap, t) and key(cap, t, channel) == key(cap, action, channel)
            ]
            if of.room(cap, whose, action) <= len(same):
                return False
        return True

    def pick(self, names, slot):
        """By tier, then by chance or priority, then id; nothing commercial that is worth nothing."""
        open_to = [n for n in names if self.passed[n][0]["tier"] != "commercial" or self.rank[n] > 0]
        best = min(open_to, key=self.order, default=None)
        if best is None or self.passed[best][0]["tier"] != "commercial":
            self.chance[best] = 1.0
            return best
        odds, drawn, below = Chance(self, sorted(open_to)).mixed(), draw(slot), 0.0
        for name, p in odds.items():
            below += p
            if drawn < below:
                self.chance[name] = p
                return name
        raise AssertionError("chances that do not add up to one")

    def order(self, name):
        return TIERS.index(self.passed[name][0]["tier"]), -self.rank[name], name

    def filled(self, usual):
        """Placement -> what its slots got, from the first; None where one was left empty, which ends it."""
        picks, first = {}, 0
        for place, limit in self.of.ask["placements"]:
            picks[place] = []
            while len(picks[place]) < limit and None not in picks[place]:
                open_to = [n for n in usual if place in self.passed[n][1]["placements"] and self.fits(n)]
                pick = self.pick(open_to, first + len(picks[place]))
                picks[place].append(pick)
                self.taken += [pick] if pick else []
            first += limit
        return picks


def key(cap, action, channel):
    """What candidates share that fall under the same count of a cap."""
    return {"channel": channel, "customer": "*", "action": action["id"]}.get(cap["count"]) or action[cap["count"]]


def shown(slate, silence, helping, tone):
    """Placement -> offers, after the emotion layer has taken sales out and let help through before the rest."""
    world, passed = slate.of.world, slate.passed
    held = {a for e in world["emotion"] for a in e["let_through"]}
    picks = slate.filled([n for n in passed if passed[n][0]["id"] not in held])
    if silence:
        picks = {p: [None if n and sells(passed[n][0]) else n for n in names] for p, names in picks.items()}
    slate.taken = []
    first = {place: [] for place in picks}
    for name in sorted((n for n in passed if passed[n][0]["id"] in held & helping), key=slate.order):
        free = (p for p, limit in slate.of.ask["placements"] if len(first[p]) < limit)
        place = next((p for p in free if p in passed[name][1]["placements"]), None)
        if place is not None and slate.fits(name):
            first[place].append(name)
            slate.taken.append(name)
            slate.chance[name] = 1.0
    for place, limit in slate.of.ask["placements"] if slate.taken else ():
        for name in picks[place]:
            if name is None or slate.fits(name):
                first[place].append(name)
                slate.taken += [name] if name else []
        picks[place] = first[place][:limit]
    return {place: [offer(slate, n, tone) for n in names if n] for place, names in picks.items()}


def sells(action):
    return action["issue"] in SELLS or action["credit"]


def offer(slate, name, tone):
    action, treatment = slate.passed[name]
    said = tone if tone in treatment["tones"] else "neutral"
    return name, action["tier"], slate.score[name], slate.worth[name], action["price"], said
