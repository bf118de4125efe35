"""What an agent who takes over a conversation is shown of the customer, and the words that help."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field

from decisioning.facts.because import Use as ReasonUse
from decisioning.spec import FeatureName, Id, Locale, Strict

Use = Literal["aloud", "act_on", "never"]
"""What an agent may do with what is shown.

`aloud`: say it to the customer. `act_on`: let it guide what they do, and not say it. `never`: neither; it is shown so
that the agent understands.
"""
USES: Final[Mapping[ReasonUse, Use]] = {"shown": "aloud", "said": "aloud", "on_request": "act_on", "never": "never"}
"""How a feature's reason may be used -> what an agent may do with the feature, where the heading does not say."""
Line = Annotated[str, Field(min_length=1, max_length=300)]


def _as_feature(raw: Any) -> Any:
    return {"name": raw} if isinstance(raw, str) else raw


class ShownFeature(Strict):
    """A feature that is shown under a heading. `use`: by default that of its reason."""

    name: FeatureName
    use: Use | None = None


class FactsHeading(Strict):
    """A heading under which features are shown, such as orders, open bills, tickets or appointments."""

    id: Id
    title: dict[Locale, Line]
    features: Annotated[
        tuple[Annotated[ShownFeature, BeforeValidator(_as_feature)], ...], Field(min_length=1, max_length=50)
    ]


class HelpWords(Strict):
    """Words that help: lines that acknowledge, and lines that offer a way out. None claims to feel anything."""

    acknowledge: Annotated[tuple[Line, ...], Field(min_length=1, max_length=10)]
    way_out: Annotated[tuple[Line, ...], Field(min_length=1, max_length=10)]
