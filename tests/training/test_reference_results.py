"""Published figures on public data sets, reproduced by every run."""

import pytest

from tests.training.conftest import LabelledArrays, shared
from tests.training.open_bandit import FOLDER, OpenBandit
from tests.training.risk_help import cross_validated_auc, fit_risk
from training.evaluation.policies import Question, evaluate, greedy, model_propensities
from training.fitting.intervals import MIN_EFFECTIVE
from training.fitting.propensity import fit
from training.model.frame import TrainingSet


def mean_auc(data: LabelledArrays, seeds: tuple[int, ...], folds: int = 5) -> float:
    """Return the mean AUC over stratified, shuffled folds per seed."""
    return float(
        cross_validated_auc(data.x, data.y, lambda x, y, held_out: fit_risk(x, y).scores(held_out), folds, seeds).mean()
    )


@pytest.mark.promise("imports.bank-marketing")
def test_bank_marketing_without_duration(bank):
    """Of two folds: each model learns from half of the rows only."""
    assert "duration" not in bank.names
    assert mean_auc(bank, (0,), folds=2) >= 0.798


@pytest.mark.long
def test_bank_marketing_without_duration_over_three_seeds(bank):
    assert mean_auc(bank, (0, 1, 2)) >= 0.798


@pytest.mark.promise("imports.telco-churn")
def test_telco_churn(telco):
    assert mean_auc(telco, (0,)) >= 0.845


def test_hillstrom_claims_no_winner(hillstrom: TrainingSet):
    """Arm rates are exact; the gain of choosing per customer over the best arm is too small to exclude chance."""
    rates = [hillstrom.label[hillstrom.action == a].mean() for a in range(3)]
    assert [f"{100 * r:.2f}" for r in rates] == ["10.62", "18.28", "15.14"]
    train, held_out = hillstrom.split(0.7, seed=0)
    report = evaluate(held_out, {"trained": greedy(model_propensities(fit(train), held_out))}, Question())
    assert report.rows == 19_200
    assert report.winner is None, report.why
    intervals = {p.name: {e.method: e.interval for e in p.estimates} for p in report.policies}
    assert intervals["trained"]["dr"].value > report.logged.high, "but it beats the random log"
    for name, rate in (("always Mens E-Mail", 0.1828), ("always Womens E-Mail", 0.1514), ("always No E-Mail", 0.1062)):
        assert all(i.low < rate < i.high for i in intervals[name].values())


def test_estimators_on_the_open_bandit_data():
    """The production policy's clicks from the random log; published relative errors: IPW .31, SNIPW .31, DR .29."""
    errors = OpenBandit.read(shared(FOLDER)).errors()
    assert all(0.1 < e < 0.4 for e in errors.values()), errors


@pytest.mark.promise("evaluation.open-bandit-data")
def test_on_few_clicks_the_report_states_what_it_rests_on_and_claims_nothing():
    """38 clicks in 10,000 rows of 80 items: the two policies cannot be distinguished."""
    data = OpenBandit.read(shared(FOLDER))
    report, rows = data.report(), len(data.random)
    values = {p.name: p for p in report.policies}
    assert values["production"].effective == pytest.approx(data.effective())
    assert MIN_EFFECTIVE < values["production"].effective < rows / 2
    assert values["random"].effective == pytest.approx(rows)
    assert {p.claim for p in report.policies} == {"cannot tell"}
    assert report.winner is None
    true_gain = data.clicks - data.random["click"].mean()
    assert values["production"].more.low < true_gain < values["production"].more.high
    refused = [p for p in report.policies if p.refused]
    assert len(refused) == 80, "every item alone has 125 rows"
    for p in refused:
        assert p.effective < MIN_EFFECTIVE
        assert f"only {p.effective:.0f} customers support it" in p.refused
        assert (p.estimates, p.more) == ((), None)
