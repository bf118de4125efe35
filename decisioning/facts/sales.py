"""Sales that are made by voice: their steps, and until when the customer may withdraw."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

SaleStep = Literal["agreed", "confirmed", "withdrawn"]
UNDONE: Final = "undone"
"""The step of a record that takes back the one before it."""
_FOLLOW: Final[Mapping[SaleStep | None, tuple[SaleStep, ...]]] = {
    None: ("agreed",),
    "agreed": ("confirmed", "withdrawn"),
    "confirmed": ("withdrawn",),
    "withdrawn": (),
}
STEPS: Final = tuple(step for step in _FOLLOW if step is not None)


@dataclass(frozen=True, slots=True)
class Sale:
    """A sale as its records have it.

    `steps`: their bodies, the oldest first, without what was undone. `records`: how many there are, undone ones too.
    """

    steps: tuple[Mapping[str, Any], ...] = ()
    records: int = 0

    @property
    def step(self) -> SaleStep | None:
        """The last step, None if there is none."""
        return self.steps[-1]["step"] if self.steps else None

    @property
    def until_us(self) -> int | None:
        """Until when the customer may withdraw; None if no end is stated, as before the sale is confirmed."""
        return self.steps[-1].get("until_us") if self.steps else None

    def misfit(self, step: SaleStep, now_us: int) -> str:
        """Return why a step cannot follow now, empty if it can."""
        if step not in _FOLLOW[self.step]:
            return f"the sale is {self.step}" if self.step else "the customer did not agree to it yet"
        if step == "withdrawn" and self.until_us is not None and self.until_us < now_us:
            return "the time in which the customer may withdraw is over"
        return ""


def sale_of(bodies: Iterable[Mapping[str, Any]]) -> Sale:
    """Return the sale that records amount to, the oldest first."""
    steps = list[Mapping[str, Any]]()
    number = 0
    for body in bodies:
        number += 1
        if body["step"] == UNDONE:
            steps = steps[:-1]
        else:
            steps.append(body)
    return Sale(tuple(steps), number)


def check_sale(body: Mapping[str, Any]) -> None:
    """Raise ValueError for the body of a record that is no step of a sale; one that is agreed names what was said."""
    if body["step"] not in (*STEPS, UNDONE) or not (
        body["sale_id"] and body["action"] and body["who"] and body["role"]
    ):
        raise ValueError("a step of a sale says which, of what, who made it, and as what")
    if body["step"] == "agreed" and not body["said"]:
        raise ValueError("nobody agrees to a sale of which nothing was said")
