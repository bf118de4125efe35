"""The generated world: deterministic, plausible, within policies, and learnable from its own log."""

import json
import time
from dataclasses import replace

import numpy as np
import pytest

from decisioning.deciding.case import DecisionContext
from decisioning.deciding.engine import decide
from decisioning.deciding.screening import screened_for
from decisioning.facts.forms import Ask
from features.matrix import FeatureMatrix
from tests.training.telecom_help import everything, known, release, truth, world
from training.fitting.propensity import Recipe, fit
from training.model.frame import TrainingSet
from training.simulator.telecom import CHANNELS, SHOWCASE, generate

DAY_US = 86_400_000_000
BEYOND_THE_SIMULATOR = ("contact:quiet-hours", "placeholder:", "action:automation", "action:dates")


def same(world_a, world_b):
    arrays = [(world_a.columns[k], world_b.columns[k]) for k in world_a.columns]
    arrays += [(getattr(world_a.log, k), getattr(world_b.log, k)) for k in vars(world_a.log)]
    return world_a.consents == world_b.consents and all(
        np.array_equal(a, b, equal_nan=a.dtype == np.float64) for a, b in arrays
    )


def test_the_same_seed_gives_the_same_world():
    assert same(generate(3, 500), generate(3, 500))
    assert not same(generate(3, 500), generate(4, 500))


def test_twenty_thousand_customers_in_three_seconds():
    began = time.process_time()
    large = generate(0, 20_000)
    assert time.process_time() - began < 3.0
    assert len(large) == 20_000
    assert len(large.log) == 60_000


def test_every_profile_fact_is_declared_in_bounds_and_mostly_known():
    features = {f.name: f for f in world().catalogue.features}
    assert set(world().columns) == {
        f.name for f in features.values() if f.source not in ("context", "signal", "routing")
    }
    for name, column in world().columns.items():
        feature = features[name]
        unknown = [v is None for v in column] if column.dtype == object else np.isnan(column)
        known_values = column[~np.asarray(unknown)].tolist()
        assert len(known_values) > 0.6 * len(column), name
        if feature.dtype == "enum":
            assert set(known_values) <= set(feature.values)
        elif feature.dtype == "bool":
            assert set(known_values) == {0.0, 1.0}
        elif feature.dtype in ("int", "float"):
            low, high = min(known_values), max(known_values)
            assert feature.min is None or low >= feature.min, name
            assert feature.max is None or high <= feature.max, name
            assert feature.dtype == "float" or all(v == int(v) for v in known_values), name


def test_facts_have_the_types_of_the_schema():
    types = {"float": float, "int": int, "timestamp": int, "bool": bool, "string": str, "enum": str}
    features = {f.name: f for f in world().catalogue.features}
    for row in range(50):
        assert all(type(v) is types[features[k].dtype] for k, v in world().facts(row).items())


def test_people_of_one_account_share_a_home():
    shared = {}
    for row, account in enumerate(world().account_ids):
        home = (world().columns["monthly_fee_eur"][row], world().columns["has_broadband"][row])
        assert shared.setdefault(account, home) == home
    assert len(shared) < len(world())


def test_who_left_can_be_foreseen_in_part():
    past = world().past
    risk = past.columns["churn_risk"]
    known_risk = ~np.isnan(risk)
    assert 0.02 < past.left.mean() < 0.12
    assert abs(past.left[known_risk].mean() - risk[known_risk].mean()) < 0.02
    assert past.left[risk > 0.1].mean() > 2 * past.left[risk < 0.05].mean()


NEEDS_EMOTION = {"call-back"}
"""Actions that only an emotion lets through: the past campaign knew nobody's emotions."""


def test_consents_of_every_kind_occur():
    statuses = {(c.purpose, c.status) for c in world().consents}
    assert statuses >= {("marketing", s) for s in ("granted", "refused", "withdrawn", "objected")}
    assert len({c.customer for c in world().consents}) < 0.95 * len(world())
    assert all(c.occurred_us < world().as_of_us for c in world().consents)


def test_base_rates_are_those_of_real_campaigns():
    log = world().log
    rates = world().probabilities(log.customer, log.action, log.channel)
    offered = {a.id for a in world().catalogue.actions} - NEEDS_EMOTION
    assert {world().actions[code] for code in set(log.action.tolist())} == offered
    for code, action in enumerate(world().actions):
        assert action in NEEDS_EMOTION or 0.005 <= rates[log.action == code].mean() <= 0.13, action
    assert 0.02 < log.positive.mean() < 0.08


def test_the_log_follows_the_truth():
    log, as_of_us = world().log, world().as_of_us
    truth = world().probabilities(log.customer, log.action, log.channel)
    settled = log.at_us < as_of_us - 21 * DAY_US
    spread = np.sqrt((truth * (1 - truth))[settled].sum())
    assert abs(log.positive[settled].sum() - truth[settled].sum()) < 4 * spread
    assert (log.outcome_us <= as_of_us).all()
    assert (log.outcome_us[log.outcome != ""] > log.at_us[log.outcome != ""]).all()
    assert (np.diff(log.at_us) >= 0).all()
    assert as_of_us - log.at_us.min() <= 90 * DAY_US


def test_the_showcase_was_never_contacted():
    assert world().log.customer.min() >= len(SHOWCASE)
    assert world().customer_ids[: len(SHOWCASE)] == tuple(s.customer_id for s in SHOWCASE)


