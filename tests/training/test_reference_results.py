"""Figures on public data sets, reached again on every run."""

import numpy as np
import pandas as pd
import pytest

from tests.training.conftest import Labelled, one_hot, shared
from training.evaluation.estimators import METHODS, MIN_EFFECTIVE, Log, estimate
from training.evaluation.metrics import cross_validated_auc
from training.evaluation.policies import Question, evaluate, greedy, model_propensities
from training.frame import Floats, TrainingSet
from training.propensity import Recipe, fit
from training.risk import fit_risk


def mean_auc(data: Labelled, seeds: tuple[int, ...]) -> float:
    """Over 5 stratified, shuffled folds per seed."""
    return float(
        cross_validated_auc(data.x, data.y, lambda x, y, held_out: fit_risk(x, y).scores(held_out), 5, seeds).mean()
    )


def test_bank_marketing_without_duration(bank):
    assert "duration" not in bank.names
    assert mean_auc(bank, (0,)) >= 0.798


@pytest.mark.long
def test_bank_marketing_without_duration_over_three_seeds(bank):
    assert mean_auc(bank, (0, 1, 2)) >= 0.798


def test_telco_churn(telco):
    assert mean_auc(telco, (0,)) >= 0.845


def test_hillstrom_claims_no_winner(hillstrom: TrainingSet):
    """Arm rates are known exactly; choosing per customer gains too little over the best arm to be told from chance."""
    rates = [hillstrom.label[hillstrom.action == a].mean() for a in range(3)]
    assert [f"{100 * r:.2f}" for r in rates] == ["10.62", "18.28", "15.14"]
    train, held_out = hillstrom.split(0.7, seed=0)
    report = evaluate(held_out, {"trained": greedy(model_propensities(fit(train), held_out))}, Question())
    assert report.rows == 19_200
    assert report.winner is None, report.why
    found = {p.name: {e.method: e.interval for e in p.estimates} for p in report.policies}
    assert found["trained"]["dr"].value > report.logged.high, "but it beats the random log"
    for name, rate in (("always Mens E-Mail", 0.1828), ("always Womens E-Mail", 0.1514), ("always No E-Mail", 0.1062)):
        assert all(i.low < rate < i.high for i in found[name].values())


def test_estimators_on_the_open_bandit_data():
    """The production policy's clicks from the random log; published relative errors: IPW .31, SNIPW .31, DR .29.

    Its choice probabilities are taken from its own log, by item and position.
    """
    folder = shared("data/obd_small")
    random, production = (pd.read_csv(folder / p / "all.csv.gz", index_col=0) for p in ("random", "bts"))
    target = production_policy(production)[random["position"].to_numpy() - 1]
    clicks = production["click"].mean()
    rng = np.random.default_rng(0)
    errors = {m: [] for m in METHODS}
    for _ in range(30):
        rows = rng.integers(0, len(random), len(random))
        log, predicted = clicks_log(random.iloc[rows])
        for method in METHODS:
            value = estimate(log, target[rows], method, predicted).interval.value
            errors[method].append(abs(value - clicks) / clicks)
    means = {m: float(np.mean(e)) for m, e in errors.items()}
    assert all(0.1 < e < 0.4 for e in means.values()), means


def test_on_few_clicks_the_report_states_what_it_rests_on_and_claims_nothing():
    """38 clicks in 10,000 rows of 80 items: the production policy cannot be told from the random one."""
    folder = shared("data/obd_small")
    random, production = (pd.read_csv(folder / p / "all.csv.gz", index_col=0) for p in ("random", "bts"))
    log = items_log(random)
    target = production_policy(production)[random["position"].to_numpy() - 1]
    uniform = np.full((len(random), 80), 1 / 80)
    question = Question(recipe=Recipe(growth=None, forget=False, rounds=1))
    report = evaluate(log, {"production": target, "random": uniform}, question)
    values = {p.name: p for p in report.policies}
    weight = target[np.arange(len(random)), log.action] * 80
    assert values["production"].effective == pytest.approx(weight.sum() ** 2 / (weight**2).sum())
    assert MIN_EFFECTIVE < values["production"].effective < len(random) / 2
    assert values["random"].effective == pytest.approx(len(random))
    assert {p.claim for p in report.policies} == {"cannot tell"}
    assert report.winner is None
    true_gain = production["click"].mean() - random["click"].mean()
    assert values["production"].more.low < true_gain < values["production"].more.high
    refused = [p for p in report.policies if p.refused]
    assert len(refused) == 80, "every item alone has 125 rows"
    for p in refused:
        assert p.effective < MIN_EFFECTIVE
        assert f"only {p.effective:.0f} effective rows" in p.refused
        assert (p.estimates, p.more) == ((), None)


def production_policy(production: pd.DataFrame) -> Floats:
    """Choice probabilities (3, 80) of the items, per position, as the production policy chose."""
    shares = np.zeros((3, 80))
    np.add.at(shares, (production["position"].to_numpy() - 1, production["item_id"].to_numpy()), 1.0)
    return shares / shares.sum(1, keepdims=True)


def items_log(frame: pd.DataFrame) -> TrainingSet:
    """The items as actions of one group; the customer's hashed features as columns of 0 and 1."""
    x, names = one_hot(frame[["user_feature_0", "user_feature_1", "position"]])
    n = len(frame)
    return TrainingSet(
        x=x,
        feature_names=names,
        actions=tuple(f"item-{i}" for i in range(80)),
        groups=("items",) * 80,
        treatments=((),) * 80,
        action=frame["item_id"].to_numpy(dtype=np.int64),
        treatment=np.full(n, -1, dtype=np.int64),
        label=frame["click"].to_numpy() == 1,
        probability=frame["propensity_score"].to_numpy(dtype=np.float64),
        value_eur=np.zeros(n),
        at_us=np.arange(n, dtype=np.int64),
    )


def clicks_log(frame: pd.DataFrame) -> tuple[Log, Floats]:
    """The log, and each item's click rate shrunk towards all items' as prediction."""
    item, click = frame["item_id"].to_numpy(dtype=np.int64), frame["click"].to_numpy(dtype=np.float64)
    shown, clicked = np.bincount(item, minlength=80), np.bincount(item, click, minlength=80)
    predicted = (clicked + 50 * click.mean()) / (shown + 50)
    return Log(item, click, frame["propensity_score"].to_numpy(), 80), np.tile(predicted, (len(frame), 1))
