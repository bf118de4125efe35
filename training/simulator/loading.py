"""A generated world into a workspace: profiles, consents and the past campaign, as an import would bring them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from decisioning.catalogue.actions import Action
from decisioning.catalogue.release import Release
from decisioning.facts.schema import Feature
from decisioning.times import DAY_US
from features.ledger import Entry, Ledger
from features.matrix import FeatureMatrix
from features.profile.offline import History
from training.fitting.propensity import Recipe, fit
from training.fitting.risk import RiskModel, one_action
from training.fitting.scoring import write_scores
from training.registry import Registry
from training.reporting.reporting import Made, cross_fitted, measure, register
from training.simulator.telecom import CHANNELS, World

CHURN = "churn_risk"
CAMPAIGN_US = 90 * DAY_US
Progress = Callable[[int, int, str], None]
"""Called with (done, total, what)."""


def load(world: World, ledger: Ledger, history: History, progress: Progress) -> dict[str, int]:
    """Brings a world in; again adds nothing twice. The release that serves must be the world's catalogue."""
    streams = [ledger.stream_of("person", c) for c in world.customer_ids]
    times = (world.as_of_us - CAMPAIGN_US, world.as_of_us)
    profiles = pa.concat_tables([_profiles(world, streams, at_us) for at_us in times])
    history.import_profiles(profiles, lambda done, total: progress(done, total, "profiles"))
    entries = sorted((*_consents(world, streams), *_contacts(world, streams)), key=lambda e: e.stream)
    ledger.append_many(_told(entries, progress))
    return {"customers": len(world), "consents": len(world.consents), "contacts": len(world.log)}


def load_all(
    world: World,
    data: Path,
    ledger: Ledger,
    release: Release,
    history: History,
    registry: Registry,
    progress: Progress,
) -> dict[str, Any]:
    """The world, and the churn risk of everybody in it by a model of those who left or stayed before them."""
    loaded = load(world, ledger, history, progress)
    matrix = FeatureMatrix(release.schema)
    own = [i for i, name in enumerate(matrix.names) if name != CHURN]
    rows = matrix.rows(world.past.columns, len(world.past.left))[:, own]
    frame = one_action(rows, world.past.left, tuple(matrix.names[i] for i in own))
    made = Made("churn-risk", fit(frame), frame, release.hash, {}, measure(frame, cross_fitted(frame, Recipe())))
    registry.set_alias(made.name, "champion", register(data, registry, made))
    write_scores(RiskModel(made.model), CHURN, ledger, release, history, world.as_of_us, progress)
    return {**loaded, "churn_auc": made.measured.auc}


def _profiles(world: World, streams: list[str], at_us: int) -> pa.Table:
    """Everything but what a model says, as it was at `at_us`."""
    features = [f for f in world.catalogue.features if f.source == "profile" and f.name in world.columns]
    columns = {f.name: _column(world.columns[f.name], f) for f in features}
    when = pa.array([at_us] * len(streams), pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    return pa.table({"subject": streams, "event_timestamp": when, **columns})


def _column(values: Any, feature: Feature) -> pa.Array:
    if feature.dtype in ("enum", "string"):
        return pa.array(values.tolist(), pa.string())
    known = np.isfinite(values)
    types = {"bool": pa.bool_(), "int": pa.int64(), "timestamp": pa.int64(), "float": pa.float64()}
    return pa.array(np.where(known, values, 0.0), mask=~known).cast(types[feature.dtype])


def _consents(world: World, streams: list[str]) -> Iterator[Entry]:
    for n, told in enumerate(world.consents):
        body = {
            "purpose": told.purpose,
            "channel": told.channel,
            "status": told.status,
            "source": told.source,
            "notice_version": told.notice_version,
        }
        yield Entry(streams[told.customer], "consent", body, told.occurred_us, key=f"telecom:{world.seed}:consent:{n}")


def _contacts(world: World, streams: list[str]) -> Iterator[Entry]:
    log, actions = world.log, {a.id: a for a in world.catalogue.actions}
    columns = (log.customer, log.at_us, log.action, log.channel, log.probability, log.outcome_us, log.value_eur)
    rows = zip(*(c.tolist() for c in columns), log.treatment, log.page, log.contact_reason, log.outcome, strict=True)
    for n, (customer, at_us, action, channel, probability, outcome_us, value_eur, *texts) in enumerate(rows):
        treatment, page, reason, outcome = texts
        known = actions[world.actions[action]]
        happened = {"outcome": outcome, "value_eur": value_eur or None, "occurred_us": outcome_us}
        body = {
            "observation_id": f"telecom-{world.seed}-{n}",
            **_shown(known, CHANNELS[channel], treatment),
            "probability": probability,
            "facts": {k: v for k, v in (("page", page), ("contact_reason", reason)) if v is not None},
            "outcomes": [happened] if outcome else [],
        }
        yield Entry(streams[customer], "observation", body, at_us, key=f"telecom:{world.seed}:contact:{n}")


def _shown(action: Action, channel: str, treatment: str) -> dict[str, Any]:
    return {
        "action": action.id,
        "group": action.group,
        "issue": action.issue,
        "channel": channel,
        "treatment": f"{action.id}.{treatment}",
    }


def _told(entries: list[Entry], progress: Progress) -> Iterator[Entry]:
    for n, entry in enumerate(entries):
        if n % 1000 == 0:
            progress(n, len(entries), "ledger")
        yield entry
