"""Types of columns that the tables of the ledger share."""

from typing import Any

from sqlalchemy import BigInteger, Dialect, Integer, LargeBinary, MetaData


class Bytes(LargeBinary):
    """Bytes without conversion: both drivers accept and return `bytes`, so SQLAlchemy need not wrap any value."""

    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Any:
        """Return no conversion of parameters."""
        return None

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """Return no conversion of results."""
        return None


class Name(Bytes):
    """The name of a stream or a key, a keyed hash: 20 bytes in the database, 40 hex characters in Python."""

    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Any:
        """Return the conversion of parameters."""
        return bytes.fromhex

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """Return the conversion of results."""
        return bytes.hex


class Erasable(Bytes):
    """Bytes that read as None once an erasure has overwritten them with zeros, or has deleted them."""

    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """Return the conversion of results."""
        return _unless_zeros


def _unless_zeros(value: bytes | None) -> bytes | None:
    return value if value is not None and any(value) else None


METADATA = MetaData()
SEQ = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite numbers rows itself only if the type is exactly INTEGER."""
