"""What a person states about how a table is written; what is not stated is recognised."""

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator

from decisioning.errors import Refused
from features.importing.tables.dates import DateOrder
from features.importing.tables.marks import Decimal

Compression = Literal["none", "gzip", "zip"]
Kind = Literal["csv", "parquet", "json", "workbook"]
OPTIONS: Final = ("separator", "encoding", "decimal", "dates", "compression", "sheet")
"""What can be stated, by the same name everywhere: as an option of a command and as a field of a file in a mapping."""
_NAMED_SEPARATORS: Final = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}


def _separator(raw: Any) -> Any:
    return _NAMED_SEPARATORS.get(raw, raw) if isinstance(raw, str) else raw


Separator = Annotated[str, BeforeValidator(_separator)]
"""One character, or the name of one that is hard to type, such as `tab`."""


@dataclass(frozen=True)
class Stated:
    """How a table is written, as far as a person states it."""

    separator: str | None = None
    encoding: str | None = None
    decimal: Decimal | None = None
    dates: DateOrder | None = None
    compression: Compression | None = None
    sheet: str | None = None
    kind: Kind | None = None

    def __post_init__(self) -> None:
        """Raise Refused for a separator that is not one character."""
        separator = _separator(self.separator)
        if separator is not None and (len(separator.encode()) != 1 or separator in '"\r\n'):
            raise Refused("the separator of a CSV file is one ASCII character, and no quotation mark")
        object.__setattr__(self, "separator", separator)


def state(option: str, example: str = "") -> str:
    """Return what to do to state an option, such as `state --sheet (or `sheet` in a mapping)`."""
    return f"state --{option}{' ' + example if example else ''} (in a mapping: `{option}`)"


__all__ = ["OPTIONS", "Compression", "DateOrder", "Decimal", "Kind", "Separator", "Stated", "state"]
