"""A simulated telecom operator: a catalogue, generated customers, and their true response probabilities.

Everything follows from a seed. The customers, their consents and ninety days of a random campaign are what a real
operator would have. `World.probability` is what no operator knows, and what learners are measured against.
"""

from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decisioning.catalogue.actions import Action
from decisioning.catalogue.files import Catalogue, load
from decisioning.facts.schema import Value
from decisioning.rules import Columns, compile_expression
from training.model.frame import Bools, Floats, Ints
from training.simulator.telecom_campaign import Audience, CampaignLog, draw_outcomes, run_campaign
from training.simulator.telecom_consents import ConsentGiven, consent_records, draw_attitudes, marketing_allowed
from training.simulator.telecom_customers import PastCustomers, past_customers, populate
from training.simulator.telecom_permits import Permits
from training.simulator.telecom_showcase import SHOWCASE, Showcase, place_showcase
from training.simulator.telecom_truth import CHANNELS, Truth, true_logits

__all__ = ["AS_OF_US", "CHANNELS", "SHOWCASE", "CampaignLog", "ConsentGiven", "PastCustomers", "Responses", "Showcase",
           "World", "catalogue_files", "generate"]  # fmt: skip

AS_OF_US = 1_795_435_200_000_000
"""The default date of a world: 2026-11-23T12:00:00Z."""
CONTACTS_PER_CUSTOMER = 3


@dataclass(frozen=True)
class Responses:
    """The responses to n contacts, each (n,).

    `outcome`: object, "" for no outcome; `at_us`: its time in microseconds UTC, 0 for no outcome.
    """

    outcome: NDArray[np.object_]
    positive: Bools
    at_us: Ints


@dataclass(frozen=True)
class World:
    """A world of n customers, the first of them the showcase. A row is a customer's position, 0 to n-1.

    All `columns` have shape (n,). `actions` is sorted; action codes, here and in the log, are positions in it.
    """

    seed: int
    as_of_us: int
    catalogue: Catalogue
    customer_ids: tuple[str, ...]
    account_ids: tuple[str, ...]
    columns: Columns
    consents: tuple[ConsentGiven, ...]
    past: PastCustomers
    log: CampaignLog
    actions: tuple[str, ...]
    _truth: Truth
    _marketing: Bools

    def __len__(self) -> int:
        return len(self.customer_ids)

    def probability(self, customer: int, action: str, channel: str) -> float:
        """Return the true probability of the positive outcome for one customer (a row)."""
        codes = np.asarray([self.actions.index(action)]), np.asarray([CHANNELS.index(channel)])
        return float(self.probabilities(np.asarray([customer]), *codes)[0])

    def probabilities(self, customers: Ints, actions: Ints, channels: Ints) -> Floats:
        """Return the true probabilities for rows, codes of `actions` and codes of CHANNELS, broadcast against each
        other."""
        return self._truth.probabilities(customers, actions, channels)

    def respond(
        self, customers: Ints, actions: Ints, channels: Ints, at_us: Ints, rng: np.random.Generator
    ) -> Responses:
        """Draw the responses to n contacts at `at_us`; positive outcomes come with their true probability."""
        truth = self.probabilities(customers, actions, channels)
        return Responses(*draw_outcomes(self._actions_in_order, actions, channels, truth, at_us, rng))

    def permitted(self, channel: str, **context: Value) -> Bools:
        """Return what policies, protections and consent allow now on a channel, without caps: bool (n, n_actions)."""
        n, code = len(self), CHANNELS.index(channel)
        moment = dict(self.columns) | {"now": np.full(n, float(self.as_of_us))}
        moment |= {name: _constant(value, n) for name, value in context.items()}
        lasting = self._permits.lasting(self.columns, n)
        return self._permits.at(lasting, moment, self._marketing[:, code], np.full(n, code))

    @cached_property
    def values_eur(self) -> Floats:
        """The value of a positive outcome in euros, (n, n_actions); NaN if a fact of its expression is unknown."""
        return values_of(self.catalogue, self._actions_in_order, self.columns, len(self))

    @cached_property
    def costs_eur(self) -> Floats:
        """The cost of an attempt in euros, (n_actions,)."""
        points = self.catalogue.settings.eur_per_point
        return np.asarray([a.cost.constant_eur(points) or 0.0 for a in self._actions_in_order])

    def oracle(self, channel: str, **context: Value) -> tuple[Ints, Floats]:
        """Return the best permitted action per customer and its true expected value in euros, (n,) each.

        The action is -1 if none is worth more than zero.
        """
        everyone, code = np.arange(len(self))[:, None], np.asarray([[CHANNELS.index(channel)]])
        probability = self.probabilities(everyone, np.arange(len(self.actions))[None, :], code)
        expected = probability * self.values_eur - self.costs_eur
        expected = np.where(self.permitted(channel, **context) & np.isfinite(expected), expected, -np.inf)
        best, top = expected.argmax(axis=1), expected.max(axis=1)
        return np.where(top > 0, best, -1), np.maximum(top, 0.0)

    def facts(self, customer: int) -> dict[str, Value]:
        """Return what the operator knows of a row, with the types of the schema, without unknown facts."""
        known = ((f, self.columns[f.name][customer]) for f in self.catalogue.features if f.name in self.columns)
        return {f.name: _typed(f.dtype, v) for f, v in known if v is not None and v == v}  # noqa: PLR0124  # NaN

    @cached_property
    def _actions_in_order(self) -> tuple[Action, ...]:
        return tuple(sorted(self.catalogue.actions, key=lambda a: a.id))

    @cached_property
    def _permits(self) -> Permits:
        return Permits(self.catalogue, CHANNELS)


