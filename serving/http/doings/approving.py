"""The routes by which a release is checked and proposed, and by which a person who signed in approves it."""

from functools import partial

from fastapi import FastAPI, Request, Response

from decisioning.review.approval import Person
from features.approvals.door import Door
from serving.access.callers import caller_of
from serving.brain import releasing
from serving.brain.runtime import Brain
from serving.contract import ApprovalIn, ReleaseIn, parse
from serving.http.replies import json_reply, problems, read_body


def approval_routes(app: FastAPI, brain: Brain) -> None:
    """Add the routes to the application."""

    @app.post("/v1/releases", responses=problems(422, 503))
    async def propose(request: Request) -> Response:
        """Check the files of a catalogue, and propose the release that they make.

        Nothing serves by it: in `prod` a second person approves the hash, and `brain release` in the workspace, with
        the same files, makes it serve.
        """
        asked = parse(ReleaseIn, await read_body(request))
        work = partial(releasing.propose, brain.workspace, brain.ledger, asked.files, check_only=not asked.propose)
        return json_reply(await brain.pools.long.run(partial(work, by=_person(request))))

    @app.post("/v1/approvals", responses=problems(404, 422, 503))
    async def approve(request: Request) -> Response:
        """Approve, as a second person, what has this hash: a release, a model, or the end of a pause.

        Whoever proposed it, made its author's key or account, or was made by its author, is refused, and so is a key.
        """
        asked = parse(ApprovalIn, await read_body(request))
        door = Door(brain.ledger, brain.environment, _person(request))
        step = await brain.pools.long.run(door.approve, asked.hash)
        return json_reply(
            {"approved": step.hash, "what": step.what, "item": step.item, "environment": step.environment}
        )


def _person(request: Request) -> Person:
    """Return who makes a request; without keys nobody is known, who approves no more than a key does."""
    caller = caller_of(request.scope)
    return Person("key", ("nobody",)) if caller is None else Person(caller.kind, (caller.who,))
