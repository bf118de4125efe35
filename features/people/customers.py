"""Codes by which customers come to their own page, and their sessions there, as tables in the ledger's database.

Times are int microseconds since 1970 UTC. No code is kept, only a keyed hash of it.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from sqlalchemy import Connection, delete, insert, select, update

from features.ledger import Ledger
from features.ledger.tables import CUSTOMER_CODES, CUSTOMER_SESSIONS

CodeKind = Literal["link", "code"]
"""`link`: it is part of a link. `code`: the customer types it, to show that they are who they are."""


@dataclass(frozen=True, slots=True)
class CustomerCode:
    """A code by its keyed hash (`id`), and whose it is: their stream, and their encrypted id (`customer`)."""

    id: str
    stream: str
    kind: CodeKind
    customer: bytes
    expires_us: int
    used_us: int | None = None
    revoked_us: int | None = None


@dataclass(frozen=True, slots=True)
class CustomerSession:
    """That a customer is at their own page.

    `confirmed_us`: when they typed a one-time code or signed in, None if they came by a link alone.
    """

    id: str
    stream: str
    customer: bytes
    created_us: int
    seen_us: int
    confirmed_us: int | None = None


def add_code(ledger: Ledger, code: CustomerCode, at_us: int, forget_before_us: int) -> None:
    """Keep a new code, and forget those that expired before `forget_before_us`.

    A new one-time code revokes the customer's earlier ones; a new link leaves earlier links as they are.
    """

    def add(connection: Connection) -> None:
        connection.execute(delete(CUSTOMER_CODES).where(CUSTOMER_CODES.c.expires_us < forget_before_us))
        if code.kind == "code":
            connection.execute(_revoking(code.stream, at_us).where(CUSTOMER_CODES.c.kind == "code"))
        connection.execute(insert(CUSTOMER_CODES), asdict(code))

    ledger.transact(add).result()


def use_code(ledger: Ledger, code_id: str, kind: CodeKind, at_us: int) -> tuple[CustomerCode | None, bool]:
    """Use a code, which works once; return it as it was kept, or None for one that never was, and whether it worked."""
    same = (CUSTOMER_CODES.c.id == code_id) & (CUSTOMER_CODES.c.kind == kind)
    unused = CUSTOMER_CODES.c.used_us.is_(None) & CUSTOMER_CODES.c.revoked_us.is_(None)
    use = update(CUSTOMER_CODES).where(same, unused, CUSTOMER_CODES.c.expires_us > at_us).values(used_us=at_us)

    def used(connection: Connection) -> tuple[CustomerCode | None, bool]:
        rows = connection.execute(select(CUSTOMER_CODES).where(same)).all()
        works = bool(connection.execute(use).rowcount)
        return (CustomerCode(**rows[0]._mapping) if rows else None), works

    return ledger.transact(used).result()


def revoke_codes(ledger: Ledger, stream: str, at_us: int) -> int:
    """Revoke all codes of a customer that were not used, and end all their sessions; return how many codes."""

    def revoke(connection: Connection) -> int:
        connection.execute(delete(CUSTOMER_SESSIONS).where(CUSTOMER_SESSIONS.c.stream == stream))
        return int(connection.execute(_revoking(stream, at_us)).rowcount)

    return ledger.transact(revoke).result()


def add_customer_session(ledger: Ledger, session: CustomerSession, forget_before_us: int) -> None:
    """Keep a new session, and forget those that began before `forget_before_us`."""

    def add(connection: Connection) -> None:
        connection.execute(delete(CUSTOMER_SESSIONS).where(CUSTOMER_SESSIONS.c.created_us < forget_before_us))
        connection.execute(insert(CUSTOMER_SESSIONS), asdict(session))

    ledger.transact(add).result()


def find_customer_session(ledger: Ledger, session_id: str) -> CustomerSession | None:
    """Return a session, or None for one that has ended."""
    rows = ledger.select(select(CUSTOMER_SESSIONS).where(CUSTOMER_SESSIONS.c.id == session_id))
    return CustomerSession(**rows[0]._mapping) if rows else None


def note_customer_session(ledger: Ledger, session_id: str, **times_us: int) -> None:
    """Note when a session was used last (`seen_us`), or confirmed (`confirmed_us`)."""
    statement = update(CUSTOMER_SESSIONS).where(CUSTOMER_SESSIONS.c.id == session_id).values(**times_us)
    ledger.transact(lambda connection: connection.execute(statement)).result()


def end_customer_session(ledger: Ledger, session_id: str) -> None:
    """End a session, on every replica at once."""
    statement = delete(CUSTOMER_SESSIONS).where(CUSTOMER_SESSIONS.c.id == session_id)
    ledger.transact(lambda connection: connection.execute(statement)).result()


def _revoking(stream: str, at_us: int) -> Any:
    unused = CUSTOMER_CODES.c.used_us.is_(None) & CUSTOMER_CODES.c.revoked_us.is_(None)
    return update(CUSTOMER_CODES).where(CUSTOMER_CODES.c.stream == stream, unused).values(revoked_us=at_us)
