"""Tables of handovers, the people who take them, and what customers ask of people."""

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text

from features.ledger.tables.columns import METADATA, SEQ, Bytes, Erasable, Name

HANDOVERS = Table(
    "ledger_handovers",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("stream", Name(), nullable=False),
    Column("conversation", Name(), nullable=False),
    Column("state", String(16), nullable=False),
    Column("step", Integer, nullable=False),
    Column("agent", Text),
    Column("opened_us", BigInteger, nullable=False),
    Column("waits_us", BigInteger, nullable=False),
    Column("due_us", BigInteger),
    Column("body", Bytes(), nullable=False),
)
"""Every handover by its last record; `body` is that of its first, JSON. `conversation`: a keyed hash of its id.

`waits_us`: since when the customer waits. `due_us`: when something has to happen next, such as an answer.
"""
Index("handovers_stream", HANDOVERS.c.stream)
Index("handovers_conversation", HANDOVERS.c.conversation)
Index("handovers_due", HANDOVERS.c.state, HANDOVERS.c.due_us)
_IS_OPEN = HANDOVERS.c.state.not_in(("resolved", "cancelled"))
Index(
    "handovers_open_once",
    HANDOVERS.c.stream,
    HANDOVERS.c.conversation,
    unique=True,
    sqlite_where=_IS_OPEN,
    postgresql_where=_IS_OPEN,
)
AGENTS = Table(
    "agents",
    METADATA,
    Column("id", String(128), primary_key=True),
    Column("stream", Name(), nullable=False, unique=True),
    Column("body", Bytes(), nullable=False),
    Column("changed_us", BigInteger, nullable=False),
    Column("heartbeat_us", BigInteger, nullable=False),
    Column("removed_us", BigInteger),
)
"""People who help customers: `body` is what is stated of them, JSON; `heartbeat_us`: when they were last heard of."""
QUEUE_STATES = Table(
    "queue_states",
    METADATA,
    Column("skill", String(64), primary_key=True),
    Column("channel", String(64), primary_key=True),
    Column("at_us", BigInteger, nullable=False),
    Column("body", Bytes(), nullable=False),
)
"""What a telephone system told last of each of its queues; `at_us`: of which time it is."""
CONVERSATION_WORDS = Table(
    "ledger_conversation_words",
    METADATA,
    Column("seq", SEQ, primary_key=True, autoincrement=True),
    Column("stream", Name(), nullable=False),
    Column("conversation", Name(), nullable=False),
    Column("key", Name(), nullable=False, unique=True),
    Column("speaker", String(16), nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("until_us", BigInteger),
    Column("body", Erasable()),
    Index("conversation_words", "conversation", "seq"),
    Index("conversation_words_until", "until_us"),
)
"""Words of open conversations. `until_us`: when they are overwritten; null while their conversation is open."""
REQUESTS = Table(
    "ledger_requests",
    METADATA,
    Column("number", String(16), primary_key=True),
    Column("stream", Name(), nullable=False, index=True),
    Column("record", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("due_us", BigInteger, nullable=False),
    Index("requests_due", "state", "due_us"),
)
"""What customers ask of people, by its number; `record` is the `seq` of its newest record, which says the rest."""
