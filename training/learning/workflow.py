"""From a ledger to a registered model, and to what it is worth: one function per command, each with a plain result."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from decisioning.catalogue.check.words import hint
from decisioning.catalogue.files import read, unpack
from decisioning.catalogue.release import Release
from decisioning.errors import Refused
from features.decisions.log import LOG, DecisionLog, Progress
from features.ledger import Ledger
from features.matrix import FeatureMatrix
from training.evaluation.policies import PolicyValue, Question, Reward, as_log, greedy, model_propensities
from training.evaluation.policies import evaluate as value_policies
from training.fitting.frozen import check_frozen, frozen_actions, frozen_summary, with_frozen, with_frozen_actions
from training.fitting.intervals import MIN_EFFECTIVE
from training.fitting.propensity import Recipe, fit
from training.fitting.risk import RiskModel, one_action
from training.fitting.scoring import write_scores
from training.fitting.terms import check_terms
from training.fitting.tuning import TUNING, tune
from training.fitting.uplift import Contrasts, uplift_summary, with_effects
from training.learning.rankings import compare_rankings
from training.model.frame import Bools, TrainingSet
from training.model.model import PropensityModel
from training.model.predict import propensities
from training.registry import PROPENSITY, SENTIMENT, Registry
from training.reporting.cards import CARD, HeldOut, describe
from training.reporting.reporting import Made, Result, cross_fitted, flat, mean_worth, measure, register
from training.rows.contrasts import contrasts
from training.rows.logged import Choices, ReleaseOf, choices, training_rows

if TYPE_CHECKING:  # Feast takes seconds to import
    from features.profile.offline import History

TRAINED = "trained"
TRAIN_SHARE = 0.7
MIN_EVENTS = 20
"""Rows of either label without which no model is fitted."""


def train(
    workspace_data: Path,
    ledger: Ledger,
    release: Release,
    history: "History",
    registry: Registry,
    *,
    now_us: int,
    inputs: Sequence[str] | None = None,
    outcome: str | None = None,
    recipe: Recipe | None = None,
    tune_s: float | None = None,
    progress: Progress | None = None,
) -> Result:
    """A new version of the propensity model, registered as challenger; metrics are of rows that a twin never saw.

    The registered model learns from all rows; its metrics come from the same recipe on 70% of them, on which it was
    tuned, too.

    :param inputs: the features it may read; None: every one that a model may
    :param outcome: what counts as positive, instead of each action's own positive outcomes
    :param tune_s: how long to look for a better recipe; None: not at all
    :raises Refused: too little to learn from, an input that no model may read, or nothing to keep of a frozen action
    """
    recipe, tell = recipe or Recipe(), _Steps(progress, 3 if tune_s is None else 4)
    check_inputs(release, inputs)
    about = (workspace_data, ledger, release, history)
    kept = frozen_actions(release, _champion(registry), now_us)
    data = with_frozen_actions(_only(training_set(*about, now_us, outcome=outcome, progress=progress), inputs), kept)
    _enough(data)
    learn, held_out = data.split(TRAIN_SHARE, recipe.seed)
    documents: dict[str, Result] = {}
    if tune_s is not None:
        tell("tuning")
        tuned = tune(learn, recipe, seconds=tune_s)
        recipe, documents[TUNING] = tuned.recipe, tuned.document()
    tell("fitting on 70%")
    metrics = measure(held_out, propensities(fit(learn, recipe), held_out))
    tell("fitting on all rows")
    withheld = _withheld(*about, now_us, inputs, outcome)
    model = with_frozen(with_effects(fit(data, recipe), withheld), kept)
    tell("registering")
    params = {"held_out_rows": len(held_out), "outcome": outcome or "positive", **flat(recipe)}
    documents[CARD] = describe(model, data, HeldOut(held_out, metrics.predicted), release)
    made = Made(PROPENSITY, model, data, release.hash, params, metrics, documents)
    version = register(workspace_data, registry, made)
    registry.set_alias(PROPENSITY, "challenger", version)
    tell("done")
    tuned_how = documents[TUNING]["why"] if TUNING in documents else "not asked for"
    return made.result(version) | {
        "tuned": tuned_how,
        "uplift": uplift_summary(model, withheld),
        "frozen": frozen_summary(model),
    }


def training_set(
    workspace_data: Path,
    ledger: Ledger,
    release: Release,
    history: "History",
    now_us: int,
    *,
    outcome: str | None = None,
    progress: Progress | None = None,
) -> TrainingSet:
    """What models learn from, by the log of decisions, which is brought up to date first; as `training_rows`."""
    log = _log(workspace_data, ledger, release, now_us, progress)
    return training_rows(log, release, history, _release_of(ledger), outcome=outcome)


def _withheld(
    workspace_data: Path,
    ledger: Ledger,
    release: Release,
    history: "History",
    now_us: int,
    inputs: Sequence[str] | None,
    outcome: str | None,
) -> Contrasts:
    """What the log, as it was last brought up to date, tells of not showing an action."""
    data = contrasts(DecisionLog(workspace_data / LOG), release, history, _release_of(ledger), now_us, outcome=outcome)
    return replace(data, rows=_only(data.rows, inputs))


def _log(workspace_data: Path, ledger: Ledger, release: Release, now_us: int, progress: Progress | None) -> DecisionLog:
    """The log of decisions, brought up to date."""
    log = DecisionLog(workspace_data / LOG)
    log.update(ledger, release, now_us, progress)
    if progress:
        progress(0, 0, "features")
    return log


def _release_of(ledger: Ledger) -> ReleaseOf:
    """Read and not checked: an old release need not pass what is asked of a new one."""
    return lru_cache(lambda digest: Release(read(unpack(ledger.get_release(digest))), digest))


def train_risk(
    workspace_data: Path,
    ledger: Ledger,
    release: Release,
    history: "History",
    registry: Registry,
    *,
    outcome: str,
    feature: str,
    now_us: int,
    inputs: Sequence[str] | None = None,
    recipe: Recipe | None = None,
    progress: Progress | None = None,
) -> Result:
    """A model of P(outcome), registered as champion, and its score of every customer in feature `feature`.

    Metrics are of five folds, each judged by a model that did not see it. Model scores are no inputs: it would learn
    from itself. Whoever allows no profiling, or was erased or restricted, gets no score.

    :raises Refused: `feature` is not a float of source `model`, or nothing tells of `outcome` with and without it
    """
    recipe, tell = recipe or Recipe(), _Steps(progress, 4)
    _check_score(release, feature)
    check_inputs(release, inputs)
    names = [f.name for f in release.schema.learnable if f.source != "model" and (inputs is None or f.name in inputs)]
    about = (workspace_data, ledger, release, history)
    rows = _only(training_set(*about, now_us, outcome=outcome, progress=progress), names)
    _enough(rows)
    data = one_action(rows.x, rows.label, rows.feature_names)
    tell("fitting five folds")
    metrics = measure(data, cross_fitted(data, recipe))
    tell("fitting on all rows")
    model = fit(data, recipe)
    tell("registering")
    params = {"outcome": outcome, "feature": feature, **flat(recipe)}
    made = Made(feature.replace("_", "-"), model, data, release.hash, params, metrics)
    version = register(workspace_data, registry, made)
    registry.set_alias(made.name, "champion", version)
    tell("scoring")
    customers = write_scores(RiskModel(model), feature, ledger, release, history, now_us, progress)
    tell("done")
    return made.result(version) | {"outcome": outcome, "feature": feature, **customers}


def evaluate(
    workspace_data: Path,
    ledger: Ledger,
    release: Release,
    history: "History",
    *,
    now_us: int,
    reward: Reward = "outcome",
    outcome: str | None = None,
    recipe: Recipe | None = None,
    progress: Progress | None = None,
) -> Result:
    """What the trained policy, the logged one and each constant action are worth per decision, on the held-out 30%.

    The trained policy takes the permitted action of the highest expected reward, by a model of the other 70%.

    :raises Refused: the log cannot support any answer; where it cannot for one policy, that is said in its place
    """
    recipe, tell = recipe or Recipe(), _Steps(progress, 3)
    log = _log(workspace_data, ledger, release, now_us, progress)
    data = choices(log, release, history, _release_of(ledger), outcome=outcome)
    _enough(data.rows)
    if reward == "value_eur" and not data.rows.value_eur.any():
        raise Refused("off-policy value: no outcome in the log says what it was worth; ask for the reward `outcome`")
    question = Question(reward=reward, seed=recipe.seed)
    learn, held_out = _split(data, recipe.seed)
    as_log(held_out.rows, reward)  # refuses before anything is fitted
    tell("fitting on 70%")
    twin = fit(learn.rows, recipe)
    tell("valuing policies")
    expected = model_propensities(twin, held_out.rows) * mean_worth(learn.rows, reward)
    chosen = greedy(np.where(held_out.permitted, expected, -np.inf))
    report = value_policies(held_out.rows, {TRAINED: chosen}, question)
    tell("comparing rankings")
    withheld = _withheld(workspace_data, ledger, release, history, now_us, None, outcome)
    compared = compare_rankings(workspace_data, withheld, question, recipe, now_us)
    tell("done")
    return {
        "reward": reward,
        "release": release.hash,
        "data_hash": data.rows.digest(),
        "rows": len(data.rows),
        "held_out_rows": report.rows,
        "needed_effective_rows": MIN_EFFECTIVE,
        "logged": asdict(report.logged),
        "policies": [row for policy in report.policies for row in _rows(policy)],
        "winner": report.winner,
        "why": report.why,
        **compared,
    }


def promote(registry: Registry, release: Release, name: str = PROPENSITY, version: int | None = None) -> Result:
    """Makes a version the champion: the one named, else the challenger.

    :raises Refused: there is no challenger, the release does not declare what the model reads or asks for another
        one, or the model of messages does not beat the built-in scorer
    :raises NotFound: there is no such version
    """
    if version is None:
        version = registry.alias_version(name, "challenger")
        if version is None:
            raise Refused(f"{name} has no challenger: train one, or name a version")
    _check_promotion(registry, release, name, version)
    before = registry.alias_version(name, "champion")
    registry.set_alias(name, "champion", version)
    return {"model": f"{name}@{version}", "name": name, "version": version, "before": before}


def _check_promotion(registry: Registry, release: Release, name: str, version: int) -> None:
    if name.startswith(f"{SENTIMENT}-"):
        if not registry.load_sentiment(name, version).wins:
            raise Refused(f"{name}@{version} does not beat the built-in scorer: label more messages and train again")
        return
    known, model = set(FeatureMatrix(release.schema).names), registry.load(name, version)
    missing = [f for f in model.feature_names if f not in known]
    if missing:
        few = ", ".join(missing[:5])
        raise Refused(f"{name}@{version} reads what this release does not declare ({few}): train again")
    if name == PROPENSITY:
        check_terms(model, release, f"{name}@{version}")
        check_frozen(model, _champion(registry), release, f"{name}@{version}")


def _champion(registry: Registry) -> PropensityModel | None:
    version = registry.alias_version(PROPENSITY, "champion")
    return None if version is None else registry.load(PROPENSITY, version)


def check_inputs(release: Release, inputs: Sequence[str] | None) -> None:
    """Refused, with the reason, for a feature that no model may read."""
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
    """Tells where a command is; each step takes about as long."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def __call__(self, what: str) -> None:
        if self._progress:
            self._progress(self._done, self._total, what)
        self._done += 1


