"""Routes by which a company sees what customers ask of people, and answers it."""

from functools import partial
from typing import Annotated

from fastapi import FastAPI, Path, Query, Request, Response

from decisioning.errors import RequestError
from serving.access.callers import caller_of
from serving.access.looks import doer_of
from serving.brain.runtime import Brain
from serving.contract import parse
from serving.customers.rights import reviewing
from serving.customers.rights.asking import State
from serving.customers.rights.forms import AnswerIn
from serving.customers.rights.reviewing import Review
from serving.http.looking import Look
from serving.http.replies import json_reply, problems, read_body


def request_routes(app: FastAPI, brain: Brain) -> None:
    """Add the routes to the application."""

    @app.get("/v1/requests", responses=problems(422, 503))
    async def listed(
        look: Look, state: State | None = None, after: Annotated[str, Query(max_length=40)] = ""
    ) -> Response:
        """List what customers ask of people at their own page, a page at a time; what is due first comes first."""
        read = partial(reviewing.listed, brain, state, after)
        return await look.of_many(brain, read, partial(reviewing.seen_in_list, brain))

    @app.post("/v1/requests/{number}/answers", responses=problems(404, 410, 422, 503))
    async def answer(number: Annotated[str, Path(max_length=16)], request: Request) -> Response:
        """Tell that a person looks at a request, or what they answer; the customer sees it at their own page.

        Whoever had a part in the decision that a request is about is refused. An answer may change a decision that was
        contested; that binds the next decision, and leaves the earlier one as it was recorded.
        """
        asked = parse(AnswerIn, await read_body(request))
        changes = asked.changed or asked.offered is not None or asked.excluded is not None
        review = Review(
            asked.state,
            _reviewer(request, asked.reviewer),
            asked.answer,
            changes,
            asked.offered,
            asked.excluded,
            asked.reason,
        )
        work = partial(reviewing.answer_request, brain, number, doer_of(request.scope), review)
        return json_reply(await brain.pools.short.run(work))


def _reviewer(request: Request, reviewer: str | None) -> str:
    """Return who looks at the request: a person who signed in themself, else whom a system names.

    Raises RequestError for a system that names nobody, and for a person who names another.
    """
    caller = caller_of(request.scope)
    if caller is not None and caller.kind == "person":
        if reviewer not in (None, caller.id):
            raise RequestError("reviewer", "you answer for yourself: leave it out")
        return caller.id
    if reviewer is None:
        raise RequestError("reviewer", "name the person who looks at it, as your company does")
    return reviewer
