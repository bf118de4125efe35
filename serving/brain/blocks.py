"""Many live requests at once: their customers are read, decided and submitted in blocks."""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

from decisioning.deciding.record import Decision
from decisioning.errors import BrainError, Conflict
from decisioning.facts.forms import Ask, Known
from features.ledger import now_us
from serving.brain.runtime import Brain, new_id
from serving.brain.snapshot import Snapshot

BLOCK = 64
"""How many requests are decided while the block before is committed; as many as the ledger writes together."""
Answer = dict[str, Any] | BrainError


class _Submitted(NamedTuple):
    ask: Ask
    decision: Decision
    committed: "Future[tuple[int, ...]]"


def commit_all(brain: Brain, asks: Sequence[Ask]) -> Iterator[Answer]:
    """Yield the answers to live requests for different customers in their order, or why there is none.

    Every answer is yielded once its decision is committed. Raises Unavailable if the ledger cannot be read.
    """
    waiting: list[_Submitted | BrainError] = []
    for at in range(0, len(asks), BLOCK):
        submitted = _submit(brain, asks[at : at + BLOCK])
        yield from (_answer(brain, item) for item in waiting)
        waiting = submitted
    yield from (_answer(brain, item) for item in waiting)


def preview_all(brain: Brain, asks: Sequence[Ask]) -> Iterator[Answer]:
    """Yield the answers to previews for different customers in their order, and write nothing."""
    snapshot = brain.snapshot
    for at in range(0, len(asks), BLOCK):
        some, at_us = asks[at : at + BLOCK], now_us()
        every = brain.customers.read([brain.subjects(ask, snapshot) for ask in some], snapshot, at_us)
        for decision in decide_all(brain, some, every, snapshot, at_us):
            yield decision if isinstance(decision, BrainError) else decision.answer


def _submit(brain: Brain, asks: Sequence[Ask]) -> list[_Submitted | BrainError]:
    snapshot, at_us = brain.snapshot, now_us()
    subjects = [brain.subjects(ask, snapshot) for ask in asks]
    every = brain.customers.read(subjects, snapshot, at_us, keep=True)
    decided = zip(asks, every, decide_all(brain, asks, every, snapshot, at_us), strict=True)
    return [
        decision if isinstance(decision, BrainError) else _Submitted(ask, decision, brain.submit(ask, known, decision))
        for ask, known, decision in decided
    ]


def decide_all(
    brain: Brain, asks: Sequence[Ask], every: Sequence[Known], snapshot: Snapshot, at_us: int
) -> Sequence[Decision | BrainError]:
    """Decide for all customers at once; where one cannot be decided, for each alone, to find out which."""
    try:
        return brain.decide_block(asks, every, snapshot, at_us)
    except BrainError:
        return [_decide_alone(brain, ask, known, snapshot, at_us) for ask, known in zip(asks, every, strict=True)]


def _decide_alone(brain: Brain, ask: Ask, known: Known, snapshot: Snapshot, at_us: int) -> Decision | BrainError:
    try:
        return brain.decide(ask, known, snapshot, at_us, new_id())
    except BrainError as error:
        return error


def _answer(brain: Brain, item: _Submitted | BrainError) -> Answer:
    """Wait until a decision is committed; if another record came first, start again with this request alone."""
    if isinstance(item, BrainError):
        return item
    try:
        item.committed.result()
    except Conflict:
        return _answer_alone(brain, item.ask)
    except BrainError as error:
        return error
    brain.metrics.count_decision(item.decision)
    return item.decision.answer


def _answer_alone(brain: Brain, ask: Ask) -> Answer:
    try:
        return asyncio.run(brain.commit(ask))
    except BrainError as error:
        return error
