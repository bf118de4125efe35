"""What a catalogue asks of the model of each action, and who inherits from whom."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from decisioning.catalogue.release import Release
from decisioning.errors import Refused
from training.model.frame import NO_TERMS, ModelTerms, TrainingSet
from training.model.model import WITHOUT_TREES, PropensityModel

_SIGNS = {"up": 1, "down": -1}


def as_asked(data: TrainingSet, release: Release) -> TrainingSet:
    """The rows with the terms of a release, and with the actions that supersede one of theirs and have no rows yet."""
    known = set(data.actions)
    new = [a for a in release.actions.values() if a.id not in known and known.intersection(release.superseded(a.id))]
    actions = (*data.actions, *(a.id for a in new))
    groups, treatments = (*data.groups, *(a.group for a in new)), (*data.treatments, *(() for _ in new))
    return replace(data, actions=actions, groups=groups, treatments=treatments, terms=terms_of(release, actions))


def terms_of(release: Release, actions: Sequence[str]) -> tuple[ModelTerms, ...]:
    """What a release asks of the models of these actions; empty where nothing."""
    terms = tuple(_terms(release, action, actions) for action in actions)
    return () if all(asked == NO_TERMS for asked in terms) else terms


def _terms(release: Release, action: str, actions: Sequence[str]) -> ModelTerms:
    known = release.actions.get(action)
    if known is None:
        return NO_TERMS
    settings = release.catalogue.settings
    asked = {**settings.monotone.get(known.issue, {}), **known.monotone}
    return ModelTerms(
        supersedes=next((older for older in release.superseded(action) if older in actions), ""),
        floor=settings.transparency.get(known.issue, 1),
        monotone=tuple(sorted((name, _SIGNS[direction]) for name, direction in asked.items())),
    )


def heirs(data: TrainingSet) -> Iterator[tuple[int, int]]:
    """Positions of actions that supersede one, and of that one, which comes first where it supersedes one itself.

    :raises Refused: the older one is not among the actions, or the newer in the end supersedes itself
    """
    code = {name: a for a, name in enumerate(data.actions)}
    older = {a: code.get(data.asked(a).supersedes, -1) for a in code.values() if data.asked(a).supersedes}
    while older:
        ready = [a for a, old in older.items() if old not in older and old >= 0]
        if not ready:
            raise Refused("training rows: what an action supersedes must be an action of theirs, and not in a circle")
        yield from ((a, older.pop(a)) for a in ready)


def with_treatments_of_ancestors(data: TrainingSet) -> TrainingSet:
    """Every action with the treatments of what it supersedes after its own, so that their codes stay what they are."""
    treatments = list(data.treatments)
    for action, older in heirs(data):
        treatments[action] += tuple(t for t in treatments[older] if t not in treatments[action])
    return replace(data, treatments=tuple(treatments))


def check_terms(model: PropensityModel, release: Release, called: str) -> None:
    """Refused for a model that is not what the catalogue asks of some action."""
    for action in release.actions.values():
        at = model.resolve(action.id, action.group, release.superseded(action.id))
        asked = _terms(release, action.id, ())
        if (level := int(model.transparency[at])) < asked.floor:
            help_is_near = asked.floor <= WITHOUT_TREES
            raise Refused(
                f"{called} is of transparency {level} for {action.id}, and issue {action.issue} asks for {asked.floor} "
                f"of 5: {'train again, which leaves out its trees, or ' if help_is_near else ''}lower "
                "`settings.transparency`"
            )
        scored_by, index = model.of(at)
        kept = set(scored_by.terms[index].monotone if scored_by.terms and index < len(scored_by.actions) else ())
        if action.id in model.actions and (missing := sorted(set(asked.monotone) - kept)):
            raise Refused(f"{called} does not keep the direction of {missing[0][0]} for {action.id}: train again")
