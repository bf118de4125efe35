"""The ledger's tables, as the newest migration leaves them. Times are int microseconds since 1970 UTC.

The names of tables that name streams begin with `ledger_`. Code from before `ledger_0006`, when a stream was 40
characters, does not find them, and fails instead of taking a known customer for a new one.
"""

from features.ledger.tables.access import (
    ACCESS_KEYS,
    CUSTOMER_CODES,
    CUSTOMER_SESSIONS,
    PEOPLE,
    SECRET_ROTATIONS,
    SECURITY_EVENTS,
    SESSIONS,
    SIGN_INS,
    WRONG_PASSWORDS,
)
from features.ledger.tables.columns import METADATA, SEQ, Bytes, Erasable, Name
from features.ledger.tables.handovers import AGENTS, CONVERSATION_WORDS, HANDOVERS, QUEUE_STATES, REQUESTS
from features.ledger.tables.records import (
    CHECKPOINTS,
    CLAIMS,
    CONTACT_KINDS,
    CONTACTS,
    ERASURES,
    IS_COMPLAINT,
    KEYS,
    LOOKS,
    OUTCOMES,
    RECORDS,
    RECORDS_OF_STREAM,
    REWRITES,
    SAID_BY_PEOPLE,
    STANDING_RULES,
    STANDINGS,
)
from features.ledger.tables.releases import ACTIVATIONS, APPROVALS, PAUSES, RELEASES
from features.ledger.tables.signals import DELIVERIES, EMPTIED, FIRED, PRIVACY_CONTROLS, SIGNAL_STATES, SIGNALS, WATCHES

VERSION_TABLE = "ledger_schema"
"""The table in which Alembic keeps the schema version; not its default name, so that schemas can share a database."""
NEWEST = "ledger_0023"
"""The newest migration; compared when a database is opened, so that only an old one pays for importing Alembic."""

__all__ = [
    "ACCESS_KEYS",
    "ACTIVATIONS",
    "AGENTS",
    "APPROVALS",
    "CHECKPOINTS",
    "CLAIMS",
    "CONTACTS",
    "CONTACT_KINDS",
    "CONVERSATION_WORDS",
    "CUSTOMER_CODES",
    "CUSTOMER_SESSIONS",
    "DELIVERIES",
    "EMPTIED",
    "ERASURES",
    "FIRED",
    "HANDOVERS",
    "IS_COMPLAINT",
    "KEYS",
    "LOOKS",
    "METADATA",
    "NEWEST",
    "OUTCOMES",
    "PAUSES",
    "PEOPLE",
    "PRIVACY_CONTROLS",
    "QUEUE_STATES",
    "RECORDS",
    "RECORDS_OF_STREAM",
    "RELEASES",
    "REQUESTS",
    "REWRITES",
    "SAID_BY_PEOPLE",
    "SECRET_ROTATIONS",
    "SECURITY_EVENTS",
    "SEQ",
    "SESSIONS",
    "SIGNALS",
    "SIGNAL_STATES",
    "SIGN_INS",
    "STANDINGS",
    "STANDING_RULES",
    "VERSION_TABLE",
    "WATCHES",
    "WRONG_PASSWORDS",
    "Bytes",
    "Erasable",
    "Name",
]
