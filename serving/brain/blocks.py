"""Many live requests at once: their customers are read, decided and submitted in blocks."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from decisioning.deciding.record import Decision
from decisioning.errors import BrainError, Conflict, Unavailable
from decisioning.facts.forms import Ask
from serving.brain.runtime import Brain
from serving.brain.together import Made

BLOCK = 512
"""How many requests are decided while the block before is committed: so many that scoring them together pays."""
Answer = Decision | dict[str, Any] | BrainError
"""A decision that was made in a block, the answer to a request that was made or had been answered alone, or neither."""


class _Submitted(NamedTuple):
    """Requests with their decisions or why there is none, and what becomes of the decisions, in their order."""

    every: Sequence[tuple[Ask, Made | BrainError]]
    committed: Iterator[tuple[int, ...] | BrainError]


def commit_all(brain: Brain, asks: Sequence[Ask]) -> Iterator[Answer]:
    """Yield the answers to live requests for different customers in their order, or why there is none.

    Every answer is yielded once its decision is committed. Raises Unavailable if the ledger cannot be read.
    """
    waiting: _Submitted | None = None
    for at in range(0, len(asks), BLOCK):
        submitted = _submit(brain, asks[at : at + BLOCK])
        if waiting is not None:
            yield from _answers(brain, waiting)
        waiting = submitted
    if waiting is not None:
        yield from _answers(brain, waiting)


def preview_all(brain: Brain, asks: Sequence[Ask]) -> Iterator[Answer]:
    """Yield the answers to previews for different customers in their order, and write nothing."""
    for at in range(0, len(asks), BLOCK):
        for made in _made(brain, asks[at : at + BLOCK], keep=False):
            yield made if isinstance(made, BrainError) else made.decision


def _submit(brain: Brain, asks: Sequence[Ask]) -> _Submitted:
    every = list(zip(asks, _made(brain, asks, keep=True), strict=True))
    decided = [(ask, made) for ask, made in every if not isinstance(made, BrainError)]
    return _Submitted(every, brain.submit_each([ask for ask, _ in decided], [made for _, made in decided]))


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


def _answers(brain: Brain, submitted: _Submitted) -> Iterator[Answer]:
    """Wait until decisions are committed; if another record came before one, start again with its request alone."""
    for ask, made in submitted.every:
        if isinstance(made, BrainError):
            yield made
            continue
        committed = next(submitted.committed)
        if isinstance(committed, Conflict):
            yield _answer_alone(brain, ask)
        elif isinstance(committed, BrainError):
            yield committed
        else:
            brain.metrics.count_decision(made.decision)
            yield made.decision


def _answer_alone(brain: Brain, ask: Ask) -> Answer:
    try:
        return asyncio.run(brain.commit(ask))
    except BrainError as error:
        return error
