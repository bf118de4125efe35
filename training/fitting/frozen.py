"""Actions whose model stays as the champion has it, while the others keep learning.

`frozen` is a setting of the catalogue and not a command, so that it is reviewed, released and rolled back like the
rest. The champion's part is kept as a model within the model, with its own features and standardisation, so that no bit
of a propensity changes. Other actions still learn from the rows of a frozen action.
"""

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

FrozenActions = Mapping[str, Frozen]
"""Frozen models by action."""


def frozen_actions(release: Release, champion: PropensityModel | None, now_us: int) -> FrozenActions:
    """Return the actions that the release freezes, as the champion has them.

    An action that is frozen in the champion already keeps its model, source and time.

    :raises Refused: there is no champion, or it does not know one of the actions
    """
    reasons = {a.id: a.frozen for a in release.actions.values() if a.frozen}
    return {action: _freeze(champion, action, reason, now_us) for action, reason in reasons.items()}


def _freeze(champion: PropensityModel | None, action: str, reason: str, now_us: int) -> Frozen:
    if champion is None or action not in champion.actions:
        raise Refused(f"{action} is frozen, and no champion knows it yet: promote one that does, or remove `frozen`")
    index = champion.actions.index(action)
    if index in champion.frozen:
        return replace(champion.frozen[index], reason=reason)
    return Frozen(single_action_model(champion, index), champion.content_hash, now_us, reason)


def single_action_model(model: PropensityModel, action: int) -> PropensityModel:
    """Return a model of this action (an index) alone, at index 0, with the same propensities to the bit."""
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
        alike=model.alike[rows],
        forests=tuple(model.forests[row] for row in rows),
        calibrations=tuple(model.calibrations[row] for row in rows),
        effects=Effects(model.effects.weights[rows]) if model.effects else None,
        terms=(replace(model.terms[action], supersedes=""),) if model.terms else (),
        frozen={},
    )


def with_frozen_actions(data: TrainingSet, frozen: FrozenActions) -> TrainingSet:
    """Return the rows with those frozen actions added to their actions that have no rows.

    :raises Refused: the rows lack a feature that one of the frozen models reads
    """
    for action, part in frozen.items():
        if missing := sorted(set(part.model.feature_names) - set(data.feature_names)):
            raise Refused(f"{action} is frozen, and its model reads {missing[0]}: keep the feature, or remove `frozen`")
    new = {action: part.model for action, part in frozen.items() if action not in data.actions}
    return replace(
        data,
        actions=(*data.actions, *new),
        groups=(*data.groups, *(model.groups[0] for model in new.values())),
        treatments=(*data.treatments, *(model.treatments[0] for model in new.values())),
        terms=(*data.terms, *(NO_TERMS for _ in new)) if data.terms else (),
    )


def with_frozen(model: PropensityModel, frozen: FrozenActions) -> PropensityModel:
    """Return the model with these of its actions frozen."""
    if not frozen:
        return model
    by_index = {model.actions.index(action): part for action, part in frozen.items()}
    rows = sorted(by_index)
    most_treatments = max(len(part.model.treatments[0]) for part in frozen.values())
    treatments, evidence, alike = list(model.treatments), model.evidence.copy(), model.alike.copy()
    for i, part in by_index.items():
        treatments[i], evidence[i] = part.model.treatments[0], part.model.evidence[0]
        alike[i] = part.model.alike[0]
    padding = np.zeros((len(model.offsets), max(most_treatments + 1 - model.offsets.shape[1], 0)))
    return replace(
        model,
        treatments=tuple(treatments),
        weights=_filled_rows(model.weights, rows),
        variances=_filled_rows(model.variances, rows),
        offsets=_filled_rows(np.hstack([model.offsets, padding]), rows),
        evidence=evidence,
        alike=alike,
        forests=tuple(None if i in by_index else forest for i, forest in enumerate(model.forests)),
        calibrations=tuple(IDENTITY if i in by_index else c for i, c in enumerate(model.calibrations)),
        effects=Effects(_filled_rows(model.effects.weights, rows, np.nan)) if model.effects else None,
        frozen=dict(sorted(by_index.items())),
    )


def _filled_rows(array: Floats, rows: list[int], value: float = 0.0) -> Floats:
    """Return a copy of the array with `value` in these rows."""
    copy = array.copy()
    copy[rows] = value
    return copy


def frozen_summary(model: PropensityModel) -> list[dict[str, Any]]:
    """Return per frozen action: since when, from which model and why; plain JSON types."""
    return [
        {"action": model.actions[i], "since": iso(frozen.since_us), "from": frozen.source, "reason": frozen.reason}
        for i, frozen in model.frozen.items()
    ]


def check_frozen(model: PropensityModel, champion: PropensityModel | None, release: Release, called: str) -> None:
    """Refuse a model that changes an action that the release freezes.

    :param called: the model's name for the message
    :raises Refused: the model has another model of the action than the champion
    """
    for action in (a.id for a in release.actions.values() if a.frozen):
        if champion is None or action not in champion.actions:
            continue
        own = action in model.actions and single_action_model(model, model.actions.index(action)).content_hash
        if own != single_action_model(champion, champion.actions.index(action)).content_hash:
            raise Refused(
                f"{action} is frozen, and {called} has another model of it than the champion: train again, or remove "
                "`frozen`"
            )
