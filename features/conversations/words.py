"""The store of words: what was said in a conversation while a handover of it is open, and shortly before.

Words are held for the agent who helps, and nowhere else: no signal, record, log or file has them. They are deleted a
stated time after the last handover of the conversation ended, and the file is cleaned of what deleting leaves. Where
the catalogue says so, words of a conversation without a handover are held for a stated time, in case one is opened.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from pydantic_core import from_json
from sqlalchemy import BindParameter, Connection, bindparam, delete, exists, select, update

from decisioning.facts.handovers import ENDED
from decisioning.facts.standing_rules import NO_PAST
from decisioning.times import HOUR_US, TOLERANCE_US
from features.handovers.calls import conversation_key
from features.ledger import Ledger, driver
from features.ledger.links import with_identities
from features.ledger.people.rows import step_key
from features.ledger.tables import CONVERSATION_WORDS, HANDOVERS
from features.remains import ROWS

MAX_SHOWN: Final = 200
"""How many of the newest words of a conversation are shown."""
LINK: Final = "words_url"
"""The field of a handover whose words the company's own chat keeps."""
TEND_S: Final = 30.0
"""How often a replica deletes the words whose time is over."""
_COLUMNS: Final = ("stream", "conversation", "key", "speaker", "at_us", "until_us", "body")
_KEEP: Final = (
    f"{driver.insert_into(CONVERSATION_WORDS, *_COLUMNS)} ON CONFLICT (key) DO UPDATE SET body = excluded.body"
)
_AMONG: BindParameter[Any] = bindparam("streams", expanding=True)
_WORDS = CONVERSATION_WORDS.c
_OPEN: Final = select(HANDOVERS.c.body).where(
    HANDOVERS.c.stream.in_(_AMONG),
    HANDOVERS.c.conversation == bindparam("conversation"),
    HANDOVERS.c.state.not_in(ENDED),
)
_SAID: Final = (
    select(CONVERSATION_WORDS)
    .where(_WORDS.conversation == bindparam("conversation"), _WORDS.stream.in_(_AMONG))
    .order_by(_WORDS.seq.desc())
    .limit(MAX_SHOWN)
)
_UNENDED: Final = select(_WORDS.stream, _WORDS.conversation).where(_WORDS.until_us.is_(None)).distinct()
_LAST: Final = select(HANDOVERS).where(
    HANDOVERS.c.conversation == bindparam("conversation"), HANDOVERS.c.stream.in_(_AMONG)
)
_REOPENED: Final = (
    select(_WORDS.stream, _WORDS.conversation)
    .where(
        _WORDS.until_us.is_not(None),
        exists().where(HANDOVERS.c.conversation == _WORDS.conversation, HANDOVERS.c.state.not_in(ENDED)),
    )
    .distinct()
)
_DUE_IN: Final = select(_WORDS.stream, _WORDS.conversation).where(_WORDS.until_us <= bindparam("now_us")).distinct()
_DUE: Final = select(_WORDS.seq).where(_WORDS.until_us <= bindparam("now_us")).limit(ROWS)


class Utterance(NamedTuple):
    """What somebody said in a conversation: the key of its event, the conversation's key, who and when.

    `until_us`: until when it is held; None while a handover of the conversation is open.
    """

    key: str
    conversation: str
    speaker: str
    at_us: int
    text: str
    until_us: int | None = None


def kept_here(ledger: Ledger, streams: Sequence[str], conversation_id: str) -> bool | None:
    """Tell whether words are held for the open handover of a conversation, or its chat keeps them itself.

    Returns None if no handover is open.

    :param streams: of the person whose conversation it is
    """
    named = {"streams": streams, "conversation": conversation_key(ledger, conversation_id)}
    rows = ledger.select(_OPEN, named)
    return any(LINK not in from_json(row.body) for row in rows) if rows else None


def keep(connection: Connection, said: Sequence[tuple[Utterance, str]]) -> None:
    """Keep words, each with the stream that took its event, in the transaction that stores the signals."""
    rows = [
        (
            *map(bytes.fromhex, (stream, one.conversation, one.key)),
            one.speaker,
            one.at_us,
            one.until_us,
            one.text.encode(),
        )
        for one, stream in said
    ]
    if rows:
        driver.execute_many(connection, _KEEP, sorted(rows, key=lambda row: row[2]))


