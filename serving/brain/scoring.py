"""From facts to propensities: a trained model over a release's candidates, or the priors of its catalogue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from decisioning.catalogue.actions import Action
from decisioning.catalogue.release import Release
from decisioning.facts.clauses_2 import clauses_of
from decisioning.facts.forms import PRIOR_MODEL, Scorer, Scores
from decisioning.facts.schema import Facts
from decisioning.records.formats import NEWEST, tables_for
from decisioning.records.wording_2 import DirectedWords
from features.matrix import FeatureMatrix
from serving.brain.trials import Model
from training.registry import PROPENSITY, Registry, propensity_name

if TYPE_CHECKING:  # LightGBM takes seconds to import, and priors do without
    from training.model.model import PropensityModel


def load_model(registry: Registry, release: Release, version: int | None) -> Model:
    """Return a version of the propensity model over the release's candidates, or the catalogue's priors for None.

    Raises NotFound or Refused if the version's sealed copy is missing or is not what was registered.
    """
    if version is None:
        return Model(propensity_name(None), prior_scorer(release))
    scorer = model_scorer(release, registry.load(PROPENSITY, version))
    return Model(propensity_name(version), scorer, scorer.rows)


def version_of(name: str) -> int | None:
    """Return the version that a name such as `propensity@7` gives, or None for the catalogue's priors."""
    return None if name == PRIOR_MODEL else int(name.rpartition("@")[2])


def prior_scorer(release: Release) -> Scorer:
    """Return a scorer of catalogue priors: no evidence, and fully transparent."""
    prior = np.asarray([release.catalogue.prior(action) for action, _ in release.candidates], dtype=np.float64)

    def score(_: Facts, candidates: NDArray[np.int64]) -> Scores:
        n = len(candidates)
        return Scores(prior[candidates], np.zeros(n), ((),) * n, np.full(n, 5, dtype=np.int8))

    return score


class ModelScorer:
    """A scorer of a model over the release's candidates, for one customer or for many, with the same bits.

    An action that the model has never seen is scored as the action it supersedes, else as its group, else as all
    actions, and has no evidence of its own.
    """

    def __init__(self, release: Release, model: PropensityModel) -> None:
        actions = [(_index(release, model, a), a, t) for a, t in release.candidates]
        self._model = model
        self._actions = np.asarray([i for i, _, _ in actions], dtype=np.int64)
        self._evidence = np.asarray([model.evidence_of(a.id, i)[0] for i, a, _ in actions], dtype=np.float64)
        self._treatments = np.asarray([model.treatment_code(i, t.id) for i, _, t in actions], dtype=np.int64)
        self._transparency = model.transparency[self._actions]
        self._row_of = row_builder(release, model.feature_names)
        self._by_uplift = release.catalogue.settings.ranking == "uplift"
        self._directed = release.wording > 1
        clauses = ((f.name, clauses_of(f)) for f in release.schema.learnable)
        self._because = {name: because for name, because in clauses if because is not None}

    def __call__(self, facts: Facts, candidates: NDArray[np.int64]) -> Scores:
        """Return the scores of candidates (n,) for one customer."""
        model, row, actions = self._model, self._row_of(facts), self._actions[candidates]
        inputs = model.design.row(row)
        propensity, _, factors = model.score(row, actions, self._treatments[candidates], inputs)
        upper = model.upper_limits(row, actions, propensity, inputs)
        uplift = model.uplifts(row, actions, propensity) if self._by_uplift else None
        evidence, transparency = self._evidence[candidates], self._transparency[candidates]
        reasoned = factors.directed(self._sayable(facts)) if self._directed else factors
        return Scores(propensity, evidence, reasoned, transparency, upper, uplift)

    def _sayable(self, facts: Facts) -> Callable[[str], bool]:
        """Return a function: feature -> whether there is a clause about its value among these facts."""

        def sayable(name: str) -> bool:
            value, because = facts.get(name), self._because.get(name)
            return value is not None and because is not None and bool(because.clause(value))

        return sayable

    def rows(self, every: Sequence[Facts], candidates: NDArray[np.int64]) -> list[Scores]:
        """Return the scores of candidates (n,) for each of many customers."""
        model, actions = self._model, self._actions[candidates]
        x = np.array([self._row_of(facts) for facts in every])
        scored = model.score_rows(x, actions, self._treatments[candidates])
        evidence, transparency = self._evidence[candidates], self._transparency[candidates]
        return [
            Scores(
                propensity,
                evidence,
                factors.directed(self._sayable(facts)) if self._directed else factors,
                transparency,
                upper,
                model.uplifts(row, actions, propensity) if self._by_uplift else None,
            )
            for facts, row, propensity, upper, factors in zip(every, x, *scored, strict=True)
        ]


