"""How often the promotion gate promotes in simulated trials that are checked again and again.

`make test-long` tests the same trials.
"""

from collections.abc import Mapping

from tests.benchmarks.learning.parts import Figures, Line, Part, Run
from tests.training.peeking import BASE, COMPLAINTS, LIFTED, PEEK, PER_ARM, ever, outcome

TRIALS = 2_000
SAME, BETTER, HARMFUL = "A/A", "A/B, +10%", "A/B, +10% with twice the complaints"
OFTEN, ALWAYS = f"a look per {PEEK:,} decisions", "a look per decision, sales alone"


def look_often(sale: float, complaint: float, seed: int) -> Figures:
    """Return the shares of trials that are promoted and rolled back, with the guardrail."""
    promoted, rolled_back = outcome(TRIALS, sale, complaint, seed)
    return {"promoted": promoted, "rolled_back": rolled_back}


def look_always(sale: float, seed: int) -> Figures:
    """Return the share of trials shown to earn more at some decision; without guardrail, which could only lower it."""
    return {"promoted": ever(TRIALS, sale, seed)}


def _lines(results: Mapping[str, Figures]) -> list[Line]:
    lines = []
    for looks in (OFTEN, ALWAYS):
        for what, goal in ((SAME, "≤ 5%"), (BETTER, "≥ 90%"), (HARMFUL, "0%")):
            if figures := results.get(f"{what}, {looks}"):
                measure = f"{what}, {looks}, {PER_ARM:,} an arm: promoted of {TRIALS:,}"
                lines.append(Line(measure, f"{figures['promoted']:.2%}", goal, _met(what, figures["promoted"])))
    return lines


def _met(what: str, promoted: float) -> bool:
    return {SAME: promoted <= 0.05, BETTER: promoted >= 0.9, HARMFUL: promoted == 0.0}[what]


PROMOTION = Part(
    [
        Run(f"{SAME}, {OFTEN}", look_often, (BASE, COMPLAINTS, 0)),
        Run(f"{BETTER}, {OFTEN}", look_often, (LIFTED, COMPLAINTS, 10_000)),
        Run(f"{HARMFUL}, {OFTEN}", look_often, (LIFTED, 2 * COMPLAINTS, 20_000)),
        Run(f"{SAME}, {ALWAYS}", look_always, (BASE, 0)),
        Run(f"{BETTER}, {ALWAYS}", look_always, (LIFTED, 1)),
    ],
    _lines,
)
