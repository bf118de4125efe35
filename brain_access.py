"""The commands about who may do what: the keys of callers, and the workspace's secrets."""

import click

from brain_command import Result, command, main
from serving.access.users import operating_system_user
from serving.settings import Workspace


@main.group()
def key() -> None:
    """Make, list and revoke the keys that callers send over HTTP."""


@command(group=key)
@click.option("--scope", required=True, help="What the key reaches: decide, agent, signal, consent, privacy, ...")
@click.option("--name", help="A name to know it by in the list; by default the scope.")
@click.option("--expires", help="When it stops working: a date such as 2027-01-31, or a number of days such as 90d.")
@click.option("--issues", default="", help="The only issues of its decisions, such as retain,service; by default all.")
@click.option("--channels", default="", help="The only channels of its decisions, such as web; by default all.")
def create(
    workspace: Workspace, scope: str, name: str | None, expires: str | None, issues: str, channels: str
) -> Result:
    """Make a key and show it, this once."""
    from serving.commands import keys

    owner = operating_system_user().name
    return keys.create(workspace, scope, name, owner, expires=expires, issues=issues, channels=channels)


@command(group=key, name="list")
def list_keys(workspace: Workspace) -> Result:
    """List the keys, without their secrets, and when each was used last."""
    from serving.commands import keys

    return keys.listed(workspace)


@command(group=key)
@click.argument("id")
def revoke(workspace: Workspace, id: str) -> Result:
    """Revoke a key by its id; every replica refuses it within two seconds."""
    from serving.commands import keys

    return keys.revoke(workspace, id)


@main.group()
def secret() -> None:
    """List the secrets of the workspace, and rotate those that can be."""


@command(group=secret, name="list")
def list_secrets(workspace: Workspace) -> Result:
    """List the secrets, without their values, and how each is replaced by another."""
    from serving.commands import keys

    return keys.listed_secrets(workspace)


@command(group=secret)
@click.argument("name")
@click.option(
    "--overlap-hours",
    type=click.FloatRange(0, 24 * 365),
    default=24.0,
    show_default=True,
    help="How long the earlier secret still counts; 0 if it has leaked.",
)
def rotate(workspace: Workspace, name: str, overlap_hours: float) -> Result:
    """Replace a secret by a new one, and show it; deliveries are signed by both until the overlap ends."""
    from serving.commands import keys

    return keys.rotate_secret(workspace, name, overlap_hours)
