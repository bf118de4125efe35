"""Put a ledger's tables back to those of an earlier migration, with the same records, to see them migrated again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from pydantic_core import to_json

import features.ledger.migrations
from decisioning.facts.standing import Consent, Contact, Link
from features.ledger.past.kinds import ContactKinds
from features.ledger.past.packing import ContactRow, unpack
from features.ledger.snapshot import decode
from features.ledger.standing import Fold
from features.ledger.tables import METADATA, VERSION_TABLE
from tests.features.ledger.builders import database_url

Rows = Sequence[Mapping[str, Any]]
NEW_NAMES = {name: name.removeprefix("ledger_") for name in METADATA.tables}


def put_back(url: str, revision: str, body_of: "Callable[[Fold, int], bytes] | None" = None) -> None:
    """Put the tables back to those of `ledger_0004` or `ledger_0005`.

    :param body_of: encodes a standing and the number of its rules; by default as of `ledger_0005`
    """
    engine = sa.create_engine(database_url(url))
    with engine.begin() as connection:
        rows = _as_earlier(connection, body_of or encoded_in_format_3)
        METADATA.drop_all(connection)
        connection.execute(sa.text(f"DROP TABLE {VERSION_TABLE}"))
        _upgrade(connection, revision)
        _fill(connection, rows)
    engine.dispose()


def drops_since(revision: str) -> tuple[str, ...]:
    """Return the statements that drop the tables, and the indexes of other tables, made by migrations after one."""
    with sa.create_engine("sqlite://").begin() as connection:
        _upgrade(connection, revision)
        schema = sa.inspect(connection)
        before = {
            table: {str(index["name"]) for index in schema.get_indexes(table)} for table in schema.get_table_names()
        }
    kept = [table for table in METADATA.tables.values() if table.name in before]
    indexes = (str(index.name) for table in kept for index in table.indexes if index.name not in before[table.name])
    tables = (name for name in METADATA.tables if name not in before)
    return (*(f"DROP INDEX {name}" for name in indexes), *(f"DROP TABLE {name}" for name in tables))


def _upgrade(connection: sa.Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(features.ledger.migrations.__file__).parent))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _fill(connection: sa.Connection, rows: Mapping[str, Rows]) -> None:
    earlier = sa.MetaData()
    earlier.reflect(connection)
    for name, table in earlier.tables.items():
        if rows.get(name):
            connection.execute(sa.insert(table), rows[name])
        if connection.dialect.name == "postgresql" and "seq" in table.c:
            counter = f"pg_get_serial_sequence('{name}', 'seq')"
            connection.execute(sa.text(f"SELECT setval({counter}, (SELECT max(seq) FROM {name}))"))


def _as_earlier(connection: sa.Connection, body_of: Callable[[Fold, int], bytes]) -> dict[str, Rows]:
    """Return the rows of every table by its earlier name."""
    kinds = ContactKinds(lambda statement, parameters: connection.execute(statement, parameters).all())
    rows: dict[str, Rows] = {
        NEW_NAMES[name]: [dict(row) for row in connection.execute(sa.select(table)).mappings()]
        for name, table in METADATA.tables.items()
    }
    rows["contacts"] = [earlier for row in rows["contacts"] for earlier in _contacts(row, kinds)]
    rows["standings"] = [
        {**row, "body": body_of(*decode(row["stream"], row["version"], row["at_us"], row["body"], kinds))}
        for row in rows["standings"]
    ]
    return rows


def _contacts(row: Mapping[str, Any], kinds: ContactKinds) -> Rows:
    packed = ContactRow(row["at_us"], row["body"], row["marks"])
    return [
        {"stream": row["stream"], **_contact(offer_id, offer.contact, offer.marks)}
        for offer_id, offer in unpack(row["offers"], packed, kinds)
    ]


def _contact(offer_id: str, contact: Contact | None, marks: Any) -> dict[str, Any]:
    if contact is not None:
        names = [f.name if f.name != "group" else "action_group" for f in fields(Contact)]
        return {**dict(zip(names, astuple(contact), strict=True)), "marks": None}
    words = dict.fromkeys(("action", "treatment", "action_group", "issue", "channel"), "")
    times = {"at_us": -(2**62), "reserved_until_us": 0, "counts_on": "decided", "state": "reserved"}
    return {"offer_id": offer_id, **words, **times, "marks": to_json(marks).decode()}


def encoded_in_format_3(fold: Fold, number: int) -> bytes:
    """Return a standing as it was encoded before `ledger_0006`."""
    times: dict[str, dict[str, tuple[int, ...]]] = {}
    for action, outcome in sorted(fold.times):
        times.setdefault(action, {})[outcome] = fold.times[action, outcome]
    past = [columns(Contact, fold.contacts), times, columns(Consent, fold.consents)]
    flags = [fold.erased, fold.restricted, fold.latest_us, fold.restricted_us]
    return to_json([3, number, *past, *flags, columns(Link, fold.links), fold.holder and list(astuple(fold.holder))])


def columns(cls: type[Any], rows: Sequence[Any]) -> list[list[Any]]:
    """Return one list per field, none if there are no rows."""
    return [[getattr(row, f.name) for row in rows] for f in fields(cls)] if rows else []
