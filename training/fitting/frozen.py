"""Actions whose model stays what the champion has, while the others learn on."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from decisioning.catalogue.release import Release
from decisioning.errors import Refused
from decisioning.times import iso
from training.model.calibration import IDENTITY
from training.model.effects import Effects
from training.model.frame import NO_TERMS, Floats, TrainingSet
from training.model.model import Frozen, PropensityModel

Kept = Mapping[str, Frozen]
"""By action."""


def kept_by(release: Release, champion: PropensityModel | None, now_us: int) -> Kept:
    """What a release freezes, as the champion has it; what is frozen in it already, since then.

    :raises Refused: there is no champion, or it knows no such action
    """
    frozen = {a.id: a.frozen for a in release.actions.values() if a.frozen}
    return {action: _part(champion, action, reason, now_us) for action, reason in frozen.items()}


def _part(champion: PropensityModel | None, action: str, reason: str, now_us: int) -> Frozen:
    if champion is None or action not in champion.actions:
        raise Refused(f"{action} is frozen, and no champion knows it yet: promote one that does, or remove `frozen`")
    at = champion.actions.index(action)
    if at in champion.frozen:
        return replace(champion.frozen[at], reason=reason)
    return Frozen(alone(champion, at), champion.content_hash, now_us, reason)


def alone(model: PropensityModel, action: int) -> PropensityModel:
    """The same propensities of one action, by index, to the bit: a model of nothing else, in which it is 0."""
    if action in model.frozen:
        return model.frozen[action].model
    rows = [action, model.resolve("", model.groups[action]), len(model.weights) - 1]
    return replace(
        model,
        actions=(model.actions[action],),
        groups=(model.groups[action],),
        treatments=(model.treatments[action],),
        weights=model.weights[rows],
        variances=model.variances[rows],
        offsets=model.offsets[rows],
        evidence=model.evidence[rows],
        forests=tuple(model.forests[row] for row in rows),
        calibrations=tuple(model.calibrations[row] for row in rows),
        effects=Effects(model.effects.weights[rows]) if model.effects else None,
        terms=(replace(model.terms[action], supersedes=""),) if model.terms else (),
        frozen={},
    )


def including(data: TrainingSet, kept: Kept) -> TrainingSet:
    """The rows, and among their actions those that are kept and have none.

    :raises Refused: a feature that one of them reads is left out
    """
    for action, frozen in kept.items():
        if missing := sorted(set(frozen.model.feature_names) - set(data.feature_names)):
            raise Refused(f"{action} is frozen, and its model reads {missing[0]}: keep the feature, or remove `frozen`")
    new = {action: frozen.model for action, frozen in kept.items() if action not in data.actions}
    return replace(
        data,
        actions=(*data.actions, *new),
        groups=(*data.groups, *(model.groups[0] for model in new.values())),
        treatments=(*data.treatments, *(model.treatments[0] for model in new.values())),
        terms=(*data.terms, *(NO_TERMS for _ in new)) if data.terms else (),
    )


def with_kept(model: PropensityModel, kept: Kept) -> PropensityModel:
    """The model with these actions, which it knows, as they were kept."""
    if not kept:
        return model
    frozen = {model.actions.index(action): part for action, part in kept.items()}
    at = sorted(frozen)
    most = max(len(part.model.treatments[0]) for part in kept.values())
    treatments, evidence = list(model.treatments), model.evidence.copy()
    for i, part in frozen.items():
        treatments[i], evidence[i] = part.model.treatments[0], part.model.evidence[0]
    padding = np.zeros((len(model.offsets), max(most + 1 - model.offsets.shape[1], 0)))
    effects = Effects(_emptied(model.effects.weights, at, np.nan)) if model.effects else None
    return replace(
        model,
        treatments=tuple(treatments),
        weights=_emptied(model.weights, at),
        variances=_emptied(model.variances, at),
        offsets=_emptied(np.hstack([model.offsets, padding]), at),
        evidence=evidence,
        forests=tuple(None if i in frozen else forest for i, forest in enumerate(model.forests)),
        calibrations=tuple(IDENTITY if i in frozen else c for i, c in enumerate(model.calibrations)),
        effects=effects,
        frozen=dict(sorted(frozen.items())),
    )


def _emptied(rows: Floats, at: list[int], value: float = 0.0) -> Floats:
    out = rows.copy()
    out[at] = value
    return out


def told(model: PropensityModel) -> list[dict[str, Any]]:
    """Which actions are frozen, since when, from which model and why; plain JSON types."""
    return [
        {"action": model.actions[i], "since": iso(kept.since_us), "from": kept.source, "reason": kept.reason}
        for i, kept in model.frozen.items()
    ]


def check_frozen(model: PropensityModel, champion: PropensityModel | None, release: Release, called: str) -> None:
    """Refused for a model that would change a frozen action of the champion's."""
    for action in (a.id for a in release.actions.values() if a.frozen):
        if champion is None or action not in champion.actions:
            continue
        mine = action in model.actions and alone(model, model.actions.index(action)).content_hash
        if mine != alone(champion, champion.actions.index(action)).content_hash:
            raise Refused(
                f"{action} is frozen, and {called} has another model of it than the champion: train again, or remove "
                "`frozen`"
            )
