"""What the guards of a trial claim: that a challenger does harm or none, and that its share is not the declared one."""

from functools import partial

import numpy as np

from tests.benchmarks.claims.figures import Case, Told
from training.learning.evidence import GUARD_ALPHA, SHARE_ALPHA, TrialOutcomes, harm_guard, share_is_off

LOOKS, LIMIT, BASE = 10, 0.01, 0.01
"""`LIMIT`: more complaints per decision than this is harm. `BASE`: complaints of the champion's decisions."""


def harm(seed: int, extra: float, customers: int, each: int) -> Told:
    """Return what ten looks tell of harm; customers differ in how often they complain.

    :param extra: complaints per decision that the challenger causes beyond the champion's
    """
    rng = np.random.default_rng(seed)
    unit = rng.permutation(np.repeat(np.arange(customers), each))
    n = len(unit)
    prone = rng.gamma(0.5, 2.0, customers)[unit]
    challenger = rng.random(n) < 0.5
    angry = rng.random(n) < prone * np.where(challenger, BASE + extra, BASE)
    state, guard = "open", None
    for upto in np.linspace(n / LOOKS, n, LOOKS).astype(int).tolist():
        codes = np.unique(unit[:upto], return_inverse=True)[1]
        guard = harm_guard("complaints", TrialOutcomes(challenger[:upto], 0.5, codes), angry[:upto], LIMIT)
        state = guard.state if state == "open" else state
    assert guard is not None
    false = state == "kept" if extra >= LIMIT else state == "breached"
    found = state == ("breached" if extra > LIMIT else "kept") if extra != LIMIT else None
    return Told(extra, guard.value, guard.low, guard.high, false, found)


def share(seed: int, real: float) -> Told:
    """Return whether the share of a trial is called off at any of 20 looks; the declared one is a half."""
    drawn = np.cumsum(np.random.default_rng(seed).random(10_000) < real)[499::500]
    off = any(share_is_off(int(k), n, 0.5) for k, n in zip(drawn, range(500, 10_001, 500), strict=True))
    wrong = real != 0.5
    return Told(real, drawn[-1] / 10_000, false_claim=None if wrong else off, found=off if wrong else None)


def _harm(world: str, extra: float, customers: int, each: int) -> Case:
    tell = partial(harm, extra=extra, customers=customers, each=each)
    return Case("harm in a trial", world, tell, 400, GUARD_ALPHA, (0.96, 1.0))


CASES = (
    _harm("none, independent rows", 0.0, 20_000, 1),
    _harm("none, 800 customers x 25", 0.0, 800, 25),
    _harm("at the limit, independent rows", LIMIT, 20_000, 1),
    _harm("at the limit, 800 customers x 25", LIMIT, 800, 25),
    _harm("twice the limit, 800 customers x 25", 2 * LIMIT, 800, 25),
    Case("share of a trial", "as declared", partial(share, real=0.5), 2_000, SHARE_ALPHA),
    Case("share of a trial", ".45 of a declared .5", partial(share, real=0.45), 500, SHARE_ALPHA),
)
