"""The measures of `make bench` that need no server, at sizes of seconds: they run, and assert what they assert."""

from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module

import pytest

from decisioning.deciding import engine
from features.ledger.tables import RECORDS
from tests.benchmarks import actions, at_rest, catalogue, filling, models, verifying
from tests.benchmarks.__main__ import SUITES
from tests.benchmarks.cases import make_cases
from tests.benchmarks.filling import add_customers, open_filled
from tests.benchmarks.measures import Figures, Suite
from tests.benchmarks.steps import measure_two_levels
from training.fitting.propensity import fit
from training.fitting.trees import Growth
from training.model.model import PropensityModel


@pytest.fixture(scope="module")
def model() -> PropensityModel:
    return fit(models.log(catalogue.N_GROUPS), replace(models.RECIPE, growth=Growth(folds=2, max_trees=2)))


@pytest.fixture(scope="module")
def world(model: PropensityModel) -> Iterator[verifying.VerifyingWorld]:
    with open_filled(models.copied(model, catalogue.N_ACTIONS), verifying._files()) as filled:
        add_customers(filled.brain, [0])
        yield verifying.VerifyingWorld(filled)


@pytest.mark.parametrize("name", [name for name in SUITES if name not in ("speed", "swaps")])
def test_a_suite_has_measures_and_lines(name: str) -> None:
    module, _, attribute = SUITES[name].partition(":")
    suite = getattr(import_module(module), attribute)
    assert isinstance(suite, Suite)
    assert suite.measures


def test_steps_of_a_decision_take_less_than_all_of_it(model: PropensityModel) -> None:
    cases = make_cases(catalogue.N_ACTIONS, models.copied(model, catalogue.N_ACTIONS))
    steps = measure_two_levels(engine.decide, cases.decide, 20)
    assert len(steps) > 3
    assert all(value >= 0 for value in steps.values())
    assert not hasattr(engine.decide, "__wrapped__"), "nothing stays replaced"


@pytest.mark.parametrize("n_actions", [10, 120])
def test_a_decision_is_measured_with_other_numbers_of_actions(model: PropensityModel, n_actions: int) -> None:
    assert_positive(actions.measure_actions(actions.ActionsWorld(model), n_actions, 5))


def test_bytes_at_rest_are_measured_per_table(model: PropensityModel) -> None:
    world = at_rest.AtRestWorld(models.copied(model, catalogue.N_ACTIONS))
    figures = at_rest.measure_at_rest(world, 2, 200)
    assert figures[f"at_rest_2.{RECORDS.name}_bytes"] < figures["at_rest_2_bytes"] < 50_000


def test_a_ledger_is_filled_with_so_many_decisions_of_one_customer(
    world: verifying.VerifyingWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "AT_ONCE", 4)  # of 20 customers, so that nobody is decided for twice at a time
    verifying._fill(world, 200)
    brain = world.filled.brain
    one = brain.subject_stream("c-0000000")
    decisions = [record.stream for record in brain.ledger.scan(("decision",))]
    assert (len(decisions), decisions.count(one)) == (200, 2)


def assert_positive(figures: Figures) -> None:
    assert all(value > 0 for value in figures.values()), figures
