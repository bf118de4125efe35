"""Small records for the ledger's tests."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from pydantic_core import to_json

from decisioning.facts.standing import Contact
from features.ledger import Entry
from features.ledger.past.kinds import ContactKinds

DAY_US = 86_400_000_000
NOW_US = 1_790_000_000_000_000  # in 2026


class KindRow(NamedTuple):
    """A row of the table of kinds."""

    number: int
    body: bytes


def consent(stream: str, status: str = "granted", occurred_us: int = NOW_US, **more: Any) -> Entry:
    body = {"purpose": "marketing", "channel": "*", "status": status, "source": "web", "notice_version": "1"}
    options = {name: more.pop(name) for name in ("expected", "key", "aliases") if name in more}
    return Entry(stream, "consent", {**body, **more}, occurred_us, **options)


def offered(offer_id: str, at_us: int = NOW_US, **more: Any) -> dict[str, Any]:
    return {
        "offer_id": offer_id,
        "action": "tv",
        "treatment": "tv.web-hero",
        "group": "tv",
        "issue": "grow",
        "channel": "web",
        "at_us": at_us,
        "reserved_until_us": at_us + DAY_US // 24,
        "counts_on": "decided",
        "state": "reserved",
        **more,
    }


def decision(stream: str, *offer_ids: str, occurred_us: int = NOW_US, **options: Any) -> Entry:
    contacts = [offered(offer_id, occurred_us) for offer_id in offer_ids]
    return Entry(stream, "decision", {"contacts": contacts}, occurred_us, **options)


def contact(stream: str, offer_id: str, state: str, occurred_us: int = NOW_US) -> Entry:
    return Entry(stream, "contact", {"offer_id": offer_id, "state": state}, occurred_us)


def outcome(stream: str, name: str = "accepted", occurred_us: int = NOW_US, **options: Any) -> Entry:
    return Entry(stream, "outcome", {"action": "tv", "outcome": name, "offer_id": None}, occurred_us, **options)


def in_sql(url: str, stream: str) -> str:
    """Return the name of a stream as a literal of the database."""
    return f"decode('{stream}', 'hex')" if "://" in url else f"x'{stream}'"


def kinds_of(contacts: Iterable[Contact]) -> ContactKinds:
    """Return the kinds of these contacts, numbered without a database."""
    words = sorted({(c.action, c.treatment, c.group, c.issue, c.channel, c.counts_on) for c in contacts})
    rows: Any = [KindRow(number, to_json(kind)) for number, kind in enumerate(words)]
    return ContactKinds(lambda statement, parameters: rows)


def past_the_ledger(url: str, *statements: str, **parameters: str | bytes) -> Sequence[sa.Row[Any]]:
    """Run statements on a ledger's database, bypassing the ledger, and return the rows of the last one, if any."""
    engine = sa.create_engine(database_url(url))
    with engine.begin() as connection:
        results = [connection.execute(sa.text(statement), parameters) for statement in statements]
        rows = results[-1].all() if results[-1].returns_rows else []
    engine.dispose()
    return rows


def database_url(url: str) -> str:
    """Return the url of a test's database in the form of SQLAlchemy."""
    return url.replace("postgresql://", "postgresql+psycopg://") if "://" in url else f"sqlite:///{url}"
