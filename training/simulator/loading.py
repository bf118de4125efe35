"""Loads a generated world into a workspace: profiles, consents and the past campaign, as an import would bring them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from decisioning.catalogue.actions import Action
from decisioning.facts.schema import Feature
from decisioning.times import DAY_US
from features.decisions.log import Progress
from features.ledger import Entry, Ledger
from features.matrix import FeatureMatrix
from features.profile.offline import History
from training.fitting.propensity import Recipe
from training.fitting.risk import RiskModel, one_action
from training.fitting.scoring import write_scores
from training.learning.context import LearningContext
from training.learning.workflow import register_champion
from training.reporting.registration import TrainedModel, fit_event
from training.simulator.telecom import CHANNELS, World

CHURN = "churn_risk"
CAMPAIGN_US = 90 * DAY_US


def load(world: World, ledger: Ledger, history: History, progress: Progress) -> dict[str, int]:
    """Load the world's profiles, consents and contacts, and return how many there are.

    Loading it again adds nothing. The release that serves must be the world's catalogue.
    """
    streams = [ledger.stream_of("person", c) for c in world.customer_ids]
    times = (world.as_of_us - CAMPAIGN_US, world.as_of_us)
    profiles = pa.concat_tables([_profiles(world, streams, at_us) for at_us in times])
    history.import_profiles(profiles, lambda done, total: progress(done, total, "profiles"))
    entries = sorted((*_consents(world, streams), *_contacts(world, streams)), key=lambda e: e.stream)
    ledger.append_many(_with_progress(entries, progress))
    return {"customers": len(world), "consents": len(world.consents), "contacts": len(world.log)}


def load_all(world: World, context: LearningContext, progress: Progress) -> dict[str, Any]:
    """Load the world and the churn risk of every customer, by a model of past customers who left or stayed."""
    loaded = load(world, context.ledger, context.history, progress)
    matrix = FeatureMatrix(context.release.schema)
    own = [i for i, name in enumerate(matrix.names) if name != CHURN]
    rows = matrix.rows(world.past.columns, len(world.past.left))[:, own]
    data = one_action(rows, world.past.left, tuple(matrix.names[i] for i in own))
    model, metrics = fit_event(data, Recipe())
    trained = TrainedModel("churn-risk", model, data, context.release.hash, {}, metrics)
    register_champion(context, trained, world.as_of_us)
    write_scores(RiskModel(model), CHURN, context.ledger, context.release, context.history, world.as_of_us, progress)
    return {**loaded, "churn_auc": metrics.auc}


def _profiles(world: World, streams: list[str], at_us: int) -> pa.Table:
    """Return every profile feature, without those that a model scores, as known at `at_us`."""
    features = [f for f in world.catalogue.features if f.source == "profile" and f.name in world.columns]
    columns = {f.name: _column(world.columns[f.name], f) for f in features}
    when = pa.array([at_us] * len(streams), pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    return pa.table({"subject": streams, "event_timestamp": when, **columns})


def _column(values: Any, feature: Feature) -> pa.Array:
    if feature.dtype in ("enum", "string"):
        return pa.array(values.tolist(), pa.string())
    present = np.isfinite(values)
    types = {"bool": pa.bool_(), "int": pa.int64(), "timestamp": pa.int64(), "float": pa.float64()}
    return pa.array(np.where(present, values, 0.0), mask=~present).cast(types[feature.dtype])


def _consents(world: World, streams: list[str]) -> Iterator[Entry]:
    for n, consent in enumerate(world.consents):
        body = {
            "purpose": consent.purpose,
            "channel": consent.channel,
            "status": consent.status,
            "source": consent.source,
            "notice_version": consent.notice_version,
        }
        key = f"telecom:{world.seed}:consent:{n}"
        yield Entry(streams[consent.customer], "consent", body, consent.occurred_us, key=key)


def _contacts(world: World, streams: list[str]) -> Iterator[Entry]:
    log, actions = world.log, {a.id: a for a in world.catalogue.actions}
    columns = (log.customer, log.at_us, log.action, log.channel, log.probability, log.outcome_us, log.value_eur)
    rows = zip(*(c.tolist() for c in columns), log.treatment, log.page, log.contact_reason, log.outcome, strict=True)
    for n, (customer, at_us, action, channel, probability, outcome_us, value_eur, *texts) in enumerate(rows):
        treatment, page, reason, name = texts
        outcome = {"outcome": name, "value_eur": value_eur or None, "occurred_us": outcome_us}
        body = {
            "observation_id": f"telecom-{world.seed}-{n}",
            **_choice(actions[world.actions[action]], CHANNELS[channel], treatment),
            "probability": probability,
            "facts": {k: v for k, v in (("page", page), ("contact_reason", reason)) if v is not None},
            "outcomes": [outcome] if name else [],
        }
        yield Entry(streams[customer], "observation", body, at_us, key=f"telecom:{world.seed}:contact:{n}")


def _choice(action: Action, channel: str, treatment: str) -> dict[str, Any]:
    return {
        "action": action.id,
        "group": action.group,
        "issue": action.issue,
        "channel": channel,
        "treatment": f"{action.id}.{treatment}",
    }


def _with_progress(entries: list[Entry], progress: Progress) -> Iterator[Entry]:
    for n, entry in enumerate(entries):
        if n % 1000 == 0:
            progress(n, len(entries), "ledger")
        yield entry
