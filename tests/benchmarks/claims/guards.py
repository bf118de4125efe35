"""What guards of a trial claim: harm or none, a share that is not the declared one, predictions that are off."""

from functools import partial

import numpy as np

from tests.benchmarks.claims.figures import Case, Told
from training.learning.evidence import (
    FAIR_RATIO,
    GUARD_ALPHA,
    SHARE_ALPHA,
    TrialOutcomes,
    calibration_guard,
    harm_guard,
    share_is_off,
)

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


def calibration(seed: int, ratio: float, customers: int, each: int) -> Told:
    """Return what ten looks tell of predictions; customers differ in how often they buy beyond what is predicted.

    :param ratio: the true rate, divided by the predicted one
    """
    rng = np.random.default_rng(seed)
    unit = rng.permutation(np.repeat(np.arange(customers), each))
    n, prone = len(unit), rng.gamma(2.0, 0.5, customers)[unit]
    predicted = rng.beta(2.0, 18.0, n)
    sold = rng.random(n) < np.minimum(ratio * predicted * prone, 1.0)
    breached, guard = False, None
    for upto in np.linspace(n / LOOKS, n, LOOKS).astype(int).tolist():
        trial = TrialOutcomes(np.ones(upto, dtype=np.bool_), 0.5, np.unique(unit[:upto], return_inverse=True)[1])
        guard = calibration_guard(trial, sold[:upto], predicted[:upto])
        breached |= guard.state == "breached"
    assert guard is not None
    off = not FAIR_RATIO[0] <= ratio <= FAIR_RATIO[1]
    return Told(ratio, guard.value, guard.low, guard.high, None if off else breached, breached if off else None)


def share(seed: int, real: float) -> Told:
    """Return whether the share of a trial is called off at any of 20 looks; the declared one is a half."""
    drawn = np.cumsum(np.random.default_rng(seed).random(10_000) < real)[499::500]
    off = any(share_is_off(int(k), n, 0.5) for k, n in zip(drawn, range(500, 10_001, 500), strict=True))
    wrong = real != 0.5
    return Told(real, drawn[-1] / 10_000, false_claim=None if wrong else off, found=off if wrong else None)


def _harm(world: str, extra: float, customers: int, each: int) -> Case:
    tell = partial(harm, extra=extra, customers=customers, each=each)
    return Case("harm in a trial", world, tell, 400, GUARD_ALPHA, (0.96, 1.0))


def _calibration(world: str, ratio: float, customers: int, each: int) -> Case:
    tell = partial(calibration, ratio=ratio, customers=customers, each=each)
    return Case("calibration in a trial", world, tell, 200, GUARD_ALPHA, (0.96, 1.0))


CASES = (
    _harm("none, independent rows", 0.0, 20_000, 1),
    _harm("none, 800 customers x 25", 0.0, 800, 25),
    _harm("at the limit, independent rows", LIMIT, 20_000, 1),
    _harm("at the limit, 800 customers x 25", LIMIT, 800, 25),
    _harm("twice the limit, 800 customers x 25", 2 * LIMIT, 800, 25),
    _calibration("right, independent rows", 1.0, 10_000, 1),
    _calibration("right, 500 customers x 25", 1.0, 500, 25),
    _calibration("at the limit, 500 customers x 25", FAIR_RATIO[1], 500, 25),
    _calibration("twice as much, 500 customers x 25", 2.0, 500, 25),
    Case("share of a trial", "as declared", partial(share, real=0.5), 2_000, SHARE_ALPHA),
    Case("share of a trial", ".45 of a declared .5", partial(share, real=0.45), 500, SHARE_ALPHA),
)
