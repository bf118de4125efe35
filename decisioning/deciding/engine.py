"""decide(): the function that owns the order of a decision's steps. Pure: the same arguments give the same bytes."""

from collections.abc import Sequence

from decisioning.catalogue.release import Release
from decisioning.deciding import ethics
from decisioning.deciding.arbitration import NOTHING, Pick
from decisioning.deciding.case import Case, DecisionContext
from decisioning.deciding.ranking import draw, rank
from decisioning.deciding.record import Computation, Decision, record
from decisioning.deciding.scoring import score_permitted, score_permitted_rows, shadow_scores
from decisioning.deciding.screening import Screened, screen
from decisioning.errors import SealBroken
from decisioning.facts.forms import Ask, BlockScorer, Known, Scorer, Scores
from decisioning.facts.schema import Facts


def decide(ask: Ask, known: Known, release: Release, score: Scorer, context: DecisionContext) -> Decision:
    """Decide what to do next for one customer.

    `score` is asked at most once, about those who passed every filter and nobody else, and not at all if profiling is
    not allowed. Raises RequestError for an unknown channel, placement or purpose, and SealBroken if a score is no
    probability.
    """
    case = Case(ask, known, release, context)
    facts = case.facts()
    screened = screen(case, facts)
    scores = score_permitted(case, screened, facts, score)
    return _choose(case, facts, screened, scores)


def decide_block(cases: Sequence[Case], score: BlockScorer) -> list[Decision]:
    """Decide for several customers under one release, byte for byte as `decide` does for each of them.

    Each step is taken for all of them before the next, and `score` is asked once about all whose candidates passed
    alike. Raises as `decide` does.
    """
    facts = [case.facts() for case in cases]
    screened = [screen(*of) for of in zip(cases, facts, strict=True)]
    scores = score_permitted_rows(cases, screened, facts, score)
    return [_choose(*of) for of in zip(cases, facts, screened, scores, strict=True)]


def _choose(case: Case, facts: Facts, screened: Screened, scores: Scores) -> Decision:
    """Return the decision among the candidates that passed, by their scores."""
    ranking = rank(case, screened, scores)
    picks = draw(ranking, case.context.decision_id)
    mood = ethics.mood(case.release, facts, case.history, screened.permissions, case.ask.moment)
    shown = ethics.apply(mood, picks, ranking.slots, screened.view, ranking.field, ranking.limits)
    sealed = seal(shown, screened)
    shadow = shadow_scores(case, screened, facts)
    return record(Computation(case, facts, screened, scores, ranking, mood, shadow), sealed)


def seal(picks: Sequence[Pick], screened: Screened) -> list[Pick]:
    """Return the picks if screening permitted each of them and no action comes twice; raises SealBroken otherwise."""
    chosen = [pick.candidate for pick in picks if pick.candidate != NOTHING]
    actions = [screened.view.action[candidate] for candidate in chosen]
    if not all(screened.permitted[candidate] for candidate in chosen) or len(set(actions)) < len(actions):
        raise SealBroken("the slate holds a candidate that was not permitted; nothing was decided")
    return list(picks)
