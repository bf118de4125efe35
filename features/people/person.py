"""People who may sign in, as a table in the ledger's database.

Times are int microseconds since 1970 UTC.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy import Connection, delete, insert, select, update

from decisioning.errors import Refused
from features.ledger import Ledger
from features.ledger.database import upsert
from features.ledger.tables import PEOPLE, SESSIONS

LOCAL: Final = ""
"""The issuer of people who sign in with a password that is kept here."""


@dataclass(frozen=True, slots=True)
class User:
    """Who may sign in. `subject` is their name here, or what their provider (`issuer`) calls them.

    `scopes` has commas between them. `made_by` is the operating-system user that made a local person, or the issuer.
    """

    id: str
    issuer: str
    subject: str
    name: str
    scopes: str
    team: str | None
    site: str | None
    made_by: str
    created_us: int
    password: str | None = None
    removed_us: int | None = None
    signed_in_us: int | None = None


def read_people(ledger: Ledger) -> list[User]:
    """Return everyone who ever was allowed to sign in, the oldest first."""
    newest_last = select(PEOPLE).order_by(PEOPLE.c.created_us, PEOPLE.c.id)
    return [User(**row._mapping) for row in ledger.select(newest_last)]


def find_person(ledger: Ledger, issuer: str, subject: str) -> User | None:
    """Return the person of this issuer and subject, removed or not, or None."""
    rows = ledger.select(select(PEOPLE).where(PEOPLE.c.issuer == issuer, PEOPLE.c.subject == subject))
    return User(**rows[0]._mapping) if rows else None


def add_person(ledger: Ledger, person: User) -> bool:
    """Keep a new person; return False, and keep nothing, if there is one of this issuer and subject already."""

    def add(connection: Connection) -> bool:
        same = select(PEOPLE.c.id).where(PEOPLE.c.issuer == person.issuer, PEOPLE.c.subject == person.subject)
        if connection.execute(same).first() is not None:
            return False
        connection.execute(insert(PEOPLE), asdict(person))
        return True

    return ledger.transact(add).result()


def keep_signed_in(ledger: Ledger, person: User) -> User:
    """Keep what a provider says of a person who signs in; return them as kept: with their first id, perhaps removed."""
    said = {name: getattr(person, name) for name in ("name", "scopes", "team", "site")}
    who = {"issuer": person.issuer, "subject": person.subject}
    others = {name: value for name, value in asdict(person).items() if name not in {*said, *who}}

    def keep(connection: Connection) -> User:
        upsert(connection, PEOPLE, who, said, others)
        same = select(PEOPLE).where(PEOPLE.c.issuer == person.issuer, PEOPLE.c.subject == person.subject)
        return User(**connection.execute(same).one()._mapping)

    return ledger.transact(keep).result()


def change_person(
    ledger: Ledger, person_id: str, values: Mapping[str, Any], *, needed: str, ends_sessions: bool = False
) -> None:
    """Change columns of a person.

    :param needed: the scope that one person with a password must keep, once anybody has it
    :raises Refused: nobody with a password would have this scope any more; nothing was changed
    """

    def change(connection: Connection) -> None:
        had_one = _has_scope(connection, needed)
        connection.execute(update(PEOPLE).where(PEOPLE.c.id == person_id).values(**values))
        if had_one and not _has_scope(connection, needed):
            raise Refused(f"nobody else with a password has the scope {needed}: give it to another person first")
        if ends_sessions:
            connection.execute(delete(SESSIONS).where(SESSIONS.c.person_id == person_id))

    ledger.transact(change).result()


def _has_scope(connection: Connection, scope: str) -> bool:
    """Tell whether anybody who signs in with a password has a scope."""
    local = select(PEOPLE.c.scopes).where(PEOPLE.c.password.is_not(None), PEOPLE.c.removed_us.is_(None))
    return any(scope in scopes.split(",") for (scopes,) in connection.execute(local))
