"""An application that cannot be built."""

from typing import NoReturn

from decisioning.errors import Unavailable


def build(_args: dict[str, str]) -> NoReturn:
    """Raise Unavailable."""
    raise Unavailable("the ledger cannot be reached")
