"""Routes that show a customer: their answers leave once the look is recorded. And the route that lists looks."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, Query, Request, Response

from decisioning.errors import RequestError
from features.ledger import SubjectKind
from serving.access.looks import EXPECTED, PURPOSE_HEADER, looker_of, note_recorded
from serving.brain.runtime import Brain
from serving.customers import looking
from serving.customers.erasing import ID_FIELDS
from serving.http.paths import AccountQuery, CustomerQuery, VisitorQuery
from serving.http.replies import json_reply, problems

_Stated = Annotated[str | None, Header(alias=PURPOSE_HEADER, description=f"Why you look; {EXPECTED}.")]


class LookRequest:
    """A request for what shows a customer, from a caller whose purpose is known."""

    def __init__(self, request: Request, stated: str | None) -> None:
        self._scope, self._looker = request.scope, looker_of(request.scope, stated)
        self.purpose_stated = stated is not None

    async def by_id(
        self, brain: Brain, kind: SubjectKind, subject_id: str, read: Callable[[], dict[str, Any]]
    ) -> Response:
        """Answer with what `read` returns of the subject of an id."""
        return await self._answer(brain, read, looking.seen_by_id(brain, self._looker, kind, subject_id))

    async def of_decision(self, brain: Brain, decision_id: str, read: Callable[[], dict[str, Any]]) -> Response:
        """Answer with what `read` returns of a decision."""
        return await self._answer(brain, read, looking.seen_in_decision(brain, decision_id))

    async def of_handover(self, brain: Brain, handover_id: str, read: Callable[[], dict[str, Any]]) -> Response:
        """Answer with what `read` returns of a handover."""
        return await self._answer(brain, read, looking.seen_in_handover(brain, handover_id))

    async def of_many(self, brain: Brain, read: Callable[[], dict[str, Any]], whom: looking.Whom) -> Response:
        """Answer with what `read` returns of the subjects that `whom` finds in it."""
        return await self._answer(brain, read, whom)

    async def _answer(self, brain: Brain, read: Callable[[], dict[str, Any]], whom: looking.Whom) -> Response:
        content = await brain.pools.long.run(looking.shown, brain, self._looker, read, whom)
        note_recorded(self._scope)
        return json_reply(content)


async def _look_request(request: Request, stated: _Stated = None) -> LookRequest:
    return LookRequest(request, stated)


Look = Annotated[LookRequest, Depends(_look_request)]
"""The parameter by which a route asks who looks, and why."""


def look_routes(app: FastAPI, brain: Brain) -> None:
    """Add the route that lists looks to the application."""

    @app.get("/v1/looks", responses=problems(422, 503))
    async def looks(
        customer_id: CustomerQuery = None,
        account_id: AccountQuery = None,
        visitor_id: VisitorQuery = None,
        who: Annotated[str | None, Query(max_length=200)] = None,
        after: Annotated[int, Query(ge=0, le=2**62)] = 0,
    ) -> Response:
        """List who looked at customers, when and why, a page at a time: all, of one subject, or of one caller.

        Looks of the same caller at the same for the same purpose are one within an hour, at the time of the first.
        """
        named: dict[SubjectKind, str | None] = {"person": customer_id, "account": account_id, "visitor": visitor_id}
        subjects = [(kind, subject_id) for kind, subject_id in named.items() if subject_id is not None]
        if len(subjects) > 1:
            raise RequestError(ID_FIELDS[subjects[1][0]], "name one subject at most")
        page = partial(looking.listed, brain, after, who=who, subject=subjects[0] if subjects else None)
        return json_reply(await brain.pools.long.run(page))
