"""Trials for tests: two equal models, and decisions of both with their outcomes in a real ledger."""

import copy
import shutil
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from decisioning.catalogue.files import pack
from decisioning.catalogue.release import Release
from features.approvals.door import Door
from features.ledger import Entry, Ledger
from features.matrix import FeatureMatrix
from tests.permits import TESTER, make_champion, model_permit
from tests.training.decided import CATALOGUE, DAY_US, FILES_OF_RELEASE, THEN_US, decision
from tests.training.logs import random_log
from training.fitting.propensity import Recipe, fit
from training.learning.context import LearningContext, TrialRules
from training.learning.evidence import Guard
from training.learning.trials import assess, begin
from training.model.frame import TrainingSet
from training.registry import Registry
from training.tracking import Provenance

FILES = {
    "all.yaml": CATALOGUE.replace(
        "  - {name: hardship,", "  - {name: sex, dtype: enum, values: [f, m], tags: [protected]}\n  - {name: hardship,"
    ).replace("negative: [declined], window_days: 30", "negative: [declined, complained], window_days: 30")
}
RELEASE = Release.from_bytes(pack(FILES))
NOW_US = THEN_US + 90 * DAY_US
SECRET = b"k" * 32


def open_ledger(folder: Path) -> Ledger:
    """Return an empty ledger with the releases of trials."""
    ledger = Ledger.open(folder / "ledger.db", b"x" * 32, clock=lambda: NOW_US)
    ledger.put_release(pack(FILES))
    ledger.put_release(pack(FILES_OF_RELEASE))
    return ledger


def two_equal_models(folder: Path) -> Registry:
    """Return a registry of two equal models, of which neither serves."""
    registry, names = Registry(folder), FeatureMatrix(RELEASE.schema).names
    log = random_log(400, n_actions=2)
    data = TrainingSet(
        **{
            **{f: getattr(log, f) for f in TrainingSet.__slots__},
            "x": log.x[:, : len(names)],
            "feature_names": names,
            "actions": tuple(RELEASE.actions),
            "treatments": (("hero",), ("hero",)),
            "treatment": np.zeros(len(log), dtype=np.int64),
        }
    )
    files = fit(data, Recipe(growth=None)).files()
    for _ in range(2):
        registry.register(files, "propensity", Provenance("sha256:0", names, RELEASE.hash))
    return registry


def copy_of(registry: Registry, folder: Path) -> Registry:
    """Return a copy of a registry in a new folder within `folder`."""
    return Registry(shutil.copytree(registry._data, folder / "registry"))


def serve(
    ledger: Ledger, n: int, rates: tuple[float, float], complaints: tuple[float, float] = (0, 0), **more: Any
) -> None:
    """Write decisions drawn at random for champion 1 and challenger 2, each with an offer, and their outcomes.

    `drawn`: the challenger's probability. `eur`: what a sale of each model was told to be worth. `issues`: of what each
    model offers. `undrawn`: how many of the decisions were not drawn in the trial, all of them the champion's.
    `complain_days`: when complaints come. `kinds`: what of all that is written now. `left_out`, `shadow`: see below.
    """
    rng, pattern = np.random.default_rng(more.get("seed", 0)), decision(ledger, 1, "email")
    first, kinds = str(more.get("first", "t")), more.get("kinds", ("decision", "bought", "complained"))

    def entries() -> Iterable[Entry]:
        for i in range(n):
            drawn = i >= more.get("undrawn", 0)
            by_challenger = int(rng.random() < more.get("drawn", 0.5)) if drawn else 0
            record = copy.deepcopy(pattern)
            offer, sex = f"{first}{i}.0", "fm"[int(rng.random() < 0.5)]
            at_us = THEN_US + i
            record |= {
                "decision_id": f"{first}{i}",
                "decided_us": at_us,
                "model": f"propensity@{1 + by_challenger}",
                "release": RELEASE.hash,
                **({"trial": THEN_US - 1} if drawn else {}),
            }
            record["facts"]["sex"] = sex
            record["answer"]["model"] = record["model"]
            record["contacts"][0] |= {"offer_id": offer, "at_us": at_us, "counts_on": "decided"}
            record["contacts"][0]["issue"] = more.get("issues", ("grow", "grow"))[by_challenger]
            record["answer"]["placements"][0]["offers"][0] |= {"offer_id": offer, "propensity": rates[by_challenger]}
            if more.get("shadow"):
                record |= {"shadow": {"model": "propensity@2", "propensity": [0.1]}, "model": "propensity@1"}
                del record["trial"]
            if sex in more.get("left_out", ()) and rng.random() < 0.6:
                record["picks"][0] |= {"treatment": None}
                record["contacts"] = []
                record["answer"]["placements"][0] |= {"offers": [], "empty_reason": "explored_nothing"}
            stream = ledger.stream_of("person", f"{first}{i}")
            if "decision" in kinds:
                yield Entry(stream, "decision", record, at_us)
            for name, rate in (("bought", rates[by_challenger]), ("complained", complaints[by_challenger])):
                if rng.random() < rate and record["contacts"] and name in kinds:
                    body = {"action": record["contacts"][0]["action"], "outcome": name, "offer_id": offer}
                    if name == "bought" and "eur" in more:
                        body["value_eur"] = more["eur"][by_challenger]
                    days = more.get("complain_days", 1) if name == "complained" else 1
                    yield Entry(stream, "outcome", body, at_us + days * DAY_US)

    ledger.append_many(entries())


def context_of(
    tmp_path: Path, ledger: Ledger, models: Registry, release: Release = RELEASE, **rules: Any
) -> LearningContext:
    """Return a context without a history of profiles, which decisions do not need; trials may last for ninety days."""
    judged_by = TrialRules(**{"longest_days": 90.0, **rules})
    door = Door(ledger, "dev", TESTER)
    return LearningContext(tmp_path, ledger, release, None, models, SECRET, judged_by, door=door)  # type: ignore[arg-type]


def judged(context: LearningContext) -> tuple[str, dict[str, Guard], dict[str, Any]]:
    context.updated_log(NOW_US)
    verdict, summary = assess(context, NOW_US)
    return verdict.action, {g["name"]: Guard(**g) for g in summary["guards"]}, summary


def on_trial(registry: Registry, share: float = 0.5) -> Registry:
    make_champion(registry, 1)
    begin(registry, 2, share, THEN_US - 1, partial(model_permit, registry))
    return registry
