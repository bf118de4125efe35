"""When records count as having happened, by one rule, and with it the times that their bodies state.

A correction names the time of the outcome that it corrects as that was told. Where the outcome counts at an earlier
time, so does what the correction takes back; a correction always comes after its outcome.
"""

from collections.abc import Mapping
from typing import Any, Final

from decisioning.times import TimeRule
from features.ledger.past.changes import Body, observation_id

_WITH_TIMES: Final = frozenset(("outcome", "observation"))
_IDENTITY: Final = ("action", "outcome", "offer_id", "value_eur", "occurred_us")


class Counted:
    """Reads the times of one stream's records, in the order of their versions."""

    def __init__(self, rule: TimeRule) -> None:
        self._rule = rule
        self._moved: dict[tuple[Any, ...], int] = {}

    def of(self, kind: str, body: Body, occurred_us: int, recorded_us: int) -> tuple[int, Body]:
        """Return when a record counts as having happened, and its body with the times that count.

        :raises KeyError, TypeError: the body lacks what it needs
        """
        counted_us = self._rule.counted_us(occurred_us, recorded_us)
        if kind not in _WITH_TIMES or not self._rule.as_recorded:
            return counted_us, body
        if kind == "observation":
            return counted_us, _observation(body, occurred_us, recorded_us)
        if counted_us != occurred_us:
            self._moved[_identity({**body, "occurred_us": occurred_us})] = counted_us
        wrong = body.get("corrects")
        if self._moved and wrong and (moved_us := self._moved.get(_identity(wrong))) is not None:
            return counted_us, {**body, "corrects": {**wrong, "occurred_us": moved_us}}
        return counted_us, body


def _identity(outcome: Body) -> tuple[Any, ...]:
    return tuple(outcome.get(name) for name in _IDENTITY)


def _observation(body: Body, occurred_us: int, recorded_us: int) -> Body:
    """Return the body with outcomes that are not later than its recording, under the id that it has by its own time."""
    late = [o for o in body.get("outcomes", ()) if (o.get("occurred_us") or occurred_us) > recorded_us]
    if not late and occurred_us <= recorded_us:
        return body
    return {
        **body,
        "observation_id": observation_id(body, occurred_us),
        "outcomes": [_at_most(o, recorded_us) for o in body.get("outcomes", ())],
    }


def _at_most(outcome: Mapping[str, Any], recorded_us: int) -> Body:
    told_us = outcome.get("occurred_us")
    return {**outcome, "occurred_us": min(told_us, recorded_us)} if told_us else outcome
