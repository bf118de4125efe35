"""A recorded decision made again: byte for byte from its recorded scores, or from other facts, scores or releases."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from decisioning.catalogue.release import Release
from decisioning.deciding.case import DecisionContext
from decisioning.deciding.engine import decide
from decisioning.deciding.record import Computation, Decision
from decisioning.facts.forms import Known, Scorer, Scores, Shadow, recorded_ask
from decisioning.facts.schema import Facts
from decisioning.records.formats import format_of


def replay(record: dict[str, Any], known: Known, release: Release) -> Decision:
    """Decide again from a ledger record: with the standing as read then, the release, and the recorded scores."""
    return decide_as(record, known, release, recorded_scorer(record), _recorded_shadow(record))


def decide_as(
    record: dict[str, Any], known: Known, release: Release, score: Scorer, shadow: Shadow | None = None
) -> Decision:
    """Decide what a recorded request asked for, at its time and with its draws, from what is passed as known."""
    context = DecisionContext(
        assigned_model=record["model"],
        now_us=record["decided_us"],
        decision_id=record["decision_id"],
        environment=record["environment"],
        paused=frozenset(record["paused"]),
        supersedes=record["supersedes"],
        shadow=shadow,
        trial=record.get("trial"),
        record_format=format_of(record),
    )
    return decide(recorded_ask(record["request"]), known, release, score, context)


def recomputed(record: dict[str, Any], known: Known, release: Release) -> Computation:
    """Return everything that the recorded decision computed, from the recorded scores."""
    return decide_as(record, known, release, recorded_scorer(record)).computed


def recorded_scorer(record: dict[str, Any]) -> Scorer:
    """Return a scorer that gives the recorded scores, for the candidates that were scored then."""
    recorded = record["scores"]
    place = {c: n for n, c in enumerate(recorded["candidates"])}
    factors = {int(c): tuple(names) for c, names in recorded["factors"].items()}

    def score(_: Facts, candidates: NDArray[np.int64]) -> Scores:
        rows = [place[int(c)] for c in candidates]

        def column(name: str) -> NDArray[np.float64]:
            return np.asarray([recorded[name][n] for n in rows], dtype=np.float64)

        return Scores(
            propensity=column("propensity"),
            evidence=column("evidence"),
            factors=tuple(factors.get(int(c), ()) for c in candidates),
            transparency=column("transparency").astype(np.int8) if "transparency" in recorded else None,
            upper=column("upper") if "upper" in recorded else None,
            uplift=column("uplift") if "uplift" in recorded else None,
        )

    return score


def _recorded_shadow(record: dict[str, Any]) -> Shadow | None:
    recorded = record.get("shadow")
    if recorded is None:
        return None
    propensities = dict(zip(record["scores"]["candidates"], recorded["propensity"], strict=True))

    def score(_: Facts, candidates: NDArray[np.int64]) -> Scores:
        propensity = np.asarray([propensities[int(c)] for c in candidates], dtype=np.float64)
        return Scores(propensity, np.zeros(len(propensity)), ((),) * len(propensity))

    return Shadow(recorded["model"], score)
