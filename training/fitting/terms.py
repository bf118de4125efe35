"""What a catalogue requires of each action's model, and which action starts from which.

The terms are part of the training rows. Without any, a fit gives the bytes that it would give without terms. Rows of an
action that is gone stay in the log, and are labelled by the outcomes of the action that superseded it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from decisioning.catalogue.release import Release
from decisioning.errors import Refused
from training.model.frame import NO_TERMS, ModelTerms, TrainingSet
from training.model.model import WITHOUT_TREES, PropensityModel

_SIGNS = {"up": 1, "down": -1}


def with_terms(data: TrainingSet, release: Release) -> TrainingSet:
    """Return the rows with a release's terms, and with its actions without rows that supersede one of theirs."""
    present = set(data.actions)
    new = [a for a in release.actions.values() if a.id not in present and present & set(release.superseded(a.id))]
    actions = (*data.actions, *(a.id for a in new))
    groups, treatments = (*data.groups, *(a.group for a in new)), (*data.treatments, *(() for _ in new))
    return replace(data, actions=actions, groups=groups, treatments=treatments, terms=terms_of(release, actions))


def terms_of(release: Release, actions: Sequence[str]) -> tuple[ModelTerms, ...]:
    """Return what a release requires of the models of these actions; empty if nothing of any."""
    terms = tuple(_terms_of_action(release, action, actions) for action in actions)
    return () if all(each == NO_TERMS for each in terms) else terms


def _terms_of_action(release: Release, action: str, actions: Sequence[str]) -> ModelTerms:
    """Return the terms of one action; what it supersedes is the nearest of `actions`."""
    declared = release.actions.get(action)
    if declared is None:
        return NO_TERMS
    settings = release.catalogue.settings
    directions = {**settings.monotone.get(declared.issue, {}), **declared.monotone}
    return ModelTerms(
        supersedes=next((older for older in release.superseded(action) if older in actions), ""),
        floor=settings.transparency.get(declared.issue, 1),
        monotone=tuple(sorted((name, _SIGNS[direction]) for name, direction in directions.items())),
    )


def superseding_pairs(data: TrainingSet) -> Iterator[tuple[int, int]]:
    """Yield the positions of each action that supersedes another, and of that older action.

    A pair comes after the pair in which its older action supersedes another one.

    :raises Refused: an older action is not among the actions, or an action supersedes itself through others
    """
    code = {name: a for a, name in enumerate(data.actions)}
    pending = {a: code.get(data.terms_of(a).supersedes, -1) for a in code.values() if data.terms_of(a).supersedes}
    while pending:
        ready = [a for a, older in pending.items() if older not in pending and older >= 0]
        if not ready:
            raise Refused("training rows: what an action supersedes must be an action of theirs, and not in a circle")
        yield from ((a, pending.pop(a)) for a in ready)


def with_treatments_of_ancestors(data: TrainingSet) -> TrainingSet:
    """Return the rows with each action's treatments followed by those of the action it supersedes; codes stay."""
    treatments = list(data.treatments)
    for action, older in superseding_pairs(data):
        treatments[action] += tuple(t for t in treatments[older] if t not in treatments[action])
    return replace(data, treatments=tuple(treatments))


def check_terms(model: PropensityModel, release: Release, called: str) -> None:
    """Refuse a model that does not satisfy the catalogue's terms for an action.

    :param called: the model's name for the message
    :raises Refused: a propensity is less transparent than its issue requires, or lacks a monotone direction
    """
    for action in release.actions.values():
        index = model.resolve(action.id, action.group, release.superseded(action.id))
        terms = _terms_of_action(release, action.id, ())
        if (level := int(model.transparency[index])) < terms.floor:
            retrain = "train again, which leaves out its trees, or " if terms.floor <= WITHOUT_TREES else ""
            raise Refused(
                f"{called} is of transparency {level} for {action.id}, and issue {action.issue} asks for {terms.floor} "
                f"of 5: {retrain}lower `settings.transparency`"
            )
        if action.id in model.actions and (missing := sorted(set(terms.monotone) - _fitted_directions(model, index))):
            raise Refused(f"{called} does not keep the direction of {missing[0][0]} for {action.id}: train again")


def _fitted_directions(model: PropensityModel, index: int) -> set[tuple[str, int]]:
    """Return the monotone terms under which the action at this index was fitted."""
    scoring, own_index = model.scoring_model(index)
    return set(scoring.terms[own_index].monotone if scoring.terms and own_index < len(scoring.actions) else ())
