"""`brain user`: people who sign in with a password, and whoever else signed in."""

from collections.abc import Collection
from typing import Any, Final

from decisioning.errors import NotFound, Refused
from decisioning.times import iso
from features.ledger import Ledger, now_us
from features.people import LOCAL, User, add_person, change_person, find_person, read_people
from serving.access.people.passwords import hashed
from serving.access.people.roles import new_person_id
from serving.access.table import ADMIN, TABLE
from serving.brain.active import open_ledger
from serving.settings import Workspace

_NAME: Final = "a name has 2 to 64 lower-case letters, digits, dots, hyphens and @, and begins with a letter or digit"


def add(
    workspace: Workspace, name: str, scopes: Collection[str], password: str, made_by: str, **more: str | None
) -> dict[str, Any]:
    """Let a person sign in with a password; `more`: their `team` and `site`.

    Raises Refused if there is one of this name, also if they were removed: records name who did what.
    """
    _check_name(name)
    kept = hashed(password, name)
    person = User(
        id=new_person_id(),
        issuer=LOCAL,
        subject=name,
        name=name,
        scopes=_checked(scopes),
        team=more.get("team"),
        site=more.get("site"),
        made_by=made_by,
        created_us=now_us(),
        password=kept,
    )
    with open_ledger(workspace) as ledger:
        if not add_person(ledger, person):
            raise Refused(f"{name} is there already; for one who was removed: brain user remove {name} --undo")
    return _row(person)


def listed(workspace: Workspace) -> dict[str, Any]:
    """Return everyone who ever was allowed to sign in."""
    with open_ledger(workspace) as ledger:
        return {"users": [_row(person) for person in read_people(ledger)]}


def change(workspace: Workspace, who: str, scopes: Collection[str], **more: str | None) -> dict[str, Any]:
    """Change what a person with a password may do, or their `team` or `site`; what is not given stays."""
    values = {name: value for name, value in more.items() if value is not None}
    if scopes:
        values["scopes"] = _checked(scopes)
    if not values:
        raise Refused("say what to change: --scope, --team or --site")
    with open_ledger(workspace) as ledger:
        person = _named(ledger, who)
        if person.issuer != LOCAL:
            raise Refused("what this person may do comes from the sign-in provider: see sign_in.roles in brain.yaml")
        change_person(ledger, person.id, values, needed=ADMIN)
        return _row(_named(ledger, who))


def remove(workspace: Workspace, who: str, *, undo: bool) -> dict[str, Any]:
    """Let a person sign in no more, and end their sessions at once; or let them in again."""
    removed_us = None if undo else now_us()
    with open_ledger(workspace) as ledger:
        person = _named(ledger, who)
        change_person(ledger, person.id, {"removed_us": removed_us}, needed=ADMIN, ends_sessions=True)
        return _row(_named(ledger, who))


def set_password(workspace: Workspace, name: str, password: str) -> dict[str, Any]:
    """Give a person another password, and end their sessions."""
    with open_ledger(workspace) as ledger:
        person = _named(ledger, name)
        if person.issuer != LOCAL:
            raise Refused("this person has no password here: they sign in with a provider")
        change_person(ledger, person.id, {"password": hashed(password, name)}, needed=ADMIN, ends_sessions=True)
        return _row(person)


def _named(ledger: Ledger, who: str) -> User:
    """Return the person with this name or id; raises NotFound."""
    known = find_person(ledger, LOCAL, who)
    person = known or next((person for person in read_people(ledger) if person.id == who), None)
    if person is None:
        raise NotFound("who", "nobody has this name or id: see `brain user list`")
    return person


def _check_name(name: str) -> None:
    good = set("abcdefghijklmnopqrstuvwxyz0123456789.-@")
    if not 2 <= len(name) <= 64 or not set(name) <= good or not name[0].isalnum():
        raise Refused(_NAME)


def _checked(scopes: Collection[str]) -> str:
    """Return scopes with commas between them; raises Refused for one that does not exist."""
    TABLE.check_scopes(scopes)
    return ",".join(sorted(set(scopes)))


def _row(person: User) -> dict[str, Any]:
    times = {"created": person.created_us, "removed": person.removed_us, "last_signed_in": person.signed_in_us}
    shown = {name: None if at_us is None else iso(at_us) for name, at_us in times.items()}
    about = {"id": person.id, "name": person.name, "scopes": [scope for scope in person.scopes.split(",") if scope]}
    return {**about, "team": person.team, "site": person.site, "made_by": person.made_by, **shown}
