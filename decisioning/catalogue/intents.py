"""What customers want, as the catalogue lists it: intents with example sentences, and how far a machine may go."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, get_args

from pydantic import Field

from decisioning.catalogue.actions import Automation, Text
from decisioning.facts.forms import Issue
from decisioning.facts.schema import Feature
from decisioning.spec import Id, Locale, Strict

Risk = Literal["status", "change", "money", "leaving"]
Spoken = Literal["nl", "en"]
SPOKEN: tuple[Spoken, ...] = get_args(Spoken)
"""The languages that messages are read in."""
CEILINGS: Mapping[Risk, Automation] = {
    "status": "automatic",
    "change": "automatic",
    "money": "suggest",
    "leaving": "human_only",
}
"""Risk -> the highest level of automation of what answers such an intent. An intent may state a lower one."""
FEWEST_EXAMPLES = 10
"""How many examples an intent needs in each language that the workspace and messages have."""
MOST_EXAMPLES = 2_000
"""The number of examples of all intents, so that learning from them takes a few seconds at most."""
AUTOMATION = "action:automation"
"""The gate that asks for a person."""
_LEVELS: tuple[Automation, ...] = ("human_only", "suggest", "automatic")


class Intent(Strict):
    """Something that customers want, and how they say it.

    `skill`: what an agent needs for it, by default the intent's own id. `automation`: the highest level of automation,
    lower than the risk allows. `examples`: language -> sentences of customers.
    """

    id: Id
    title: dict[Locale, Text]
    issue: Issue
    risk: Risk
    skill: Id | None = None
    automation: Automation | None = None
    examples: dict[Spoken, tuple[Annotated[Text, Field(max_length=300)], ...]]

    @property
    def ceiling(self) -> Automation:
        """The highest level of automation of what answers this intent."""
        return self.automation or CEILINGS[self.risk]

    @property
    def needs_skill(self) -> str:
        """What an agent needs who handles this intent."""
        return self.skill or self.id


def is_above(level: Automation, ceiling: Automation) -> bool:
    """Tell whether a level of automation leaves more to a machine than the ceiling."""
    return _LEVELS.index(level) > _LEVELS.index(ceiling)


def limited(intents: Iterable[Intent]) -> tuple[str, ...]:
    """Return the ids of the intents that nothing may answer automatically, sorted."""
    return tuple(sorted(intent.id for intent in intents if is_above("automatic", intent.ceiling)))


def limiting_rules(intents: Iterable[Intent], features: Iterable[Feature]) -> list[str]:
    """Return the rules, one of which is TRUE while the last intent of a conversation needs a person.

    They are FALSE where no intent was heard. Only help is held back by them: what a customer asks for sells nothing.
    """
    names = ", ".join(f'"{name}"' for name in limited(intents))
    held = (f.name for f in features if f.signal is not None and f.signal.holds_the_intent)
    return [f"known({name}) && {name} in [{names}]" for name in held] if names else []
