"""Gives those who wait to agents with room, all at once, so that the sum of the scores is as large as possible.

The pairs are found by the auction algorithm (Bertsekas 1988; agents with room for several as similar objects,
Bertsekas and Castanon 1989): each bidder bids for what it prefers at the prices of the moment, by as much as that is
better than the second best, and `STEP_S` more. The sum is within `STEP_S` a bidder of the largest.
"""

import heapq
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from decisioning.routing.people import Presence, Waiting
from decisioning.routing.ranking import Staff, fit, urgency_s

STEP_S = 2.0
"""By how much a bid exceeds what it takes, in seconds of waiting."""
_LEAST_S = 1.0


def assign(waiting: Sequence[Waiting], staff: Staff) -> list[tuple[Waiting, Presence]]:
    """Return who is given to whom now; agents with room for several on one channel may get several."""
    pairs: list[tuple[Waiting, Presence]] = []
    left, presences = list(waiting), list(staff.presences)
    while given := _round(left, replace(staff, presences=presences)):
        pairs += [(left[row], staff.presences[place]) for row, place in given]
        for row, place in given:
            presences[place] = _with(presences[place], left[row])
        rows = {row for row, _ in given}
        left = [w for row, w in enumerate(left) if row not in rows]
    return pairs


def _with(presence: Presence, waiting: Waiting) -> Presence:
    held = {**presence.conversations, waiting.channel: presence.conversations.get(waiting.channel, 0) + 1}
    return replace(presence, conversations=held, upset_in_a_row=presence.upset_in_a_row + 1 if waiting.upset else 0)


def _round(waiting: Sequence[Waiting], staff: Staff) -> list[tuple[int, int]]:
    """Return pairs of rows of `waiting` and places in the roster, at most one of two channels for an agent."""
    places = [n for n, p in enumerate(staff.presences) if p.available and staff.on_shift[n]]
    if not waiting or not places:
        return []
    values = values_of(waiting, staff, places)
    channels = np.asarray([who.channel for who in waiting])
    units = [
        _units(staff.presences[place], set(channels[np.isfinite(column)].tolist()), staff.rules.most_upset_in_a_row)
        for place, column in zip(places, values.T, strict=True)
    ]
    return [(row, places[n]) for row, n in auction(values, units)]


def _units(presence: Presence, channels: set[str], most_upset: int) -> int:
    """Return how many customers an agent may get in one round: one, if some wait for a call and others in a chat.

    A call and a chat take other shares of the agent. Nobody gets more than may be upset in a row: who had how many is
    looked at between rounds.
    """
    room = min([1, *map(presence.room, channels)]) if len(channels) != 1 else presence.room(*channels)
    return min(room, max(1, most_upset - presence.upset_in_a_row))


def values_of(waiting: Sequence[Waiting], staff: Staff, places: Sequence[int]) -> NDArray[np.float64]:
    """Return the scores of all pairs, float (n_waiting, n_places), above 0; minus infinity where one is not given."""
    kinds: dict[Hashable, NDArray[np.float64]] = {}
    values = np.empty((len(waiting), len(places)))
    column = {place: n for n, place in enumerate(places)}
    for row, who in enumerate(waiting):
        stage = staff.rules.min_proficiency(who.skill, staff.waited_s(who))
        key = (who.kind, stage)
        if key not in kinds:
            kinds[key] = np.asarray(list(_fits(replace(who, knows=None), staff, places)))
        values[row] = kinds[key] + urgency_s(who, staff)
        _prefer_known(values[row], who, staff, column)
    finite = np.isfinite(values)
    if finite.any():
        values += _LEAST_S - min(values[finite].min(), _LEAST_S)
    return values


def _fits(who: Waiting, staff: Staff, places: Sequence[int]) -> Iterator[float]:
    for place, reason in zip(places, staff.lacking(who, places), strict=True):
        yield sum(fit(who, staff.presences[place], staff).values()) if reason is None else -np.inf


def _prefer_known(values: NDArray[np.float64], who: Waiting, staff: Staff, column: dict[int, int]) -> None:
    """Add what it is worth to get the agent whom the customer knows, and hold the customer for that agent."""
    place = staff.roster.place.get(who.knows or "")
    known = column.get(place) if place is not None else None
    worth = values[known] + staff.rules.known_s if known is not None else -np.inf
    if staff.held_for(who) is not None:
        values[:] = -np.inf
    if known is not None:
        values[known] = worth


def auction(values: NDArray[np.float64], units: Sequence[int]) -> list[tuple[int, int]]:
    """Return pairs (row, column) whose values have the largest sum, but for `STEP_S` a bidder.

    The fewer bid for the more: who waits for agents, or each unit of room for who waits.

    :param values: float (n_rows, n_columns), above 0; minus infinity for a pair that may not be
    :param units: how many rows a column takes at most, (n_columns,)
    """
    bidders = [n for n, room in enumerate(units) for _ in range(room)]
    if len(values) <= len(bidders):
        return _bid(values, list(range(len(values))), units)
    by_column = np.ascontiguousarray(values.T)
    return [(row, column) for column, row in _bid(by_column, bidders, [1] * len(values))]


def _bid(values: NDArray[np.float64], bidders: list[int], units: Sequence[int]) -> list[tuple[int, int]]:
    """Let each bidder, a row of `values`, bid for a column; columns with several units are held by several."""
    prices = np.where(np.asarray(units) > 0, 0.0, np.inf)
    holders: list[list[tuple[float, int]]] = [[] for _ in units]
    waiting = bidders[::-1]
    while waiting:
        row = waiting.pop()
        net = values[row] - prices
        best = int(net.argmax())
        gain = net[best]
        if not gain > 0:
            continue
        net[best] = -np.inf
        bid = prices[best] + gain - max(net.max(initial=0.0), 0.0) + STEP_S
        heapq.heappush(holders[best], (bid, row))
        if len(holders[best]) > units[best]:
            waiting.append(heapq.heappop(holders[best])[1])
        if len(holders[best]) == units[best]:
            prices[best] = holders[best][0][0]
    return [(row, column) for column, held in enumerate(holders) for _, row in held]
