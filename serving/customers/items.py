"""Answer a body that is one statement or an array of them; an array is answered item by item, as signals are."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from pydantic import BaseModel

from decisioning.errors import Conflict, RequestError, Unavailable
from serving.contract import is_array, parse, parse_many
from serving.problems import NONE_TAKEN, ProblemType, type_of

_TOGETHER: Final = 20
"""How many statements are committed together, so that a long array delays no decision for long."""
Statement = TypeVar("Statement", bound=BaseModel)


class ItemResult(NamedTuple):
    """What became of one statement: `recorded`, `repeated` or `corrected`; `detail` says what does not follow of it."""

    status: str
    detail: str | None = None


class ItemsAnswer(NamedTuple):
    """What to answer: how many statements got which status and, of an array, the result of each by its index.

    `problem`: None if at least one of them was taken; else `content` has the field and the detail of the first, too.
    """

    content: dict[str, Any]
    problem: ProblemType | None = None


async def answer_items(
    model: type[Statement], body: bytes, record: Callable[[Statement], Awaitable[ItemResult]], statuses: Sequence[str]
) -> ItemsAnswer:
    """Record the statements of a body, in their order; raises what `record` raises if it is one statement.

    :param record: commits one statement; raises RequestError for one that is wrong
    :param statuses: those that are counted even if there are none
    :raises Unavailable, Conflict: they could not all be committed; sending them again is safe
    """
    if not is_array(body):
        result = await record(parse(model, body))
        return ItemsAnswer(_counts([result.status], statuses))
    items = parse_many(model, body)
    groups = [items[at : at + _TOGETHER] for at in range(0, len(items), _TOGETHER)]
    ends = [end for group in groups for end in await asyncio.gather(*(_end_of(item, record) for item in group))]
    results = [{"index": n, **_result(end)} for n, end in enumerate(ends)]
    counts = _counts([str(result["status"]) for result in results], (*statuses, "refused"))
    content = {**counts, "results": results}
    refusals = [end for end in ends if isinstance(end, RequestError)]
    if len(refusals) < len(items):
        return ItemsAnswer(content)
    kinds = {type_of(error) for error in refusals}
    first = {"field": f"0.{refusals[0].field}", "detail": results[0]["detail"]}
    return ItemsAnswer({**content, **first}, kinds.pop() if len(kinds) == 1 else NONE_TAKEN)


async def _end_of(
    item: Statement | RequestError, record: Callable[[Statement], Awaitable[ItemResult]]
) -> ItemResult | RequestError:
    if isinstance(item, RequestError):
        return item
    try:
        return await record(item)
    except (Unavailable, Conflict):
        raise
    except RequestError as error:
        return error


def _result(end: ItemResult | RequestError) -> dict[str, Any]:
    if isinstance(end, RequestError):
        detail = str(end).partition(": ")[2]
        return {"status": "refused", "type": type_of(end).uri, "field": end.field, "detail": detail}
    return {"status": end.status, **({"detail": end.detail} if end.detail else {})}


def _counts(given: Sequence[str], always: Sequence[str]) -> dict[str, Any]:
    return {status: given.count(status) for status in dict.fromkeys((*always, *given))}
