"""A database of which anything may be damaged: reading it ends in no error for what a single value is."""

from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, column, event, inspect, select, table, text
from sqlalchemy.exc import SQLAlchemyError

from decisioning.errors import Unavailable
from features.ledger.database import Database
from features.ledger.tables import METADATA, NEWEST, VERSION_TABLE
from features.sqlite_errors import is_damage

_T = TypeVar("_T")
_VERSION: Final[Any] = select(column("version_num")).select_from(table(VERSION_TABLE))
_UNREADABLE: Final = "what follows cannot be read: the database is damaged"


class DamagedText(str):
    """A text of the database that is no UTF-8: bytes that are none are written as `\\xNN`; `raw` is what is stored."""

    raw: bytes


class DamagedDatabase(Database):
    """Opens a database to verify it: a text is read whatever its bytes are, and so are tables without a version."""

    def _migrate(self) -> None:
        if self.sqlite:
            event.listen(self._reader, "connect", _read_any_text)
            self._reader.dispose()  # those that are open already do not
        try:
            with self._reader.connect() as connection:
                is_newest = _has_newest_tables(connection)
        except SQLAlchemyError:
            is_newest = True  # the audit says what cannot be read
        if not is_newest:
            super()._migrate()


def _read_any_text(connection: Any, _record: Any) -> None:
    connection.text_factory = _any_text


def _any_text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        text = DamagedText(raw.decode(errors="backslashreplace"))
        text.raw = raw
        return text


def _has_newest_tables(connection: Connection) -> bool:
    inspector = inspect(connection)
    names = set(inspector.get_table_names())
    return all(
        name in names and set(one.columns.keys()) <= {c["name"] for c in inspector.get_columns(name)}
        for name, one in METADATA.tables.items()
    )


def page_flaws(database: Database) -> Iterator[str]:
    """Yield what SQLite finds wrong with the pages of its file, at most a hundred such things."""
    if database.sqlite:
        for (problem,) in database.fetch(text("PRAGMA integrity_check")):
            if problem != "ok":
                yield " ".join(str(problem).split())


def schema_flaws(database: Database) -> Iterator[str]:
    """Yield what is wrong with the version of the tables."""
    if [row.version_num for row in database.fetch(_VERSION)] != [NEWEST]:
        yield f"the version of the tables is not {NEWEST}, which they have"


def survive(items: Iterable[_T], ended: list[str]) -> Iterator[_T]:
    """Yield the items; if damage ends them early, add to `ended` that it did.

    :raises Unavailable: the database cannot be reached, which is no damage
    """
    try:
        yield from items
    except Unavailable as error:
        if not is_damage(error):
            raise
        ended.append(_UNREADABLE)
    except SQLAlchemyError:
        ended.append(_UNREADABLE)
    except Exception as error:  # noqa: BLE001 (a value may be anything, and nothing of it is to hide other flaws)
        ended.append(f"what follows cannot be checked ({type(error).__name__})")
