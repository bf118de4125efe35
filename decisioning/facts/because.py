"""How a feature is told as a reason: a clause after "because" per value and locale, and where it may be used."""

from collections.abc import Mapping
from typing import Final, Literal, Self

from pydantic import Field, model_validator

from decisioning.spec import Description, Strict, Value, worded

Use = Literal["shown", "said", "on_request", "never"]
"""Where a reason may be used.

`shown`: with an offer, wherever it is seen. `said`: also by an agent alone. `on_request`: only in an explanation that
somebody asks for. `never`: to nobody but the company; it has no text.
"""
USES: Final[tuple[Use, ...]] = ("shown", "said", "on_request", "never")


class Band(Strict):
    """The clause for some values of a feature: the value `is`, or numbers from `from` (included) to `below`."""

    is_: Value | None = Field(default=None, alias="is")
    from_: float | None = Field(default=None, alias="from", allow_inf_nan=False)
    below: float | None = Field(default=None, allow_inf_nan=False)
    text: Description

    @model_validator(mode="after")
    def _some_values(self) -> Self:
        if (self.is_ is None) == (self.from_ is None and self.below is None):
            raise ValueError("it needs the values that it is for", "add `is: 1`, or `from: 2`")
        return self

    def holds(self, value: Value) -> bool:
        """Tell whether the clause is for this value."""
        if self.is_ is not None:
            return self.is_ == value and isinstance(self.is_, bool) == isinstance(value, bool)
        if isinstance(value, bool | str):
            return False
        return (self.from_ is None or value >= self.from_) and (self.below is None or value < self.below)


class Because(Strict):
    """The clauses of one feature, and their use. A value without a clause is told to nobody but the company.

    `text`: for the values that no band is for, of a bool for true, of a number for all but zero. `{value}` stands for
    the value, and `{line|lines}` for one of two forms: the first for exactly one, the second for any other number.
    """

    use: Use = "on_request"
    text: Description = ""
    bands: tuple[Band, ...] = ()

    def clause(self, value: Value) -> Description:
        """Return the clause for a value, not yet filled; empty if there is none."""
        for band in self.bands:
            if band.holds(value):
                return band.text
        return "" if value is False or (value == 0 and not isinstance(value, str)) else self.text

    @property
    def clauses(self) -> list[tuple[tuple[str | int, ...], Description]]:
        """Every clause, after its path within this record."""
        own: list[tuple[tuple[str | int, ...], Description]] = [(("text",), self.text)] if self.text else []
        return [*own, *((("bands", n, "text"), band.text) for n, band in enumerate(self.bands))]


def clause_in(clause: Description, locale: str) -> str:
    """Return a clause in exactly this locale or its language; empty if it is not written in it."""
    if isinstance(clause, Mapping) and not {locale, locale.partition("-")[0]} & clause.keys():
        return ""
    return worded(clause, locale)
