"""Checks of calendars: their channel, time zone and hours."""

from collections.abc import Iterator
from itertools import combinations

from decisioning.catalogue.calendars import Calendar, Hours
from decisioning.catalogue.check.shape import Draft, Item, unknown_names
from decisioning.errors import Mistake
from decisioning.periods import local_time


def calendar_problems(draft: Draft) -> Iterator[Mistake]:
    """Yield every mistake in calendars."""
    for item in draft.calendars:
        yield from unknown_names(item, ("channel",), "channel", [item.spec.channel], draft.known_ids["channels"])
        zone = item.spec.zone
        if zone is not None and local_time(zone, 0) is None:
            yield item.problem(("zone",), f"there is no time zone `{zone}`", "write one such as `Europe/Amsterdam`")
        yield from _overlaps(item)


def _overlaps(item: Item[Calendar]) -> Iterator[Mistake]:
    """Yield hours that overlap others of the same day, as their slots would count twice."""
    for (_, one), (n, other) in combinations(enumerate(item.spec.hours), 2):
        if {*one.days} & {*other.days} and _overlap(one, other):
            yield item.problem(("hours", n), "these hours overlap others of the same day", "put them into one line")


def _overlap(one: Hours, other: Hours) -> bool:
    return one.from_ < other.to and other.from_ < one.to