def test_one_probability_is_that_of_the_column():
    rng = np.random.default_rng(0)
    rows, actions, channels = (rng.integers(0, n, 50) for n in (len(world()), len(world().actions), len(CHANNELS)))
    column = world().probabilities(rows, actions, channels)
    names = [(int(r), world().actions[a], CHANNELS[c]) for r, a, c in zip(rows, actions, channels, strict=True)]
    assert [world().probability(*n) for n in names] == column.tolist()


def test_the_future_responds_with_the_true_probability():
    n = 40_000
    rows = np.arange(n) % len(world())
    action, channel = (np.full(n, i) for i in (world().actions.index("tv-bundle"), CHANNELS.index("web")))
    got = world().respond(rows, action, channel, np.full(n, world().as_of_us), np.random.default_rng(1))
    expected = world().probabilities(rows, action, channel).mean()
    assert abs(got.positive.mean() - expected) < 4 * np.sqrt(expected / n)
    assert set(got.outcome) == {"", "accepted", "declined", "complained"}
    again = world().respond(rows, action, channel, np.full(n, world().as_of_us), np.random.default_rng(1))
    assert np.array_equal(got.outcome, again.outcome)


@pytest.mark.parametrize("channel", CHANNELS)
def test_what_the_simulator_permits_is_what_screening_permits(channel):
    allowed = world().permitted(channel)
    rows = range(0, len(world()), 40)
    for row in rows:
        ask = everything(row, channel)
        screened = screened_for(ask, known(row), release(), now_us=world().as_of_us)
        passed = {screened.view.actions[i].id for i in np.flatnonzero(screened.permitted & ~screened.view.held_help)}
        excused = {w.treatment.split(".")[0] for w in screened.withheld if w.gate.startswith(BEYOND_THE_SIMULATOR)}
        simulated = {world().actions[j] for j in np.flatnonzero(allowed[row])}
        assert passed <= simulated
        assert simulated - passed <= excused


def showcase_decision(row):
    request = SHOWCASE[row].request
    ask = Ask.model_validate_json(json.dumps(request))
    customer = known(row)
    customer = replace(customer, facts={**customer.facts, **request["context"]})
    score = truth(row, request["channel"])
    decision = decide(
        ask,
        customer,
        release(),
        score,
        DecisionContext(assigned_model="truth", now_us=world().as_of_us, decision_id=f"d-{row}"),
    )
    return [(p["name"], [o["action"] for o in p["offers"]]) for p in decision.answer["placements"]], decision


def test_the_showcase_tells_its_stories():
    placements, _ = showcase_decision(0)
    assert placements[0] == ("hero", ["tv-bundle"])
    placements, decision = showcase_decision(1)
    assert placements[0] == ("hero", ["wifi-check"])
    assert any(o["tier"] == "commercial" for p in decision.answer["placements"] for o in p["offers"])
    placements, decision = showcase_decision(2)
    assert all(offers == [] for _, offers in placements)
    assert decision.answer["withheld"] > 0
    placements, _ = showcase_decision(3)
    assert len(placements[0][1]) == 4
    placements, _ = showcase_decision(4)
    assert placements[0][1][0] not in ("tv-bundle", "call-back")
    assert "tv-bundle" in placements[0][1]


def learned_from_log():
    """Return a model of the log's closed windows, the features of all customers, and the treatments by code."""
    log, matrix = world().log, FeatureMatrix(world().catalogue.schema_of_features)
    everyone = matrix.rows(world().columns, len(world()))
    actions = {a.id: a for a in world().catalogue.actions}
    treatments = tuple(tuple(t.id for t in actions[a].treatments) for a in world().actions)
    treatment = [treatments[a].index(t) for a, t in zip(log.action, log.treatment, strict=True)]
    windows = np.asarray([actions[a].outcomes.window_days for a in world().actions])
    matured = log.at_us + windows[log.action] * DAY_US <= world().as_of_us
    data = TrainingSet(
        x=everyone[log.customer],
        feature_names=matrix.names,
        actions=world().actions,
        groups=tuple(actions[a].group for a in world().actions),
        treatments=treatments,
        action=log.action,
        treatment=np.asarray(treatment, dtype=np.int64),
        label=log.positive,
        probability=log.probability,
        value_eur=log.value_eur,
        at_us=log.at_us,
    )
    return fit(data.take(matured), Recipe(growth=None, rounds=1, calibrate=False)), everyone, treatments


def test_a_model_of_the_log_beats_chance_and_not_the_oracle():
    model, everyone, treatments = learned_from_log()
    actions = {a.id: a for a in world().catalogue.actions}
    guess = np.zeros((len(world()), len(world().actions)))
    for j, action in enumerate(world().actions):
        on_web = [t.id for t in actions[action].treatments if t.channel == "web"]
        code = treatments[j].index(on_web[0]) if on_web else -1
        guess[:, j] = model.propensities(everyone, j, code)
    rows, web = np.arange(len(world())), np.full(len(world()), CHANNELS.index("web"))
    allowed = world().permitted("web") & np.isfinite(world().values_eur)
    real = world().probabilities(rows[:, None], np.arange(len(actions))[None, :], web[:, None])
    real = real * np.nan_to_num(world().values_eur) - world().costs_eur
    chosen = np.where(allowed, guess * np.nan_to_num(world().values_eur) - world().costs_eur, -np.inf).argmax(axis=1)
    some = allowed.any(axis=1)
    learned = real[rows, chosen][some].mean()
    chance = (np.where(allowed, real, 0.0).sum(axis=1)[some] / allowed.sum(axis=1)[some]).mean()
    oracle = world().oracle("web")[1][some].mean()
    assert chance + 0.5 * (oracle - chance) < learned < oracle
