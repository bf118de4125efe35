"""Checks of features that are measured of the queue and the agents: they name skills and issues that exist."""

from collections.abc import Iterator
from typing import Final

from decisioning.catalogue.check.shape import Draft, Item
from decisioning.catalogue.check.words import hint
from decisioning.catalogue.people.routing import Skill
from decisioning.catalogue.source import shorten
from decisioning.errors import Mistake
from decisioning.facts.schema import Feature

_HAS: Final = {"skill": "is called", "issue": "is of issue"}


def measure_problems(draft: Draft) -> Iterator[Mistake]:
    """Yield every feature that is measured of a skill or an issue that no skill has, or of both.

    A catalogue that states no skills takes any.
    """
    skills = () if draft.routing is None else draft.routing.spec.skills
    for item in draft.features:
        yield from _measured(item, skills)


def _measured(item: Item[Feature], skills: tuple[Skill, ...]) -> Iterator[Mistake]:
    asked = item.spec.routing
    if asked is None:
        return
    if asked.skill is not None and asked.issue is not None:
        yield item.problem(("routing", "issue"), "a skill belongs to one issue", "remove `skill` or `issue`")
    named = {"skill": asked.skill if skills else None, "issue": asked.issue}
    known = {"skill": {skill.id for skill in skills}, "issue": {str(skill.issue) for skill in skills}}
    for part, name in named.items():
        if name is not None and name not in known[part]:
            message = f"no skill of `routing` {_HAS[part]} `{shorten(name)}`"
            yield item.problem(
                ("routing", part), message, hint(name, known[part]) or "add it to `routing: {skills: …}`"
            )