def said_in(ledger: Ledger, streams: Sequence[str], conversation_id: str) -> list[Utterance]:
    """Return the newest words of a conversation, oldest first; of other people in one of the same name there are none.

    :param streams: of the person whose conversation it is
    """
    named = {"streams": streams, "conversation": conversation_key(ledger, conversation_id)}
    rows = reversed(ledger.select(_SAID, named))
    return [words for row in rows if (words := words_of(row)).text]


def words_of(row: Any) -> Utterance:
    """Return a row of the table as words; of those that an erasure has overwritten the text is empty."""
    return Utterance(row.key, row.conversation, row.speaker, row.at_us, (row.body or b"").decode())


def tend(ledger: Ledger, hours: float) -> int:
    """Delete what was held long enough, `hours` after its conversation ended; return how many words were deleted.

    Words that were held in case a handover was opened are held like the others once one is. The file is cleaned of
    what deleting leaves. Any process may do this at any time: the end is read from the records, so it does not depend
    on when this runs.
    """
    for row in ledger.select(_REOPENED):
        if _is_open(ledger, row):
            ledger.transact(partial(_hold_on, stream=row.stream, conversation=row.conversation)).result()
    for (stream, conversation), until_us in _ends(ledger, hours).items():
        ledger.transact(partial(_end, stream=stream, conversation=conversation, until_us=until_us)).result()
    deleted, now_us = 0, ledger.clock()
    while some := _delete_some(ledger, now_us):
        deleted += some
    if deleted:
        ledger.erasures.clean(CONVERSATION_WORDS)
    return deleted


def overdue(ledger: Ledger, hours: float) -> list[str]:
    """Return a line if words are held longer than they may be, as when nothing has run for long."""
    now_us = ledger.clock() - TOLERANCE_US - round(TEND_S * 2_000_000)
    late = any(until_us <= now_us for until_us in _ends(ledger, hours).values()) or any(
        not _is_open(ledger, row) for row in ledger.select(_DUE_IN, {"now_us": now_us})
    )
    return ["words: some are held although their time is over; `brain repair` deletes them"] if late else []


def _ends(ledger: Ledger, hours: float) -> dict[tuple[str, str], int]:
    """Return until when words are held, by stream and conversation, of those that ended and have no such time yet."""
    rows = ledger.select(_UNENDED)
    ended = {(row.stream, row.conversation): _ended_us(ledger, row.stream, row.conversation) for row in rows}
    return {name: at_us + round(hours * HOUR_US) for name, at_us in ended.items() if at_us is not None}


def _handovers(ledger: Ledger, stream: str, conversation: str) -> Sequence[Any]:
    """Return the rows of all handovers of a person's conversation."""
    read = partial(ledger.read, rules=NO_PAST)
    (person,) = with_identities(read(stream), read)
    streams = [one.stream for one in (person, *person.visitors, *person.elsewhere)]
    return ledger.select(_LAST, {"streams": streams, "conversation": conversation})


def _is_open(ledger: Ledger, words: Any) -> bool:
    """Tell whether a handover is open for which the words of a row are held."""
    rows = _handovers(ledger, words.stream, words.conversation)
    return any(row.state not in ENDED and LINK not in from_json(row.body) for row in rows)


def _hold_on(connection: Connection, stream: str, conversation: str) -> int:
    """Hold the words of a conversation until its handover ends."""
    held = (_WORDS.stream == stream) & (_WORDS.conversation == conversation)
    return int(connection.execute(update(CONVERSATION_WORDS).where(held).values(until_us=None)).rowcount)


def _ended_us(ledger: Ledger, stream: str, conversation: str) -> int | None:
    """Return when the last handover of a person's conversation ended; None while one is open."""
    rows = _handovers(ledger, stream, conversation)
    if any(row.state not in ENDED for row in rows):
        return None
    records = [ledger.lookup(step_key(row.id, row.step)) for row in rows]
    return max((record.at_us for record in records if record is not None), default=ledger.clock())


def _end(connection: Connection, stream: str, conversation: str, until_us: int) -> int:
    """State until when the words of a conversation are held."""
    held = (_WORDS.stream == stream) & (_WORDS.conversation == conversation) & _WORDS.until_us.is_(None)
    return int(connection.execute(update(CONVERSATION_WORDS).where(held).values(until_us=until_us)).rowcount)


def _delete_some(ledger: Ledger, now_us: int) -> int:
    rows = [row.seq for row in ledger.select(_DUE, {"now_us": now_us})]
    gone = delete(CONVERSATION_WORDS).where(_WORDS.seq.in_(rows))
    return ledger.transact(lambda connection: int(connection.execute(gone).rowcount)).result() if rows else 0