def _only(data: TrainingSet, inputs: Sequence[str] | None) -> TrainingSet:
    """The columns of some features alone."""
    if inputs is None:
        return data
    at = [n for n, name in enumerate(data.feature_names) if name.partition("=")[0] in inputs]
    return replace(data, x=data.x[:, at], feature_names=tuple(data.feature_names[n] for n in at))


def _enough(data: TrainingSet) -> None:
    events = int(data.label.sum())
    if min(events, len(data) - events) < MIN_EVENTS:
        raise Refused(
            f"too little to learn from: {len(data)} contacts whose outcome is known, {events} of them positive, and "
            f"{MIN_EVENTS} of both kinds are needed; import a log, or wait until windows have closed"
        )


def _check_score(release: Release, feature: str) -> None:
    found = release.schema.features.get(feature)
    if found is None or found.source != "model" or found.dtype != "float":
        raise Refused(f"{feature} is no score: declare it as a feature of dtype float and `source: model`, and release")


def _split(data: Choices, seed: int) -> tuple[Choices, Choices]:
    """As TrainingSet.split, with what was permitted."""
    rows = np.arange(len(data.rows))
    first = np.isin(rows, np.random.default_rng(seed).permutation(len(rows))[: round(TRAIN_SHARE * len(rows))])
    return _take(data, first), _take(data, ~first)


def _take(data: Choices, rows: Bools) -> Choices:
    return Choices(data.rows.take(rows), data.permitted[rows])


def _rows(value: PolicyValue) -> list[Result]:
    """A row per estimate of one policy, with its interval; without any, one that says why."""
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
