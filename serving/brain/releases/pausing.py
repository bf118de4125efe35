"""Pausing an action. Imports little, so that what must stop stops soon."""

from typing import Any

from decisioning.catalogue.release import Release
from decisioning.errors import NotFound
from decisioning.nearest import did_you_mean
from decisioning.review.approval import Person
from features.approvals.door import Door
from serving.brain.active import open_ledger
from serving.settings import Workspace


def pause(
    workspace: Workspace, action: str, by: Person | str, *, resume: bool = False, reason: str = ""
) -> dict[str, Any]:
    """Take an action out of every decision, or back into them, within two seconds and without a release.

    :param by: who pauses; a name is that of an operating-system user
    :param reason: why approval is gone round, for taking it back where the environment asks for approval
    :raises Refused: somebody else paused it, or more than ten minutes ago, and nobody else approved to take it back
    """
    environment = workspace.settings.environment
    person = Person("user", (by,)) if isinstance(by, str) else by
    with open_ledger(workspace) as ledger:
        active = ledger.active(environment)
        actions = {} if active is None else Release.from_bytes(ledger.get_release(active)).actions
        if action not in actions:
            raise NotFound("action", f"the release that serves has no {action}{did_you_mean(action, actions)}")
        if resume:
            ledger.served.resume(Door(ledger, environment, person, reason).for_resuming(action))
        else:
            ledger.served.pause(environment, action, person)
        return {"action": action, "paused": not resume}