def model_scorer(release: Release, model: PropensityModel) -> ModelScorer:
    """Return the scorer, after it has prepared what a model prepares on first use, before any request waits."""
    scorer = ModelScorer(release, model)
    scorer({}, np.arange(len(release.candidates))[:1])
    return scorer


def contributions_of(release: Release, model: PropensityModel, facts: Facts) -> Callable[[int], dict[str, Any]]:
    """Return a function: candidate index -> what each of this customer's features added to its score, in logits.

    `inherited_evidence`, if not zero: rows of the actions that the candidate's action supersedes, which its own
    evidence does not count.
    """
    row = row_builder(release, model.feature_names)(facts)

    def contributions(candidate: int) -> dict[str, Any]:
        action, treatment = release.candidates[candidate]
        index = _index(release, model, action)
        added = asdict(model.contributions(row, index, model.treatment_code(index, treatment.id)))
        inherited = model.evidence_of(action.id, index)[1]
        return {**added, "inherited_evidence": inherited} if inherited else added

    return contributions


def _index(release: Release, model: PropensityModel, action: Action) -> int:
    return model.resolve(action.id, action.group, release.superseded(action.id))


def lost_inputs(registry: Registry, release: Release) -> list[str]:
    """Return a sentence for each propensity model that serves or is on trial and reads what the release lacks."""
    lineup, known = registry.lineup(PROPENSITY), set(FeatureMatrix(release.schema).names)
    versions = [lineup.champion, *([] if lineup.trial is None else [lineup.trial.version])]
    lost = {v: [n for n in registry.load(PROPENSITY, v).feature_names if n not in known] for v in versions if v}
    return [
        f"{propensity_name(version)} reads {', '.join(f'`{name}`' for name in names)}, which this release does not "
        "have: it will see an unknown value for every customer, and its scores change; train another one, or keep it"
        for version, names in lost.items()
        if names
    ]


def untold_inputs(registry: Registry, release: Release) -> list[str]:
    """Return a sentence for each feature that a serving propensity model reads and that has no clause in a locale."""
    lineup, words = registry.lineup(PROPENSITY), tables_for(release, NEWEST).words
    versions = [lineup.champion, *([] if lineup.trial is None else [lineup.trial.version])]
    columns = [name for version in versions if version for name in registry.load(PROPENSITY, version).feature_names]
    names = sorted({name.partition("=")[0] for name in columns} & {f.name for f in release.schema.learnable})
    return [
        f"feature `{name}`: a model reads it, and no reason is written for it in `{locale}`: "
        f"add `because: {{use: on_request, text: {{{locale}: …}}}}`"
        for name in names
        for locale in release.catalogue.settings.locales
        if isinstance(words, DirectedWords) and not words.has_clause(name, locale)
    ]


def row_builder(release: Release, names: tuple[str, ...]) -> Callable[[Facts], NDArray[np.float64]]:
    """Return a function: facts -> (len(names),) float64 of the feature matrix; NaN if undeclared in this release."""
    matrix = FeatureMatrix(release.schema)
    if matrix.names == names:
        return matrix.row
    columns = {name: i for i, name in enumerate(matrix.names)}
    index = np.asarray([columns.get(name, -1) for name in names], dtype=np.int64)

    def row(facts: Facts) -> NDArray[np.float64]:
        return np.append(matrix.row(facts), np.nan)[index]

    return row
