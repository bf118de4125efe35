"""The random part of the oracle: the probability of each candidate of a slot, and the draw."""

import hashlib
import math

from tests.oracle.oracle import in_32_bits


def draw(slot):
    """Return the slot's random number in [0, 1), which follows from the decision's id."""
    return (int(hashlib.sha256(f"d/{slot}".encode()).hexdigest()[:16], 16) >> 11) / 2**53


class Chance:
    """The commercial candidates that a slot could show, and None, which means showing nothing and comes last."""

    def __init__(self, slate, names):
        self.slate, self.of, self.names = slate, slate.of, names
        self.action = {n: a for n, (a, _) in slate.permitted.items()}
        by_model = {n for n, a in self.action.items() if self.of.profiled and self._transparent(n, a)}
        self.evidence = {n: self.of.ask["evidence"][a["id"]] if n in by_model else 0.0 for n, a in self.action.items()}
        self.by_model = by_model

    def _transparent(self, name, action):
        """Tell whether the model's own score counts: it is as transparent as the issue requires."""
        floor = self.of.world["floors"].get(action["issue"], 1)
        return floor <= 1 or self.of.ask["scores"][name][1] >= floor

    def settings(self, name):
        """Return the channel's settings for a candidate, or for showing nothing."""
        own = self.of.channel["issues"].get(self.action[name]["issue"], {}) if name else {}
        return {**self.of.channel, **own}

    def gamma(self, name):
        """Return gamma; infinite: never shown in place of something better."""
        settings = self.settings(name)
        if self.of.arm == "random":
            return 0.0
        if settings["gamma"] is None:
            return math.inf
        return settings["gamma"] * (math.sqrt(self.rows()) if settings["gamma_grows"] else 1.0)

    def rows(self):
        """Return the number of rows that the scores rest on, counting each action once."""
        return max(sum({self.action[n]["id"]: rows for n, rows in self.evidence.items()}.values()), 1.0)

    def worth(self, name):
        """Return the priority that the draw uses: the expected one, or an optimistic one where that is explored."""
        if name is None:
            return 0.0
        optimism, plain = self.settings(name)["optimism"], self.of.arm == "propensity-only"
        if self.settings(name)["gamma_grows"]:
            optimism *= math.sqrt(min(20_000 / self.rows(), 1.0))
        if not optimism or plain or name not in self.by_model or self.gamma(name) == math.inf:
            return self.slate.rank[name]
        score = self.of.ask["scores"][name][0]
        propensity, upper = in_32_bits(score), in_32_bits(min(1.0, score * self.of.ask["upper"][name]))
        return self.of.priority(self.action[name], name, min(1.0, propensity + optimism * (upper - propensity)))

    def new(self, name):
        """Tell whether a candidate counts for more in the draw because its action has only just begun."""
        launch = self.of.channel["launch"]
        if name is None or launch is None or not self.of.profiled or self.of.arm in ("random", "propensity-only"):
            return False
        started = self.action[name]["starts"] or 0
        return self.gamma(name) < math.inf and started > self.of.now - launch["days"] * 86_400_000_000

    def schedule(self):
        """Return inverse-gap weights, with each candidate's own gamma and the launch boost of new ones."""
        worth = {n: self.worth(n) for n in (*self.names, None)}
        worth |= {n: w / (1 - self.of.channel["launch"]["give_up"]) for n, w in worth.items() if self.new(n)}
        best = max(worth, key=worth.get)
        odds = dict.fromkeys(worth, 0.0)
        for name in worth.keys() - {best} if worth[best] > 0 else ():
            if (gamma := self.gamma(name)) < math.inf:
                odds[name] = 1 / (len(worth) + gamma * (worth[best] - worth[name]) / worth[best])
        return {**odds, best: 1 - math.fsum(odds.values())}

    def mixed(self):
        """Return the odds after a budget was taken from the schedule's and given evenly to the immature candidates."""
        odds, extra = self.schedule(), self.of.channel["immature"]
        if extra is None or self.of.arm in ("random", "propensity-only"):
            return odds
        immature = [n for n in self.names if n in self.by_model and self.evidence[n] < extra["mature_at"]]
        if not immature:
            return odds
        return {
            n: p * (1 - extra["budget"]) + (n in immature) * extra["budget"] / len(immature) for n, p in odds.items()
        }