def generate(seed: int, n: int, as_of_us: int = AS_OF_US) -> World:
    """Generate a world of n customers (at least 100) as it is at `as_of_us`. The same arguments give the same world."""
    rng = np.random.default_rng(seed)
    catalogue = load(catalogue_files())
    people = populate(rng, n, as_of_us)
    attitudes = draw_attitudes(rng, people.complete["age"])
    place_showcase(people, attitudes, as_of_us)
    consents, marketing = consent_records(rng, attitudes, as_of_us), marketing_allowed(attitudes)
    actions = tuple(sorted(catalogue.actions, key=lambda a: a.id))
    truth = true_logits(people, tuple(a.id for a in actions))
    audience = Audience(people.columns, marketing, truth, values_of(catalogue, actions, people.columns, n))
    return World(
        seed=seed,
        as_of_us=as_of_us,
        catalogue=catalogue,
        customer_ids=(*(s.customer_id for s in SHOWCASE), *(f"c-{2000 + i}" for i in range(len(SHOWCASE), n))),
        account_ids=(*(s.account_id for s in SHOWCASE), *(f"a-{1000 + h}" for h in people.households[len(SHOWCASE) :])),
        columns=people.columns,
        consents=consents,
        past=past_customers(np.random.default_rng((seed, 1)), 2 * n, as_of_us),
        log=run_campaign(rng, Permits(catalogue, CHANNELS), audience, as_of_us, CONTACTS_PER_CUSTOMER * n),
        actions=tuple(a.id for a in actions),
        _truth=truth,
        _marketing=marketing,
    )


def catalogue_files() -> dict[str, str]:
    """Return the operator's catalogue as files: path below the workspace's `catalogue/` -> YAML text."""
    return dict(sorted(_texts(files("training.simulator") / "telecom" / "catalogue", "")))


def values_of(catalogue: Catalogue, actions: tuple[Action, ...], columns: Columns, n: int) -> Floats:
    """Return the value of every action for every customer in euros, (n, n_actions), NaN if unknown."""
    values = np.empty((n, len(actions)))
    schema = catalogue.schema_of_features.features
    for j, action in enumerate(actions):
        constant = action.value.constant_eur(catalogue.settings.eur_per_point)
        if constant is None and action.value.expression is not None:
            values[:, j] = compile_expression(action.value.expression, schema).value_column(columns, n)
        else:
            values[:, j] = constant
    return values


def _texts(folder: Traversable, path: str) -> list[tuple[str, str]]:
    texts = []
    for entry in folder.iterdir():
        name = f"{path}{entry.name}"
        texts += _texts(entry, name + "/") if entry.is_dir() else [(name, entry.read_text(encoding="utf-8"))]
    return texts


def _constant(value: Value, n: int) -> NDArray[Any]:
    if isinstance(value, str):
        column = np.empty(n, dtype=object)
        column[:] = value
        return column
    return np.full(n, float(value))


def _typed(dtype: str, value: Any) -> Value:
    if dtype in ("int", "timestamp"):
        return int(value)
    if dtype == "bool":
        return bool(value)
    return float(value) if dtype == "float" else str(value)
