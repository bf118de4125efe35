"""The workspace of all measures: customers with profile and consent, and a champion with trees."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import lightgbm
import numpy as np

from decisioning.catalogue.release import Release
from features.ledger import Entry, Ledger, now_us
from features.profile.online import Profiles
from features.profile.store import Store
from serving.brain import releasing
from serving.settings import Workspace
from tests.benchmarks import catalogue, models
from tests.benchmarks.measures import Figures
from tests.permits import make_champion
from tests.serving.server import Server
from training.fitting.propensity import fit
from training.model.frame import Floats
from training.registry import Registry
from training.tracking import Provenance

N_CUSTOMERS, customer_id = models.N_CUSTOMERS, models.customer_id
STOCK_TREES, STOCK_LEAVES = 200, 31


@dataclass
class World:
    """`figures`: measured while the workspace was set up. `rows` (n_customers, 60): the customers' profiles.

    `floor`: the server of the hand-written floor, once it is prepared.
    """

    root: Path
    server: Server
    rows: Floats
    figures: Figures = field(default_factory=dict)
    floor: Server | None = None

    @property
    def workspace(self) -> Workspace:
        return Workspace.open(self.root / "brain")

    @property
    def stock_model(self) -> Path:
        """The folder of one LightGBM over all actions, as saved by MLflow."""
        return self.root / "stock"

    def request(self, number: int, run: str) -> bytes:
        """Return the body of a decision request; `run` keeps the ids of measures apart."""
        return models.request(number, run)


@contextmanager
def open_world() -> Iterator[World]:
    """Yield a released workspace in a temporary folder, which is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        root = Path(folder)
        releasing.new(root / "brain", catalogue.files())
        world = World(root, Server(root / "brain", "serving.http.app:build"), models.profiles())
        released = releasing.release(world.workspace, "bench")
        assert (released["actions"], released["policies"]) == (catalogue.N_ACTIONS, catalogue.N_POLICIES)
        fill(world.workspace, world.rows)
        _train(world, str(released["release"]))
        yield world


def fill(workspace: Workspace, rows: Floats) -> None:
    """Write profiles (n_customers, 60) as a system of record does, and consents to marketing and profiling."""
    at_us = now_us()
    with Ledger.open(workspace.database_url, workspace.secret()) as ledger:
        release = Release.from_bytes(ledger.get_release(ledger.active(workspace.settings.environment) or ""))
        profiles = Profiles(Store(workspace.data), release.schema)
        streams = [ledger.stream_of("person", customer_id(n)) for n in range(len(rows))]
        for stream, row in zip(streams, rows.tolist(), strict=True):
            profiles.write(stream, models.facts_of(row), at_us, now_us=at_us)
        ledger.append_many(_grant(s, purpose, at_us) for s in streams for purpose in ("marketing", "profiling"))


def _grant(stream: str, purpose: str, at_us: int) -> Entry:
    about = {"channel": "*", "status": "granted", "source": "bench", "notice_version": "2026-01"}
    return Entry(stream, "consent", {"purpose": purpose, "expires_us": None, "asserted_by": None, **about}, at_us)


def _train(world: World, release: str) -> None:
    """Train and register the champion, and save one LightGBM with the action as a feature for the stock servers."""
    data = models.log()
    start_s = time.perf_counter()
    model = fit(data, models.RECIPE)
    world.figures["fit_s"] = time.perf_counter() - start_s
    forests = [f for f in model.forests if f]
    world.figures["actions_with_trees"] = float(len(forests))
    world.figures["trees"] = float(sum(f.booster.num_trees() for f in forests))
    assert len(forests) >= catalogue.N_ACTIONS // 2, "the benchmark's model is to carry trees"
    model.save(world.root / "fitted")
    registry = Registry(world.workspace.data)
    version = registry.log_and_register(
        world.root / "fitted", "propensity", Provenance(data.digest(), data.feature_names, release)
    )
    make_champion(registry, version)
    import mlflow.lightgbm

    params = {"objective": "binary", "num_leaves": STOCK_LEAVES, "num_threads": 1, "verbosity": -1}
    x = np.column_stack([data.x, data.action])
    booster = lightgbm.train(params, lightgbm.Dataset(x, data.label.astype(np.float64)), STOCK_TREES)
    mlflow.lightgbm.save_model(booster, str(world.stock_model))
