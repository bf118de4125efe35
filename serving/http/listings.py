"""Routes that list what may be named in requests: actions, channels, and releases."""

from fastapi import FastAPI, Response

from decisioning.catalogue.actions import Action
from decisioning.catalogue.release import Release
from decisioning.times import iso
from features.approvals.door import grounds_of
from serving.brain.runtime import Brain
from serving.http.replies import json_reply, problems

MAX_RELEASES = 200


def listing_routes(app: FastAPI, brain: Brain) -> None:
    """Add the routes to the application."""

    @app.get("/v1/actions")
    async def actions() -> Response:
        """List the actions of the release that serves, with their treatments and the outcomes that they declare."""
        release = brain.snapshot.release
        named = [_action(action) for _, action in sorted(release.actions.items())]
        return json_reply({"release": release.hash, "actions": named})

    @app.get("/v1/channels")
    async def channels() -> Response:
        """List the channels of the release that serves, with their placements, and the purposes of consents."""
        release = brain.snapshot.release
        return json_reply(
            {"release": release.hash, "channels": _channels(release), "purposes": sorted(release.purposes)}
        )

    @app.get("/v1/releases", responses=problems(503))
    async def releases() -> Response:
        """List the latest releases that served this environment, newest first. The first one serves now."""
        environment = brain.workspace.settings.environment
        activations = await brain.pools.long.run(brain.ledger.activations, environment)
        steps = await brain.pools.long.run(brain.ledger.served.steps)
        newest = activations[-MAX_RELEASES:][::-1]
        return json_reply(
            {
                "releases": [
                    {
                        "release": a.release,
                        "environment": a.environment,
                        "at": iso(a.at_us),
                        "author": a.by,
                        "current": a is newest[0],
                        **grounds_of(a.release, environment, steps),
                    }
                    for a in newest
                ]
            }
        )


def _action(action: Action) -> dict[str, object]:
    return {
        "action": action.id,
        "issue": action.issue,
        "group": action.group,
        "tier": action.tier,
        "scope": action.scope,
        "outcomes": sorted(action.outcomes.all),
        "treatments": [f"{action.id}.{treatment.id}" for treatment in action.treatments],
    }


def _channels(release: Release) -> list[dict[str, object]]:
    return [
        {
            "channel": channel.id,
            "direction": channel.direction,
            "purposes": sorted(channel.purposes),
            "placements": sorted(channel.placements),
        }
        for _, channel in sorted(release.channels.items())
    ]
