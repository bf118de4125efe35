"""The commands about who may do what: keys, people who sign in, secrets, and the tools of programs."""

import getpass
import sys
from collections.abc import Iterable
from pathlib import Path

import click

from brain_command import READABLE, Result, command, main
from decisioning.errors import Refused
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
    _check_scopes([scope])
    from serving.commands.access import keys

    owner = operating_system_user().name
    return keys.create(workspace, scope, name, owner, expires=expires, issues=issues, channels=channels)


@command(group=key, name="list")
def list_keys(workspace: Workspace) -> Result:
    """List the keys, without their secrets, and when each was used last."""
    from serving.commands.access import keys

    return keys.listed(workspace)


@command(group=key)
@click.argument("id")
def revoke(workspace: Workspace, id: str) -> Result:
    """Revoke a key by its id; every replica refuses it within two seconds."""
    from serving.commands.access import keys

    return keys.revoke(workspace, id)


@main.group()
def secret() -> None:
    """List the secrets of the workspace, and rotate those that can be."""


@command(group=secret, name="list")
def list_secrets(workspace: Workspace) -> Result:
    """List the secrets, without their values, and how each is replaced by another."""
    from serving.commands.access import keys

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
    from serving.commands.access import keys

    return keys.rotate_secret(workspace, name, overlap_hours)


@main.group()
def user() -> None:
    """Add, list and remove people who sign in, and set their passwords."""


_TEAM = click.option("--team", help="The team that the person belongs to.")
_SITE = click.option("--site", help="The site that the person works at.")


@command(group=user)
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, required=True, help="What the person may do; may be given again.")
@_TEAM
@_SITE
def add(workspace: Workspace, name: str, scopes: tuple[str, ...], team: str | None, site: str | None) -> Result:
    """Let a person sign in with a password, which is asked for, or read from standard input."""
    _check_scopes(scopes)
    from serving.commands.access import people

    return people.add(workspace, name, scopes, _new_password(), operating_system_user().name, team=team, site=site)


@command(group=user, name="list")
def list_people(workspace: Workspace) -> Result:
    """List everyone who may sign in, or could before."""
    from serving.commands.access import people

    return people.listed(workspace)


@command(group=user)
@click.argument("who")
@click.option("--scope", "scopes", multiple=True, help="What the person may do from now on; may be given again.")
@_TEAM
@_SITE
def change(workspace: Workspace, who: str, scopes: tuple[str, ...], team: str | None, site: str | None) -> Result:
    """Change what a person with a password may do; it counts from their next request."""
    _check_scopes(scopes)
    from serving.commands.access import people

    return people.change(workspace, who, scopes, team=team, site=site)


@command(group=user)
@click.argument("who")
@click.option("--undo", is_flag=True, help="Let the person sign in again.")
def remove(workspace: Workspace, who: str, undo: bool) -> Result:
    """Let a person sign in no more, and end their sessions at once. WHO is a name or an id."""
    from serving.commands.access import people

    return people.remove(workspace, who, undo=undo)


@command(group=user)
@click.argument("name")
def password(workspace: Workspace, name: str) -> Result:
    """Set another password of a person, which ends their sessions."""
    from serving.commands.access import people

    return people.set_password(workspace, name, _new_password())


def _check_scopes(names: Iterable[str]) -> None:
    """Raise Refused for a scope that does not exist, before a password is asked for and the ledger is opened."""
    from serving.access.table import TABLE

    TABLE.check_scopes(names)


def _new_password() -> str:
    """Return a password that was typed twice without being shown, or the one line of standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    first = getpass.getpass("Password: ")
    if first != getpass.getpass("Again: "):
        raise Refused("the two passwords differ")
    return first


@command()
@click.option("--key-file", type=READABLE, help="The file of the key; by default BRAIN_KEY, else keys/agent.")
def mcp(workspace: Workspace, key_file: Path | None) -> Result:
    """Give a program that starts this command tools over its standard streams, by the running server."""
    from serving.programs.outside import serve_tools

    serve_tools(workspace, key_file)
    return None
