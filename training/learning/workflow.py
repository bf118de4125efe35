"""From the ledger to a registered model, and to the value of policies: a function per command, with a plain result."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np

from decisioning.catalogue.check.words import hint
from decisioning.catalogue.release import Release
from decisioning.errors import Refused
from decisioning.facts.schema import Feature
from features.decisions.log import DecisionLog, Progress
from features.decisions.parsing import NOTHING
from training.evaluation.policies import (
    PolicyValue,
    Question,
    Report,
    Reward,
    as_log,
    greedy,
    mean_rewards,
    model_propensities,
)
from training.evaluation.policies import evaluate as value_policies
from training.fitting.frozen import frozen_actions, frozen_summary, with_frozen, with_frozen_actions
from training.fitting.intervals import MIN_CUSTOMERS, MIN_EFFECTIVE
from training.fitting.predict import propensities
from training.fitting.propensity import Recipe, fit
from training.fitting.risk import RiskModel, one_action
from training.fitting.scoring import write_scores
from training.fitting.tuning import TUNING, tune
from training.fitting.uplift import Contrasts, uplift_summary, with_effects
from training.learning.context import LearningContext, reads_log
from training.learning.promotion import champion_model, promote
from training.learning.rankings import compare_rankings
from training.model.frame import TrainingSet, rarer_label, units_with
from training.registry import PROPENSITY
from training.reporting.cards import CARD, describe, describe_event
from training.reporting.evidence_text import left_out_why, rests_on
from training.reporting.held_out import HeldOut
from training.reporting.monitoring import untold_looks
from training.reporting.registration import (
    Result,
    TrainedModel,
    fit_event,
    measure,
    recipe_params,
    register,
)
from training.rows.choices import Choices, Drawn, drawn_rows, open_choices
from training.rows.contrasts import contrasts
from training.rows.logged import training_rows

TRAINED = "trained"
TRAIN_SHARE = 0.7
MIN_EVENTS = 20
"""The customers with a row of either label that a model needs at least."""


@reads_log
def train(
    context: LearningContext,
    *,
    now_us: int,
    inputs: Sequence[str] | None = None,
    outcome: str | None = None,
    recipe: Recipe | None = None,
    tune_s: float | None = None,
    progress: Progress | None = None,
) -> Result:
    """Train a new version of the propensity model and register it as challenger.

    The registered model learns from all rows. Its metrics come from a second model, fitted by the same recipe to the
    rows of 70% of the customers and judged on the others. The recipe is tuned on those 70%, too.

    :param inputs: the features it may read; None: every one that a model may
    :param outcome: what counts as positive, instead of each action's own positive outcomes
    :param tune_s: the seconds to look for a better recipe; None: not at all
    :raises Refused: too little to learn from, an input that no model may read, or nothing to keep of a frozen action
    """
    recipe, step = recipe or Recipe(), _Steps(progress, 3 if tune_s is None else 4)
    check_inputs(context.release, inputs)
    frozen = frozen_actions(context.release, champion_model(context.registry), now_us)
    _check_declared(outcome, context.release)
    data = training_set(context, now_us, outcome=outcome, progress=progress)
    data = with_frozen_actions(_only(data, inputs), frozen)
    _check_contacts(data, context.release)
    _check_enough(data)
    learn, held_out = data.split(TRAIN_SHARE, recipe.seed)
    documents: dict[str, Result] = {}
    if tune_s is not None:
        step("tuning")
        recipe, documents[TUNING] = _tuned(learn, recipe, tune_s)
    step("fitting on 70%")
    metrics = measure(held_out, propensities(fit(learn, recipe), held_out))
    step("fitting on all rows")
    withheld = _contrasts(context, now_us, inputs, outcome)
    model = with_frozen(with_effects(fit(data, recipe), withheld), frozen)
    step("registering")
    params = {**_counts(held_out), "outcome": outcome or "positive", **recipe_params(recipe)}
    untold = untold_looks(context.log, context.release, outcome)
    documents[CARD] = describe(model, data, HeldOut(held_out, metrics.predicted), context.release, untold)
    trained = TrainedModel(PROPENSITY, model, data, context.release.hash, params, metrics, documents)
    version = register(context.data, context.registry, trained)
    context.registry.set_alias(PROPENSITY, "challenger", version)
    step("done")
    tuning = documents.get(TUNING, {"why": "not asked for"})["why"]
    summary = {"tuned": tuning, "uplift": uplift_summary(model, withheld), "frozen": frozen_summary(model)}
    return trained.result(version) | summary | _approval(context, version)


def _approval(context: LearningContext, version: int) -> Result:
    """Return what is missing before a version may make decisions. Whoever trained it proposes it, and approves none."""
    why = context.why_not(PROPENSITY, version)
    return {} if why is None else {"approval": why}


def _counts(held_out: TrainingSet) -> dict[str, int]:
    return {"held_out_rows": len(held_out), "held_out_customers": held_out.customers}


def _tuned(learn: TrainingSet, recipe: Recipe, seconds: float) -> tuple[Recipe, Result]:
    """Return the recipe that tuning chose, and the document that says why."""
    tuned = tune(learn, recipe, seconds=seconds)
    return tuned.recipe, tuned.document()


def training_set(
    context: LearningContext,
    now_us: int,
    *,
    outcome: str | None = None,
    shared: bool = False,
    progress: Progress | None = None,
) -> TrainingSet:
    """Return the rows that models learn from, as `training_rows` does, after bringing the log of decisions up to date.

    :param outcome: the label is this outcome, instead of any positive one of the action
    :param shared: the outcome counts for every row whose window holds it, not only for the last contact before it
    """
    log, release = _updated_log(context, now_us, progress), context.release
    return training_rows(log, release, context.history, context.release_of, outcome=outcome, shared=shared)


def _check_declared(outcome: str | None, release: Release) -> None:
    """Raise Refused if no action declares the outcome."""
    declared = sorted({name for action in release.with_superseded.values() for name in action.outcomes.all})
    if outcome is not None and outcome not in declared:
        raise Refused(f"--outcome: no action declares {outcome}; they declare {', '.join(declared)}")


def _contrasts(context: LearningContext, now_us: int, inputs: Sequence[str] | None, outcome: str | None) -> Contrasts:
    """Return what the log, as it was last updated, shows of actions that were withheld."""
    data = contrasts(context.log, context.release, context.history, context.release_of, now_us, outcome=outcome)
    return replace(data, rows=_only(data.rows, inputs))


def _updated_log(context: LearningContext, now_us: int, progress: Progress | None) -> DecisionLog:
    log = context.updated_log(now_us, progress)
    if progress:
        progress(0, 0, "features")
    return log


@reads_log
def train_risk(
    context: LearningContext,
    *,
    outcome: str,
    feature: str,
    now_us: int,
    inputs: Sequence[str] | None = None,
    recipe: Recipe | None = None,
    progress: Progress | None = None,
) -> Result:
    """Train a model of P(outcome), make it champion, and write its score of every customer to `feature`.

    Every contact whose window holds the outcome is labelled with it, whichever contact or action it was told of.
    Metrics are of five folds, each judged by a model that did not see it; from 20,000 rows on, of the folds that the
    fit makes anyway. Scores of models are not inputs: the model would learn from itself. Nor is what is collected for a
    purpose. A customer who allows no profiling, or is erased or restricted, gets no score.

    :raises Refused: `feature` is not a float of source `model`, or the log does not hold `outcome` often enough
    """
    recipe, step, release = recipe or Recipe(), _Steps(progress, 3), context.release
    _check_score(release, feature)
    check_inputs(release, inputs)
    names = [f.name for f in release.schema.learnable if _may_foretell(release, f)]
    names = [name for name in names if inputs is None or name in inputs]
    data = _events(training_set(context, now_us, outcome=outcome, shared=True, progress=progress), names)
    step("fitting")
    model, metrics = fit_event(data, recipe)
    step("registering")
    params = {"outcome": outcome, "feature": feature, **recipe_params(recipe)}
    documents = {CARD: describe_event(model, data, metrics.predicted, release, outcome)}
    trained = TrainedModel(risk_name(feature), model, data, release.hash, params, metrics, documents)
    version = register_champion(context, trained, now_us)
    step("scoring")
    scores = write_champions_scores(context, trained.name, now_us, progress)
    step("done")
    return trained.result(version) | {"outcome": outcome, "feature": feature, **scores}


def write_champions_scores(
    context: LearningContext, name: str, now_us: int, progress: Progress | None = None
) -> dict[str, int]:
    """Write the scores of every customer by the risk model `name` that serves, and return the counts of `write_scores`.

    Nothing is written for models of other kinds.
    """
    features = [f.name for f in context.release.schema.features.values() if f.source == "model"]
    feature = next((feature for feature in features if risk_name(feature) == name), None)
    version = context.registry.alias_version(name, "champion")
    if feature is None or version is None:
        return {}
    model = RiskModel(context.registry.load(name, version))
    return write_scores(model, feature, context.ledger, context.release, context.history, now_us, progress)


def risk_name(feature: str) -> str:
    """Return the name of the models that score a feature."""
    return feature.replace("_", "-")


def _events(rows: TrainingSet, names: Sequence[str]) -> TrainingSet:
    """Return rows as those of one event, with these features; refuse too few of them."""
    rows = _only(rows, names)
    _check_enough(rows)
    return one_action(rows.x, rows.label, rows.feature_names, rows.unit)


def register_champion(context: LearningContext, trained: TrainedModel, now_us: int) -> int:
    """Register a model that serves at once, such as a risk model, and return its version."""
    version = register(context.data, context.registry, trained)
    promote(context, now_us, name=trained.name, version=version)
    return version


@reads_log
def evaluate(
    context: LearningContext,
    *,
    now_us: int,
    reward: Reward = "outcome",
    outcome: str | None = None,
    recipe: Recipe | None = None,
    progress: Progress | None = None,
) -> Result:
    """Value the trained policy, the logged one and each constant action per decision, on 30% of the customers.

    The trained policy takes in each slot, of what the slot could get, the action of the highest expected reward, by a
    model of the other 70%. If the log cannot value one of the policies, its row says why.

    :raises Refused: no action declares the outcome, or the log supports no answer at all
    """
    _check_declared(outcome, context.release)
    recipe, step = recipe or Recipe(), _Steps(progress, 3)
    log = _updated_log(context, now_us, progress)
    data = drawn_rows(log, context.release, context.history, context.release_of, now_us, outcome)
    question = Question(reward=reward, seed=recipe.seed)
    learn, held_out = _split(data, question, context, progress)
    step("fitting on 70%")
    model = fit(learn, recipe)
    step("valuing policies")
    expected = model_propensities(model, held_out.rows) * mean_rewards(learn, reward)
    chosen = greedy(np.where(held_out.permitted, expected, -np.inf))
    report = value_policies(held_out, {TRAINED: chosen}, question)
    step("comparing rankings")
    withheld = _contrasts(context, now_us, None, outcome)
    rankings = compare_rankings(context.data, withheld, question, recipe, now_us)
    step("done")
    rows = {"release": context.release.hash, "data_hash": data.rows.digest(), "rows": len(data.rows)}
    return {"reward": reward, **rows, **_value_summary(report, held_out.left_out), **rankings}


def _value_summary(report: Report, left_out: Mapping[str, int]) -> Result:
    return {
        "held_out_rows": report.rows,
        "decisions": report.decisions,
        "customers": report.customers,
        "needed_customers": MIN_CUSTOMERS,
        "needed_effective_rows": MIN_EFFECTIVE,
        "rests_on": rests_on(report.decisions, report.customers),
        "left_out": dict(left_out),
        "left_out_why": f"{left_out_why(left_out)} Decisions of customers held out alone are made again.",
        "logged": asdict(report.logged),
        "policies": [row for policy in report.policies for row in _policy_rows(policy)],
        "winner": report.winner,
        "why": report.why,
    }


def _policy_rows(value: PolicyValue) -> list[Result]:
    """Return a row per estimate of one policy, with its interval; or one row that says why there is none."""
    claim = {"against_logged": value.claim}
    if value.refused is not None:
        none = dict.fromkeys(("method", "value", "low", "high"))
        return [{"policy": value.name, **none, "effective_rows": value.effective, **claim, "refused": value.refused}]
    return [
        {
            "policy": value.name,
            "method": e.method,
            **asdict(e.interval),
            "effective_rows": e.effective,
            **claim,
            "refused": None,
        }
        for e in value.estimates
    ]


def _may_foretell(release: Release, feature: Feature) -> bool:
    """Tell whether a score of a model may read a feature: no other score, and nothing that needs a permission."""
    return feature.source != "model" and feature.name not in release.purposes_of


def check_inputs(release: Release, inputs: Sequence[str] | None) -> None:
    """Refuse, with the reason, a feature that no model may read."""
    schema = release.schema
    for name in inputs or ():
        if name not in schema:
            near = hint(name, [f.name for f in schema.learnable]) or "declare it first"
            raise Refused(f"there is no feature {name} to learn from ({near})")
        if schema[name].after_outcome:
            raise Refused(f"{name} is known only after the outcome: a model that reads it could never be used")
        if schema[name] not in schema.learnable:
            raise Refused(f"{name} must not be read by a model: see its dtype, tags and `model_input` in the catalogue")


class _Steps:
    """Reports which step a command has reached. Each step takes about as long."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._count = progress, total, 0

    def __call__(self, name: str) -> None:
        if self._progress:
            self._progress(self._count, self._total, name)
        self._count += 1


