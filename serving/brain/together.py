"""Requests that arrive while others are decided are decided together: read at once, step by step, scored at once.

Under load, several requests wait whenever the event loop turns. What they have in common is then paid once, and nobody
waits for others to arrive: a request that comes alone is decided alone, at once.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from decisioning.deciding.record import Decision
from decisioning.errors import TooLate
from decisioning.facts.forms import Ask, Known
from features.deadlines import answering_within, check_time, until_s
from serving.brain.snapshot import Snapshot
from serving.pools import STATEMENT_S


class Made(NamedTuple):
    """A decision that is not committed yet, and what it was made from."""

    snapshot: Snapshot
    at_us: int
    known: Known
    decision: Decision


class Together:
    """Gathers the requests of one turn of the event loop.

    :param make: makes the decision of one request
    :param make_block: makes the decisions of several requests; raises if one of them cannot be decided
    :param took: told how many seconds each turn took
    """

    def __init__(
        self,
        make: Callable[[Ask], Made],
        make_block: Callable[[Sequence[Ask]], Sequence[Made]],
        took: Callable[[float], None],
    ) -> None:
        self._make, self._make_block, self._took = make, make_block, took
        self._waiting: list[tuple[Ask, float, asyncio.Future[Made]]] = []

    async def make(self, ask: Ask) -> Made:
        """Return the decision of a request; raises as if it were made alone.

        :raises TooLate: its turn came after the moment until when the caller waits
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Made] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._make_all)
        self._waiting.append((ask, until_s(), future))
        return await future

    def _make_all(self) -> None:
        began_s = time.perf_counter()
        self._answer_all()
        self._took(time.perf_counter() - began_s)

    def _answer_all(self) -> None:
        waiting = [(ask, future) for ask, moment_s, future in self._waiting if _is_wanted(moment_s, future)]
        self._waiting = []
        block = self._make_together([ask for ask, _ in waiting]) if len(waiting) > 1 else None
        for n, (ask, future) in enumerate(waiting):
            try:
                future.set_result(self._make(ask) if block is None else block[n])
            except Exception as error:  # noqa: BLE001 (raised to whoever waits for it)
                future.set_exception(error)

    def _make_together(self, asks: Sequence[Ask]) -> Sequence[Made] | None:
        """Return the decisions, or None if one of them cannot be made: then each alone shows whose it is."""
        with suppress(Exception), answering_within(STATEMENT_S):
            return self._make_block(asks)
        return None


def _is_wanted(moment_s: float, future: asyncio.Future[Made]) -> bool:
    """Tell whether somebody still waits for the decision; raises TooLate to whoever gave too little time."""
    if future.done():  # its request timed out
        return False
    try:
        check_time(moment_s)
    except TooLate as late:
        future.set_exception(late)
    return not future.done()
