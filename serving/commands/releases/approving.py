"""`brain approve`, `brain releases`, `brain release --to`: what is proposed, who approved it, where it goes next."""

from collections.abc import Sequence
from typing import Any

from decisioning.catalogue.check.everything import Environment
from decisioning.catalogue.release import Release
from decisioning.errors import Refused
from decisioning.review.approval import ApprovalStep, Person
from decisioning.review.catalogue_changes import catalogue_changes
from decisioning.review.removed_gates import removed_gates
from decisioning.times import iso
from features.approvals.door import Door, gone_round, grounds_of, waiting
from features.ledger import Ledger
from serving.brain.active import open_ledger
from serving.brain.releasing import release, serve_release
from serving.settings import Workspace

ORDER: Sequence[Environment] = ("dev", "test", "prod")
"""The way of a release."""


def approve(workspace: Workspace, name: str, by: Person) -> dict[str, Any]:
    """Keep that `by` approves what has this hash, and say what that lets happen.

    :raises NotFound: nobody proposed it
    :raises Refused: no approval is asked for in this environment, or `by` may not approve it
    """
    environment = workspace.settings.environment
    with open_ledger(workspace) as ledger:
        step = Door(ledger, environment, by).approve(name)
        return {
            "approved": step.hash,
            "what": step.what,
            "item": step.item,
            "environment": environment,
            "by": by.name,
            **(_differences(ledger, step) if step.what == "release" else {}),
        }


def _differences(ledger: Ledger, step: ApprovalStep) -> dict[str, Any]:
    """Return what serves now, which gates it has and the approved release has not, and what else differs."""
    if step.before in ("", step.hash):
        return {}
    serving, approved = (Release.from_bytes(ledger.get_release(name)) for name in (step.before, step.hash))
    changes = catalogue_changes(serving, approved, {})
    fields = [f"{c.section} {c.item} {c.field}".strip() for c in changes]
    return {"serves": step.before, "removes": removed_gates(serving, approved), "changes": fields}


def list_releases(workspace: Workspace) -> dict[str, Any]:
    """Return what served this environment and who approved it, what waits for approval, and what went round it."""
    environment = workspace.settings.environment
    with open_ledger(workspace) as ledger:
        steps = [s for s in ledger.served.steps() if s.environment == environment]
        activations = ledger.activations(environment)
        proposed, rounds = waiting(ledger, environment), gone_round(ledger, environment)
    return {
        "environment": environment,
        "releases": [
            {
                "release": a.release,
                "current": a is activations[-1],
                "at": iso(a.at_us),
                "by": a.by,
                **grounds_of(a.release, environment, steps),
            }
            for a in activations
        ],
        "proposed": proposed,
        "without_approval": rounds,
    }


def release_to(workspace: Workspace, environment: Environment, by: Person, reason: str = "") -> dict[str, Any]:
    """Serve in another environment, whose workspace `brain.yaml` names, the very bytes that serve here.

    In the workspace of that environment itself it is `brain release`.

    :raises Refused: `brain.yaml` names no such workspace, the release has not served an environment in between, or
        nobody approved it there yet
    """
    own = workspace.settings.environment
    if environment == own:
        return release(workspace, by, reason)
    if ORDER.index(environment) < ORDER.index(own):
        raise Refused(f"a release goes from dev to test to prod, and this workspace is {own}")
    with open_ledger(workspace) as ledger:
        name = ledger.active(own)
        if name is None:
            raise Refused(f"nothing is released in {own} yet: run `brain release`")
        packed = ledger.get_release(name)
        authors = [s.by for s in ledger.served.steps() if s.kind == "proposed" and s.hash == name]
    for between in ORDER[ORDER.index(own) + 1 : ORDER.index(environment)]:
        if between in workspace.settings.environments:
            _check_served(_named(workspace, between), name)
    target = _named(workspace, environment)
    return serve_release(target, packed, by, reason, list(dict.fromkeys(authors)) or [by])


def _named(workspace: Workspace, environment: Environment) -> Workspace:
    folder = workspace.settings.environments.get(environment)
    if folder is None:
        raise Refused(f"brain.yaml names no workspace of {environment}: add `environments: {{{environment}: FOLDER}}`")
    named = Workspace.open(workspace.root / folder)
    if named.settings.environment != environment:
        raise Refused(f"{named.root} is a workspace of {named.settings.environment}, not of {environment}")
    return named


def _check_served(workspace: Workspace, name: str) -> None:
    environment = workspace.settings.environment
    with open_ledger(workspace) as ledger:
        if all(activation.release != name for activation in ledger.activations(environment)):
            raise Refused(f"{name} has not served {environment} yet: brain release --to {environment}")
