"""Decisions without a workspace: a release, a scorer and customers that were never written anywhere."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from decisioning.catalogue.files import load, pack
from decisioning.catalogue.release import Release
from decisioning.deciding.case import DecisionContext
from decisioning.deciding.engine import decide
from decisioning.deciding.record import Decision
from decisioning.facts.forms import Ask, Known
from decisioning.facts.standing import Consent, Standing
from features.ledger import now_us
from serving.brain.scoring import model_scorer, prior_scorer
from serving.brain.trials import Model, Models
from serving.contract import parse
from tests.benchmarks import catalogue, models
from training.model.model import PropensityModel

if TYPE_CHECKING:  # it imports Feast, which takes seconds
    from serving.brain.runtime import Brain

MODEL, PRIORS = "propensity@1", "prior@0"


@dataclass(frozen=True)
class Cases:
    """All customers' requests and what is known of them, to be decided under one release by one model."""

    release: Release
    model: Model
    asks: list[Ask]
    customers: list[Known]
    at_us: int

    def decide(self, n: int) -> Decision:
        """Decide for customer `n`; every call draws alike."""
        context = DecisionContext(assigned_model=self.model.name, now_us=self.at_us, decision_id=decision_id(n))
        return decide(self.asks[n], self.customers[n], self.release, self.model.score, context)


def make_cases(n_actions: int, model: PropensityModel | None, at_us: int | None = None) -> Cases:
    """Return cases over so many actions; `model` None: scored by the catalogue's priors."""
    release, at_us = release_of(n_actions), at_us or now_us()
    scorer = prior_scorer(release) if model is None else model_scorer(release, model)
    given = {"page": "paid-tv"}
    customers = [
        Known({**models.facts_of(row), **given}, Standing(f"s-{n}", 2, _consents(at_us)))
        for n, row in enumerate(models.profiles().tolist())
    ]
    asks = [parse(Ask, models.request(n, "in-memory")) for n in range(len(customers))]
    return Cases(release, Model(PRIORS if model is None else MODEL, scorer), asks, customers, at_us)


def score_by(brain: "Brain", model: PropensityModel) -> None:
    """Let a brain score by a model that was never registered."""
    scorer = model_scorer(brain.snapshot.release, model)
    brain.snapshot = replace(brain.snapshot, models=Models(Model(MODEL, scorer)))


def release_of(n_actions: int) -> Release:
    """Return the catalogue of the measures with so many actions, as a release."""
    files = {f"catalogue/{name}": text for name, text in catalogue.files(n_actions=n_actions).items()}
    return Release.of(load(files), pack(files))


def decision_id(n: int) -> str:
    """Return an id of the form that the product gives."""
    return f"d-{n:032x}"


def _consents(at_us: int) -> tuple[Consent, ...]:
    return tuple(
        Consent(purpose, "*", "granted", "bench", "2026-01", at_us - 1, None, n)
        for n, purpose in enumerate(("marketing", "profiling"))
    )
