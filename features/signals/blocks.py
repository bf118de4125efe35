"""Blocks of events that one process prepares and another writes: rows, and the states that follow.

What is slow happens outside the transaction: reading the states, adding the events and encoding. The transaction makes
sure that nothing came first, and runs prepared statements. Where something did come first, it adds event by event.
"""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import chain
from typing import NamedTuple

from sqlalchemy import Connection

from decisioning.facts.stretches import stretch_of
from features.ledger import driver
from features.signals.event import Event
from features.signals.log import (
    NO_STATE,
    HotFetch,
    PredictedState,
    Row,
    add_events,
    event_of,
    locked_versions,
    next_body,
    row_of,
    states_of,
    write_rows,
)
from features.signals.placing import ended_stretches, placed, stretches_ended
from features.signals.rules import SignalRules


class Block(NamedTuple):
    """Some events, none of which is there twice, as rows sorted by key, and the states that follow.

    `states`: of each stream, what follows if all events are new and no other writer comes first. `at_us`: the time of
    recording. `duplicate`, `erased`: numbers of events without a row: they repeat one of the block, or their subject
    is erased. `ended`: of each visitor, how many stretches had ended.
    """

    rows: list[Row]
    states: dict[str, PredictedState]
    at_us: int
    duplicate: int
    erased: int
    ended: dict[str, int]


class Counts(NamedTuple):
    """The numbers of events that were added or corrected, were there already (as another subject's, too), and are about
    erased subjects."""

    accepted: int
    duplicate: int
    erased: int


def prepare(fetch: HotFetch, events: Sequence[Event], rules: SignalRules) -> Block:
    """Return events as a block; `fetch` reads what was committed before, of each of their streams.

    Of events with one key, other content corrects what came before; they count as duplicates.
    """
    ended, new = ended_stretches(fetch, events), dict[str, dict[str, Event]]()
    events = placed(events, ended)
    for event in events:
        before = new.setdefault(event.stream, {}).setdefault(event.key, event)
        if before is not event and not event.repeats(before):
            new[event.stream][event.key] = event.correcting(before)
    heads, rows, states = states_of(fetch, sorted(new)), list[Row](), dict[str, PredictedState]()
    for stream in sorted(new):
        head, of_stream = heads.get(stream, NO_STATE), list(new[stream].values())
        if head.body is not None:
            body = next_body(stream, head, of_stream, rules, fetch)
            states[stream] = PredictedState(head.version, len(of_stream), body)
            rows += [row_of(event, head.version + 1, rules) for event in of_stream]
    rows.sort()
    erased = sum(event.stream not in states for event in events)
    at_us = events[0].recorded_us if events else 0
    return Block(rows, states, at_us, len(events) - erased - len(rows), erased, ended)


class AddBlocks:
    """The work of a transaction, which may run several times: it writes blocks that share no stream.

    :param look_up: some of the events are probably there already
    """

    def __init__(self, blocks: Sequence[Block], rules: SignalRules, *, look_up: bool = False) -> None:
        self._blocks, self._rules, self._look_up = blocks, rules, look_up
        self._states = {stream: state for block in blocks for stream, state in block.states.items()}
        self._rows = sorted(chain.from_iterable(block.rows for block in blocks))
        self._ended = {visitor: number for block in blocks for visitor, number in block.ended.items()}

    def __call__(self, connection: Connection) -> Counts:
        look_up, self._look_up = self._look_up, True
        duplicate, erased = sum(b.duplicate for b in self._blocks), sum(b.erased for b in self._blocks)
        if not self._rows:
            return Counts(0, duplicate, erased)
        if not look_up and self._write(connection):
            return Counts(len(self._rows), duplicate, erased)
        events = self._as_told()
        added = add_events(connection, events, self._rules, look_up=look_up, predicted=self._states)
        counts = Counter(result.status for result in added.results)
        there = counts["duplicate"] + counts["elsewhere"]
        return Counts(counts["accepted"] + counts["corrected"], duplicate + there, erased + counts["erased"])

    def _as_told(self) -> list[Event]:
        """Return the events, those from visitors as of the streams that their ids name."""
        visitors = {stretch_of(visitor, number): visitor for visitor, number in self._ended.items()}
        events = [event_of(row) for row in self._rows]
        return [e._replace(stream=visitors[e.stream], visitor=True) if e.stream in visitors else e for e in events]

    def _write(self, connection: Connection) -> bool:
        """Write rows and states as they were prepared; return False, with nothing written, if another came first."""
        begun = {stream: state.version for stream, state in self._states.items() if state.version}
        if self._ended != stretches_ended(partial(driver.fetch, connection), self._ended):
            return False
        if begun != locked_versions(connection, sorted(self._states)):
            return False
        states = {stream: (state.version + 1, state.body) for stream, state in self._states.items()}
        write_rows(connection, self._rows, states, begun, self._blocks[0].at_us)
        return True
