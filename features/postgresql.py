"""A connection to PostgreSQL that waits for answers no longer than `features.deadlines` says, and then is closed.

The server's own limits do not suffice: a server that is stopped, or a network that loses all, never applies them.
"""

import math
from typing import Any, Final

import psycopg
from psycopg import errors

from features.deadlines import answer_s

CONNECT_S: Final = 2
"""How long connecting may take; the driver takes no less."""
ARGUMENTS: Final = {
    "connect_timeout": CONNECT_S,
    "options": "-c lock_timeout=2000 -c statement_timeout=60000 -c idle_in_transaction_session_timeout=60000",
    "keepalives_idle": 10,  # so that a connection through a network that forgot it is noticed while nobody uses it
    "keepalives_interval": 3,
    "keepalives_count": 3,
}


class NoAnswer(psycopg.OperationalError):
    """The server did not answer in time; the connection is closed, so that no later question gets this answer."""


class Connection(psycopg.Connection[Any]):
    """A connection whose every wait ends."""

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Do what the driver does, for no longer than the deadline. Raises NoAnswer."""
        limit_s = answer_s()
        if timeout is not None or math.isinf(limit_s):
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, limit_s)
        except errors._WaitTimeout:
            self.close()
            raise NoAnswer("no answer in time") from None


def is_silence(error: BaseException | None) -> bool:
    """Tell whether a server left a question, or an attempt to connect, unanswered."""
    return isinstance(error, NoAnswer | errors.ConnectionTimeout)


def connect(*args: Any, **parameters: Any) -> Connection:
    """Open a connection with these parameters of the driver, which replace `ARGUMENTS`."""
    return Connection.connect(*args, **{**ARGUMENTS, **parameters})
