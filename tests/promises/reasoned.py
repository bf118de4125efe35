"""Decisions of the generated company with a trained model, whose reasons are read by tests."""

import random
from dataclasses import dataclass
from functools import cache

import numpy as np

from decisioning.catalogue.countries import with_country_rules
from decisioning.catalogue.files import WORDING, load, pack
from decisioning.catalogue.release import Release
from decisioning.deciding.case import DecisionContext
from decisioning.deciding.engine import decide
from decisioning.deciding.record import Decision
from decisioning.facts.forms import Ask, Known, PlacementAsk
from decisioning.facts.schema import Value
from decisioning.facts.standing import Consent, Standing
from features.matrix import FeatureMatrix
from serving.brain.scoring import ModelScorer, model_scorer
from training.fitting.propensity import Recipe, fit
from training.fitting.trees import Growth
from training.model.frame import TrainingSet
from training.model.model import PropensityModel
from training.simulator.telecom import CHANNELS, World, catalogue_files, generate

MODEL = "propensity@1"
_ROWS, _TRAINED = 400, 5_000


@dataclass(frozen=True)
class Told:
    """A decision whose reasons are told, and what it was asked and known."""

    decision: Decision
    ask: Ask
    known: Known

    @property
    def facts(self) -> dict[str, Value | None]:
        return dict(self.decision.computed.facts)


@cache
def world() -> World:
    return generate(7, _ROWS)


def release_of(files: dict[str, str]) -> Release:
    whole = with_country_rules(files)
    return Release.of(load(whole), pack(whole))


@cache
def release() -> Release:
    """Return the company's release as `brain release` makes it today."""
    return release_of({**catalogue_files(), **WORDING})


@cache
def former_release() -> Release:
    """Return the company's release as it was made before reasons had directions."""
    return release_of(catalogue_files())


@cache
def model() -> PropensityModel:
    """Return a model of the company's customers, with trees, fitted to outcomes drawn by the true probabilities."""
    rng, at = np.random.default_rng(3), world()
    matrix = FeatureMatrix(release().schema)
    x = np.array([matrix.row(at.facts(row)) for row in range(_ROWS)])
    rows, actions = rng.integers(0, _ROWS, _TRAINED), rng.integers(0, len(at.actions) - 1, _TRAINED)
    truth = at.probabilities(rows, actions, np.zeros(_TRAINED, dtype=np.int64))
    label = rng.random(_TRAINED) < truth
    known = at.actions[:-1]  # the last action was never tried
    log = TrainingSet(
        x=x[rows],
        feature_names=matrix.names,
        actions=known,
        groups=tuple(release().actions[name].group for name in known),
        treatments=tuple(() for _ in known),
        action=actions,
        treatment=np.full(_TRAINED, -1),
        label=label,
        probability=np.full(_TRAINED, 1.0 / len(known)),
        value_eur=label * 10.0,
        at_us=np.arange(_TRAINED, dtype=np.int64),
    )
    return fit(log, Recipe(growth=Growth(max_trees=10), forget=False))


@cache
def scorer(of: Release) -> ModelScorer:
    return model_scorer(of, model())


def told(n: int, of: Release | None = None, locale: str | None = None) -> Told:
    """Return the n-th decision: of a customer with or without an account, or a visitor; some facts are unknown."""
    chance, of = random.Random(n), of or release()
    channel = CHANNELS[n % len(CHANNELS)]
    ask = _ask(n, channel, locale or ("nl", "en")[n % 2], chance)
    known = _known(n, of, ask, chance)
    context = DecisionContext(MODEL, world().as_of_us, f"d-{n}")
    return Told(decide(ask, known, of, scorer(of), context), ask, known)


def _ask(n: int, channel: str, locale: str, chance: random.Random) -> Ask:
    who = {"visitor_id": f"v-{n}"} if n % 3 == 2 else {"customer_id": f"c-{n}"}
    return Ask(
        request_id="r-1",
        **who,
        account_id=f"a-{n}" if n % 3 == 0 else None,
        channel=channel,
        locale=locale,
        placements=tuple(PlacementAsk(name=p, limit=2) for p in release().channels[channel].placements),
    )


def _known(n: int, of: Release, ask: Ask, chance: random.Random) -> Known:
    facts = {name: value for name, value in world().facts(n % _ROWS).items() if chance.random() < 0.9}
    safe = {"hardship": False, "vulnerable": False, "bereaved": False, "open_complaint": False, "arrears_eur": 0.0}
    views = {"paid_tv_views_30s": chance.randrange(3), "paid_tv_views_1h": chance.randrange(4)}
    moment = {"page": chance.choice(("home", "internet", "mobile", "paid-tv", "bill", "help", "travel", "pay"))}
    facts |= {**safe, "age": facts.get("age", 40), **views, **(moment if chance.random() < 0.7 else {})}
    consents = tuple(
        Consent(p.id, "*", "granted", "test", p.notice_version, world().as_of_us - 1, None, k)
        for k, p in enumerate(of.purposes.values(), 1)
    )
    account = Standing(f"a{n}", 1) if ask.account_id else None
    signals = {f"a{n}": 3} if account and chance.random() < 0.5 else {f"p{n}": 2}
    return Known(facts, Standing(f"p{n}", len(consents), consents), account, signals=signals)
