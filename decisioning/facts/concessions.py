"""What was given away to a customer in negotiations, or is held for them: as a standing keeps it, record by record."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from decisioning.times import DAY_US

ConcessionState = Literal["held", "given", "released"]
"""`held`: it is on offer until its time is over. `given`: the customer accepted. `released`: it is not on offer."""
KEPT_US: Final = 801 * DAY_US
"""For how long what was given is kept: longer than any budget counts."""
_LAPSED_US: Final = DAY_US
"""For how long after its end what was held is kept, whatever the clocks of those who decide say."""
_WORDS: Final = ("offer_id", "action", "group", "issue")


@dataclass(frozen=True, slots=True)
class Concession:
    """What one offer gives away, in cents: held for the customer until `until_us`, or `given`."""

    offer_id: str
    action: str
    group: str
    issue: str
    cents: int
    at_us: int
    until_us: int
    given: bool

    def counts_at(self, now_us: int, since_us: int) -> bool:
        """Tell whether it counts at a time: while it is held, or if it was given after `since_us`."""
        return self.at_us > since_us if self.given else now_us < self.until_us


def after(kept: tuple[Concession, ...], body: Mapping[str, Any], at_us: int) -> tuple[Concession, ...]:
    """Return what was given and is held after one more record, oldest first.

    :param at_us: when the record counts as having happened
    :raises KeyError, TypeError, ValueError: the record lacks what it needs
    """
    by_offer = {one.offer_id: one for one in kept}
    before = by_offer.pop(str(body["offer_id"]), None)
    if body["state"] != "released":
        new = _of(body, at_us)
        by_offer[new.offer_id] = new if before is None or not before.given or not new.given else before
    counted = (one for one in by_offer.values() if _is_kept(one, at_us))
    return tuple(sorted(counted, key=lambda one: (one.at_us, one.offer_id)))


def _of(body: Mapping[str, Any], at_us: int) -> Concession:
    words = {name: body[name] for name in _WORDS}
    cents, until_us = body["cents"], body["until_us"]
    if body["state"] not in ("held", "given") or not all(isinstance(word, str) for word in words.values()):
        raise ValueError("what is given away has an offer, an action, its group and issue, and a state")
    if not (type(cents) is int and cents >= 0 and type(until_us) is int):
        raise ValueError("what is given away is a number of cents, until a time")
    return Concession(**words, cents=cents, at_us=at_us, until_us=until_us, given=body["state"] == "given")


def _is_kept(one: Concession, at_us: int) -> bool:
    return at_us - one.at_us < KEPT_US if one.given and one.cents else at_us < one.until_us + _LAPSED_US
