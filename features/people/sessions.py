"""Sessions of people, and what limits guessing, as tables in the ledger's database.

Times are int microseconds since 1970 UTC.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from features.ledger import Ledger
from features.ledger.database import upsert
from features.ledger.tables import PEOPLE, SESSIONS, SIGN_INS, WRONG_PASSWORDS
from features.people.person import User


@dataclass(frozen=True, slots=True)
class Session:
    """That a person is signed in.

    `generation` counts how often its cookie was replaced, the last time at `renewed_us`. At `checked_us` the person's
    provider confirmed them last, at `asked_us` it was asked last; `sealed` is the encrypted token to ask it with.
    """

    id: str
    person_id: str
    generation: int
    created_us: int
    renewed_us: int
    seen_us: int
    checked_us: int
    asked_us: int
    sealed: bytes | None = None


def add_session(ledger: Ledger, session: Session, forget_before_us: int) -> None:
    """Keep a new session, and remove those that began before `forget_before_us`."""

    def add(connection: Connection) -> None:
        connection.execute(delete(SESSIONS).where(SESSIONS.c.created_us < forget_before_us))
        connection.execute(insert(SESSIONS), asdict(session))
        signed_in = update(PEOPLE).where(PEOPLE.c.id == session.person_id)
        connection.execute(signed_in.values(signed_in_us=session.created_us))

    ledger.transact(add).result()


def read_session(ledger: Ledger, session_id: str) -> tuple[Session, User] | None:
    """Return a session and its person; None for one that has ended, or whose person was removed."""
    people = select(PEOPLE).join(SESSIONS, SESSIONS.c.person_id == PEOPLE.c.id)
    of_session = people.where(SESSIONS.c.id == session_id, PEOPLE.c.removed_us.is_(None))
    sessions = ledger.select(select(SESSIONS).where(SESSIONS.c.id == session_id))
    persons = ledger.select(of_session) if sessions else []
    return (Session(**sessions[0]._mapping), User(**persons[0]._mapping)) if persons else None


def read_sessions(ledger: Ledger, session_ids: Sequence[str]) -> list[tuple[Session, User]]:
    """Return those of these sessions that have not ended, with their people who were not removed."""
    sessions = ledger.select(select(SESSIONS).where(SESSIONS.c.id.in_(session_ids)))
    named = {row.person_id for row in sessions}
    people = ledger.select(select(PEOPLE).where(PEOPLE.c.id.in_(named), PEOPLE.c.removed_us.is_(None)))
    users = {row.id: User(**row._mapping) for row in people}
    return [(Session(**row._mapping), users[row.person_id]) for row in sessions if row.person_id in users]


def change_session(ledger: Ledger, session: Session, values: Mapping[str, Any]) -> bool:
    """Change columns of a session; return whether it was still of this generation, else nothing is changed."""
    same = (SESSIONS.c.id == session.id) & (SESSIONS.c.generation == session.generation)
    statement = update(SESSIONS).where(same).values(**values)
    return bool(ledger.transact(lambda connection: connection.execute(statement).rowcount).result())


def claim_check(ledger: Ledger, session: Session, at_us: int) -> bool:
    """Note that a person's provider is being asked; return False if another process asks it already."""
    same = (SESSIONS.c.id == session.id) & (SESSIONS.c.asked_us == session.asked_us)
    statement = update(SESSIONS).where(same).values(asked_us=at_us)
    return bool(ledger.transact(lambda connection: connection.execute(statement).rowcount).result())


def note_check(ledger: Ledger, session_id: str, at_us: int, sealed: bytes | None) -> None:
    """Note that a provider confirmed a person, and with what it can be asked from now on."""
    statement = update(SESSIONS).where(SESSIONS.c.id == session_id).values(checked_us=at_us, sealed=sealed)
    ledger.transact(lambda connection: connection.execute(statement)).result()


def end_session(ledger: Ledger, session_id: str) -> None:
    """End a session, on every replica at once."""
    ledger.transact(lambda c: c.execute(delete(SESSIONS).where(SESSIONS.c.id == session_id))).result()


def use_sign_in(ledger: Ledger, sign_in_id: str, at_us: int, forget_before_us: int) -> bool:
    """Note that a sign-in came back; return whether it is the first time."""

    def use(connection: Connection) -> bool:
        connection.execute(delete(SIGN_INS).where(SIGN_INS.c.at_us < forget_before_us))
        if connection.execute(select(SIGN_INS.c.id).where(SIGN_INS.c.id == sign_in_id)).first() is not None:
            return False
        connection.execute(insert(SIGN_INS).values(id=sign_in_id, at_us=at_us))
        return True

    return ledger.transact(use).result()


def count_try(ledger: Ledger, name: str, at_us: int, resumes_us: Callable[[int, int], int]) -> int:
    """Count a try of a password before it is checked; return for how long nothing may be tried, then it is not counted.

    :param name: the id of the row
    :param resumes_us: from how often was tried and when last, when the next try is allowed
    """

    def count(connection: Connection) -> int:
        row = connection.execute(select(WRONG_PASSWORDS).where(WRONG_PASSWORDS.c.id == name)).first()
        tries, last_us = (0, 0) if row is None else (row.tries, min(row.at_us, at_us))
        if (wait_us := resumes_us(tries, last_us) - at_us) > 0:
            return wait_us
        upsert(connection, WRONG_PASSWORDS, {"id": name}, {"tries": tries + 1, "at_us": at_us})
        return 0

    return ledger.transact(count).result()


def forget_tries(ledger: Ledger, name: str, before_us: int) -> None:
    """Forget the tries of a name, whose password was right, and all that are older than `before_us`."""
    old = (WRONG_PASSWORDS.c.id == name) | (WRONG_PASSWORDS.c.at_us < before_us)
    ledger.transact(lambda connection: connection.execute(delete(WRONG_PASSWORDS).where(old))).result()
