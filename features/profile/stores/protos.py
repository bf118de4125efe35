"""Feast's protobuf values, from and to Python's."""

from collections.abc import Mapping
from typing import Any

from features.feast_library import import_feast
from features.profile.stores.rows import Kind, as_whole
from features.profile.versions import Cell

import_feast()  # its parts import all of it, in twice the time where it was not imported so

from feast.protos.feast.types.EntityKey_pb2 import EntityKey  # noqa: E402
from feast.protos.feast.types.Value_pb2 import Value as Proto  # noqa: E402

FIELDS: Mapping[Kind, str] = {
    "d": "double_val",
    "q": "int64_val",
    "?": "bool_val",
    "s": "string_val",
    "b": "bytes_val",
}
"""The field of a protobuf value that holds a kind."""


def entity_key(subject: str) -> Any:
    """Return Feast's key of a subject."""
    return EntityKey(join_keys=["subject"], entity_values=[Proto(string_val=subject)])


def to_proto(value: Cell | None, kind: Kind) -> Any:
    """Return a protobuf value, empty for None."""
    proto = Proto()
    if value is not None:
        setattr(proto, FIELDS[kind], value)
    return proto


def from_proto(proto: Any, kind: Kind) -> Cell | None:
    """Return the content of a protobuf value, or None if it is empty or of another kind.

    An int that was stored before its feature became a float is returned as a float, and a whole float as an int.
    """
    field = proto.WhichOneof("val")
    if field == FIELDS[kind]:
        return getattr(proto, field)  # type: ignore[no-any-return]
    if (kind, field) == ("q", "double_val"):
        return as_whole(proto.double_val)
    return float(proto.int64_val) if (kind, field) == ("d", "int64_val") else None
