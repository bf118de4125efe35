"""Many live requests at once: their customers are read, decided and submitted in blocks."""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

from decisioning.deciding.record import Decision
from decisioning.errors import BrainError, Conflict, Unavailable
from decisioning.facts.forms import Ask
from serving.brain.runtime import Brain
from serving.brain.together import Made

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
    for at in range(0, len(asks), BLOCK):
        for made in _made(brain, asks[at : at + BLOCK], keep=False):
            yield made if isinstance(made, BrainError) else made.decision.answer


def _submit(brain: Brain, asks: Sequence[Ask]) -> list[_Submitted | BrainError]:
    return [
        made if isinstance(made, BrainError) else _Submitted(ask, made.decision, brain.submit(ask, made))
        for ask, made in zip(asks, _made(brain, asks, keep=True), strict=True)
    ]


def _made(brain: Brain, asks: Sequence[Ask], *, keep: bool) -> Sequence[Made | BrainError]:
    """Return the decisions of all requests; where one cannot be made, each is made alone, to find out which."""
    try:
        return brain.make_block(asks, keep=keep)
    except Unavailable:
        raise
    except BrainError:
        return [_made_alone(brain, ask) for ask in asks]


def _made_alone(brain: Brain, ask: Ask) -> Made | BrainError:
    try:
        return brain.make(ask)
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
