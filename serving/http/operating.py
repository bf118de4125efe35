"""The routes by which the server is watched: whether it works, what was refused, and its metrics."""

from dataclasses import asdict
from typing import Annotated

from fastapi import FastAPI, Query, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from decisioning.errors import NotFound
from decisioning.times import iso
from features.access_keys import read_events
from features.approvals.door import gone_round
from serving.brain.readiness import Readiness
from serving.brain.runtime import Brain
from serving.http.admission import SHED_HEADER
from serving.http.live import MAX_LISTED
from serving.http.replies import json_reply, problem_reply, problems
from serving.problems import PROBLEM_TYPES, TYPES, UNAVAILABLE


def operation_routes(app: FastAPI, brain: Brain) -> None:
    """Add the routes to the application."""
    readiness = Readiness(brain.ledger, lambda: brain.snapshot.profiles)

    @app.get("/healthz")
    async def healthz() -> Response:
        """Answer as soon as the process runs."""
        return json_reply({"status": "ok"})

    @app.get("/readyz", responses=problems(503))
    async def readyz() -> Response:
        """Answer 200 if a decision could be committed and a fact be written now, else 503, and say what cannot be.

        Finding out takes a few small writes, at most once a second.
        """
        if missing := await brain.pools.health.run(readiness.problems):
            detail = "; ".join(f"{part}: {problem}" for part, problem in missing.items())
            return problem_reply(UNAVAILABLE, detail, parts=dict(missing))
        snapshot = brain.snapshot
        ready = {"status": "ready", "release": snapshot.release.hash, "model": snapshot.model}
        rounds = await brain.pools.health.run(gone_round, brain.ledger, brain.environment)
        unnamed = [{name: value for name, value in step.items() if name != "by"} for step in rounds]
        return json_reply({**ready, **({"without_approval": unnamed} if unnamed else {})})

    @app.get("/v1/security-events", responses=problems(503))
    async def security_events(after: Annotated[int, Query(ge=0, le=2**62)] = 0) -> Response:
        """List what was refused for want of a right, without personal data, a page at a time."""
        listed = await brain.pools.long.run(read_events, brain.ledger, after, MAX_LISTED)
        events = [
            {"at": iso(e.at_us), "kind": e.kind, "key_id": e.key_id, "route": e.route, "n": e.n} for _, e in listed
        ]
        return json_reply({"events": events, "next": listed[-1][0] if len(listed) == MAX_LISTED else None})

    @app.get(f"{TYPES}/{{name}}", responses=problems(404))
    async def problem_type(name: str) -> Response:
        """Describe a type of problem document."""
        if name not in PROBLEM_TYPES:
            raise NotFound("name", "there is no such type of problem")
        return json_reply(asdict(PROBLEM_TYPES[name]))

    @app.get("/metrics")
    async def metrics(request: Request) -> Response:
        """Return the metrics for Prometheus."""
        brain.metrics.count_shed(request.headers.get(SHED_HEADER, ""))
        text = await brain.pools.health.run(generate_latest, brain.metrics.registry)
        return Response(text, media_type=CONTENT_TYPE_LATEST)
