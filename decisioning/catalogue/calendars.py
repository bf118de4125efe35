"""When people of the company can call back or meet: calendars with opening hours and room for each slot."""

from collections.abc import Iterator
from datetime import date
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from decisioning.catalogue.actions import Clock
from decisioning.spec import Id, Strict

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def _parse_day(raw: object) -> object:
    if not isinstance(raw, str):
        return raw
    try:
        return date.fromisoformat(raw)
    except ValueError:
        raise ValueError("this is no day", "write it as 2026-12-25") from None


Day = Annotated[date, BeforeValidator(_parse_day)]
Zone = Annotated[str, Field(min_length=1, max_length=64)]


class Hours(Strict):
    """Opening hours of some days of the week, from `from_` (included) to `to` (excluded)."""

    days: tuple[Weekday, ...] = Field(min_length=1)
    from_: Clock = Field(alias="from")
    to: Clock

    @model_validator(mode="after")
    def _in_order(self) -> "Hours":
        if self.to <= self.from_:
            raise ValueError("`to` is not after `from`", "exchange them, or divide the hours at midnight")
        return self


class Calendar(Strict):
    """Slots in which customers are called back, or met.

    `channel`: the one of its appointments, whose quiet hours hold. `zone`: of the opening hours; by default the
    workspace's. `capacity`: how many appointments a slot has room for. `notice_minutes`: how soon a slot may be taken.
    `ahead_days`: how far ahead. `tries`: how often a customer is called who does not answer. `closed`: days without
    slots.
    """

    id: Id
    channel: Id
    skills: tuple[Id, ...] = ()
    zone: Zone | None = None
    hours: tuple[Hours, ...] = Field(min_length=1)
    slot_minutes: int = Field(default=15, ge=5, le=240)
    capacity: int = Field(default=1, ge=1, le=1000)
    notice_minutes: int = Field(default=10, ge=0, le=10_080)
    ahead_days: int = Field(default=14, ge=1, le=90)
    tries: int = Field(default=3, ge=1, le=10)
    closed: tuple[Day, ...] = ()

    def hours_on(self, day: date) -> Iterator[Hours]:
        """Yield the opening hours of a day."""
        name = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")[day.weekday()]
        if day not in self.closed:
            yield from (hours for hours in self.hours if name in hours.days)