def _only(data: TrainingSet, inputs: Sequence[str] | None) -> TrainingSet:
    """Keep the columns of these features alone; all of them for None."""
    if inputs is None:
        return data
    at = [n for n, name in enumerate(data.feature_names) if name.partition("=")[0] in inputs]
    return replace(data, x=data.x[:, at], feature_names=tuple(data.feature_names[n] for n in at))


def _check_contacts(data: TrainingSet, release: Release) -> None:
    """Refuse a log without a contact, and name the training for what happens by itself if there is a score for it."""
    scores = [f.name for f in release.schema.of_source("model")]
    if scores and not any(action != NOTHING for action in data.actions):
        raise Refused(
            "the log holds no contact whose outcome is known, so there is no propensity to learn; for what customers "
            f"do by themselves, run: brain train risk --feature {scores[0]} --outcome OUTCOME"
        )


def _check_enough(data: TrainingSet) -> None:
    if not data.feature_names:
        raise Refused(
            "there is no feature to learn from: import or declare one that a model may read (see `model_input` in the "
            "catalogue), or name others with --inputs"
        )
    if rarer_label(data.label, data.unit) < MIN_EVENTS:
        with_it, without = (units_with(rows, data.unit) for rows in (data.label, ~data.label))
        raise Refused(
            f"too little to learn from: {len(data)} contacts whose outcome is known, {with_it} customers with a "
            f"positive one and {without} with none, and {MIN_EVENTS} of both kinds are needed; import a log, or wait "
            "until windows have closed"
        )


def _check_score(release: Release, name: str) -> None:
    feature = release.schema.features.get(name)
    if feature is None or feature.source != "model" or feature.dtype != "float":
        raise Refused(f"{name} is no score: declare it as a feature of dtype float and `source: model`, and release")


def _split(
    data: Drawn, question: Question, context: LearningContext, progress: Progress | None
) -> tuple[TrainingSet, Choices]:
    """Return the rows of 70% of the customers, and the choices of the others; refuse a log that supports no answer."""
    _check_enough(data.rows)
    if question.reward == "value_eur" and not data.rows.value_eur.any():
        raise Refused("off-policy value: no outcome in the log says what it was worth; ask for the reward `outcome`")
    customers = int(data.unit.max()) + 1
    first = np.zeros(customers, dtype=np.bool_)
    first[np.random.default_rng(question.seed).permutation(customers)[: round(TRAIN_SHARE * customers)]] = True
    learn = first[data.unit]
    held_out = open_choices(data, ~learn, context.ledger, context.release, context.release_of, progress)
    if not held_out.decisions:
        why = left_out_why(held_out.left_out)
        raise Refused(f"off-policy value: the log holds no decision to value policies by. {why}")
    as_log(held_out.rows, question.reward)
    return data.rows.take(learn), held_out
