"""A telecom operator in a box: a catalogue, generated customers, and a truth that only the simulator knows.

Everything follows from a seed. The customers, their consents and ninety days of a random campaign are what an
operator would have; `World.probability` is what no operator has, and what learners are measured against.
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
from training.simulator.telecom_campaign import CampaignLog, draw_outcomes, run_campaign
from training.simulator.telecom_consents import ConsentGiven, answers, attitudes, marketing_allowed
from training.simulator.telecom_customers import Floats, PastCustomers, past_customers, populate
from training.simulator.telecom_permits import Permits
from training.simulator.telecom_showcase import SHOWCASE, Showcase, settle
from training.simulator.telecom_truth import CHANNELS, MAX_LOGIT, MIN_LOGIT, logits

__all__ = ["AS_OF_US", "CHANNELS", "SHOWCASE", "CampaignLog", "ConsentGiven", "PastCustomers", "Responses", "Showcase",
           "World", "catalogue_files", "generate"]  # fmt: skip

AS_OF_US = 1_795_435_200_000_000
"""The date of a world that names none: 2026-11-23T12:00:00Z."""
CONTACTS_PER_CUSTOMER = 3
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Responses:
    """What came of n contacts. `outcome`: object (n,), "" where nothing came; `at_us`: int64 (n,), 0 where nothing."""

    outcome: NDArray[np.object_]
    positive: NDArray[np.bool_]
    at_us: Ints


@dataclass(frozen=True)
class World:
    """n customers, the first of them the showcase. Rows are positions 0 to n-1; all columns have shape (n,)."""

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
    """Sorted; what action codes, here and in the log, are positions in."""
    _of_action: Floats
    _of_channel: Floats
    _marketing: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.customer_ids)

    def probability(self, customer: int, action: str, channel: str) -> float:
        """True probability of the positive outcome for one customer (a row)."""
        codes = np.asarray([self.actions.index(action)]), np.asarray([CHANNELS.index(channel)])
        return float(self.probabilities(np.asarray([customer]), *codes)[0])

    def probabilities(self, customers: Ints, actions: Ints, channels: Ints) -> Floats:
        """The same for rows, codes of `actions` and codes of CHANNELS, broadcast against each other."""
        logit = self._of_action[customers, actions] + self._of_channel[customers, channels]
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logit, MIN_LOGIT, MAX_LOGIT))))

    def respond(
        self, customers: Ints, actions: Ints, channels: Ints, at_us: Ints, rng: np.random.Generator
    ) -> Responses:
        """What n contacts at `at_us` lead to; positive outcomes come with their true probability."""
        truth = self.probabilities(customers, actions, channels)
        return Responses(*draw_outcomes(self._actions_in_order, actions, channels, truth, at_us, rng))

    def permitted(self, channel: str, **context: Value) -> NDArray[np.bool_]:
        """Bool (n, n_actions): what policies, protections and consent allow now on a channel, caps left aside."""
        n, code = len(self), CHANNELS.index(channel)
        moment = dict(self.columns) | {"now": np.full(n, float(self.as_of_us))}
        moment |= {name: _constant(value, n) for name, value in context.items()}
        lasting = self._permits.lasting(self.columns, n)
        return self._permits.at(lasting, moment, self._marketing[:, code], np.full(n, code))

    @cached_property
    def values_eur(self) -> Floats:
        """Worth of a positive outcome in euros, (n, n_actions); NaN where a fact of its expression is unknown."""
        return values_of(self.catalogue, self._actions_in_order, self.columns, len(self))

    @cached_property
    def costs_eur(self) -> Floats:
        """Cost of trying in euros, (n_actions,)."""
        points = self.catalogue.settings.eur_per_point
        return np.asarray([a.cost.constant_eur(points) or 0.0 for a in self._actions_in_order])

    def oracle(self, channel: str, **context: Value) -> tuple[Ints, Floats]:
        """The best permitted action per customer, -1 for none above zero, and its true expected worth in euros (n,)."""
        everyone, code = np.arange(len(self))[:, None], np.asarray([[CHANNELS.index(channel)]])
        worth = (
            self.probabilities(everyone, np.arange(len(self.actions))[None, :], code) * self.values_eur - self.costs_eur
        )
        worth = np.where(self.permitted(channel, **context) & np.isfinite(worth), worth, -np.inf)
        best, top = worth.argmax(axis=1), worth.max(axis=1)
        return np.where(top > 0, best, -1), np.maximum(top, 0.0)

    def facts(self, customer: int) -> dict[str, Value]:
        """What the operator knows of a row, with the types of the schema; unknown facts are left out."""
        known = ((f, self.columns[f.name][customer]) for f in self.catalogue.features if f.name in self.columns)
        return {f.name: _typed(f.dtype, v) for f, v in known if v is not None and v == v}  # noqa: PLR0124  # NaN

    @cached_property
    def _actions_in_order(self) -> tuple[Action, ...]:
        return tuple(sorted(self.catalogue.actions, key=lambda a: a.id))

    @cached_property
    def _permits(self) -> Permits:
        return Permits(self.catalogue, CHANNELS)


def generate(seed: int, n: int, as_of_us: int = AS_OF_US) -> World:
    """A world of n customers (at least 100) as it stands at `as_of_us`; the same arguments, the same world."""
    rng = np.random.default_rng(seed)
    catalogue = load(catalogue_files())
    people = populate(rng, n, as_of_us)
    held = attitudes(rng, people.complete["age"])
    settle(people, held, as_of_us)
    consents, marketing = answers(rng, held, as_of_us), marketing_allowed(held)
    actions = tuple(sorted(catalogue.actions, key=lambda a: a.id))
    of_action, of_channel = logits(people, tuple(a.id for a in actions))
    return World(
        seed=seed,
        as_of_us=as_of_us,
        catalogue=catalogue,
        customer_ids=(*(s.customer_id for s in SHOWCASE), *(f"c-{2000 + i}" for i in range(len(SHOWCASE), n))),
        account_ids=(*(s.account_id for s in SHOWCASE), *(f"a-{1000 + h}" for h in people.households[len(SHOWCASE) :])),
        columns=people.columns,
        consents=consents,
        past=past_customers(np.random.default_rng((seed, 1)), 2 * n, as_of_us),
        log=run_campaign(
            rng,
            Permits(catalogue, CHANNELS),
            people.columns,
            marketing,
            of_action,
            of_channel,
            as_of_us,
            CONTACTS_PER_CUSTOMER * n,
            values_of(catalogue, actions, people.columns, n),
        ),
        actions=tuple(a.id for a in actions),
        _of_action=of_action,
        _of_channel=of_channel,
        _marketing=marketing,
    )


def catalogue_files() -> dict[str, str]:
    """The operator's catalogue as files: path below the workspace's `catalogue/` -> YAML text."""
    return dict(sorted(_texts(files("training.simulator") / "telecom" / "catalogue", "")))


def values_of(catalogue: Catalogue, actions: tuple[Action, ...], columns: Columns, n: int) -> Floats:
    """Worth of every action to every customer, (n, n_actions), NaN where unknown."""
    worth = np.empty((n, len(actions)))
    schema = catalogue.schema_of_features.features
    for j, action in enumerate(actions):
        constant = action.value.constant_eur(catalogue.settings.eur_per_point)
        if constant is None and action.value.expression is not None:
            worth[:, j] = compile_expression(action.value.expression, schema).value_column(columns, n)
        else:
            worth[:, j] = constant
    return worth


def _texts(folder: Traversable, path: str) -> list[tuple[str, str]]:
    found = []
    for entry in folder.iterdir():
        name = f"{path}{entry.name}"
        found += _texts(entry, name + "/") if entry.is_dir() else [(name, entry.read_text(encoding="utf-8"))]
    return found


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
