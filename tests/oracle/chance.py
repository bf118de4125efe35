"""What the oracle leaves to chance: how likely each candidate of a slot is to be drawn, and the draw."""

import hashlib
import math


def draw(slot):
    """The number of a slot in [0, 1), from the decision's id."""
    return (int(hashlib.sha256(f"d/{slot}".encode()).hexdigest()[:16], 16) >> 11) / 2**53


class Chance:
    """The commercial candidates that a slot could show, and showing nothing (None), which comes last."""

    def __init__(self, slate, names):
        self.slate, self.of, self.names = slate, slate.of, names
        self.action = {n: a for n, (a, _) in slate.passed.items()}
        told = {n for n, a in self.action.items() if self.of.profiled and self._clear(n, a)}
        self.evidence = {n: self.of.ask["evidence"][a["id"]] if n in told else 0.0 for n, a in self.action.items()}
        self.told = told

    def _clear(self, name, action):
        """Whether the model's own score counts: it is as transparent as the issue asks for."""
        floor = self.of.world["floors"].get(action["issue"], 1)
        return floor <= 1 or self.of.ask["scores"][name][1] >= floor

    def said(self, name):
        """What the channel says of a candidate, or of nothing."""
        own = self.of.channel["issues"].get(self.action[name]["issue"], {}) if name else {}
        return {**self.of.channel, **own}

    def gamma(self, name):
        """Infinite: never in the place of something better."""
        said = self.said(name)
        if self.of.arm == "random":
            return 0.0
        if said["gamma"] is None:
            return math.inf
        return said["gamma"] * (math.sqrt(self.rows()) if said["gamma_grows"] else 1.0)

    def rows(self):
        """Behind all actions that were scored, each once."""
        return max(sum({self.action[n]["id"]: rows for n, rows in self.evidence.items()}.values()), 1.0)

    def worth(self, name):
        """What the draw goes by: what is expected, or what may be at best where that is explored."""
        if name is None:
            return 0.0
        optimism, plain = self.said(name)["optimism"], self.of.arm == "propensity-only"
        if self.said(name)["gamma_grows"]:
            optimism *= math.sqrt(min(20_000 / self.rows(), 1.0))
        if not optimism or plain or name not in self.told or self.gamma(name) == math.inf:
            return self.slate.rank[name]
        given = self.of.ask["scores"][name][0]
        upper = min(1.0, given * self.of.ask["upper"][name])
        return self.of.priority(self.action[name], name, min(1.0, given + optimism * (upper - given)))

    def new(self, name):
        """Whether a candidate counts for more in the draw, as its action has only just begun."""
        launch = self.of.channel["launch"]
        if name is None or launch is None or not self.of.profiled or self.of.arm in ("random", "propensity-only"):
            return False
        started = self.action[name]["starts"] or 0
        return self.gamma(name) < math.inf and started > self.of.now - launch["days"] * 86_400_000_000

    def usual(self):
        """Inverse-gap weighting, where each candidate's own gamma weighs its gap, and what is new counts for more."""
        worth = {n: self.worth(n) for n in (*self.names, None)}
        worth |= {n: w / (1 - self.of.channel["launch"]["give_up"]) for n, w in worth.items() if self.new(n)}
        best = max(worth, key=worth.get)
        odds = dict.fromkeys(worth, 0.0)
        for name in worth.keys() - {best} if worth[best] > 0 else ():
            if (gamma := self.gamma(name)) < math.inf:
                odds[name] = 1 / (len(worth) + gamma * (worth[best] - worth[name]) / worth[best])
        return {**odds, best: 1 - math.fsum(odds.values())}

    def mixed(self):
        """The usual odds, of which a budget goes evenly to those of which too little is known."""
        odds, extra = self.usual(), self.of.channel["immature"]
        if extra is None or self.of.arm in ("random", "propensity-only"):
            return odds
        young = [n for n in self.names if n in self.told and self.evidence[n] < extra["mature_at"]]
        if not young:
            return odds
        return {n: p * (1 - extra["budget"]) + (n in young) * extra["budget"] / len(young) for n, p in odds.items()}
