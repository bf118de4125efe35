"""The base class of all records read from YAML, and the types of names and values in them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Value = bool | int | float | str
"""A known fact. Timestamps are int microseconds since 1970 UTC. A fact that is absent, None or NaN is UNKNOWN."""
Tag = Literal["emotion", "special-category", "request", "proxy", "identifier", "protected"]
Id = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*([_-][a-z0-9]+)*$", max_length=64)]
Locale = Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2})?$")]
Description = str | dict[Locale, str]
"""What something is, in plain words: one text, or one text per locale."""
FeatureName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]


class Strict(BaseModel):
    """Base of every record read from YAML: frozen, refuses unknown keys, never coerces types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def one_as_tuple(raw: Any) -> Any:
    """Return a single text as a tuple of one, and anything else as it is, for fields that accept either form."""
    return (raw,) if isinstance(raw, str) else raw


def worded(description: Description, locale: str) -> str:
    """Return the description in `locale`, else in its language, else the first one written; empty if there is none."""
    if isinstance(description, str):
        return description
    wanted = (locale, locale.partition("-")[0])
    return next((description[w] for w in wanted if w in description), next(iter(description.values()), ""))
