"""A workspace with a row in every table, and flips of single bytes in it."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from decisioning.times import iso
from features.access_keys import SecurityEvent, add_events, add_rotation
from features.ledger import now_us
from features.ledger.tables import METADATA, VERSION_TABLE
from features.people import User, count_try, keep_signed_in, use_sign_in
from serving.access.people.sign_in import SignIn
from serving.brain.runtime import Brain
from serving.customers.rights import asking
from serving.customers.rights.entering import Entering
from serving.events.moments import Watcher
from serving.settings import Workspace
from tests.permits import set_paused
from tests.serving.workspaces import Client, ask, consent, decide_and_send, signal, small_workspace, welcome

TABLES = (*METADATA.tables, VERSION_TABLE)
PEOPLE = ("c-1", "c-2", "c-3", "c-4")


def full_workspace(root: Path) -> Workspace:
    """Return a workspace with rows in all tables of its ledger; one of its people is erased."""
    workspace = small_workspace(root)
    brain = Brain(workspace)
    client = Client(brain)
    set_paused(brain.ledger, "tv-bundle", paused=True)
    set_paused(brain.ledger, "tv-bundle", paused=False)
    for n, person in enumerate(PEOPLE):
        welcome(client, person)
        answer = client("POST", "/v1/decisions", ask(f"r-{n}", person, account_id=f"a-{n}"))[1]
        offer = answer["placements"][0]["offers"][0]["offer_id"]
        told = {"outcome_id": f"o-{n}", "offer_id": offer, "outcome": "accepted"}
        assert client("POST", "/v1/outcomes", told)[0] == 200
        assert client("GET", f"/v1/customers/{person}")[0] == 200
        for type_, data in (("page-view", {"page": "paid-tv"}), *[("payment-failure", {})] * 3):
            assert client("POST", "/v1/signals", signal(type_, f"customer:{person}", **data), sec_gpc="1")[0] == 200
    _hand_over(client)
    _let_customers_ask(client)
    for _ in range(3):
        decide_and_send(Watcher(brain))
    add_rotation(brain.ledger, "webhook", now_us(), 0)
    _let_sign_in(brain)
    add_events(brain.ledger, [SecurityEvent(now_us(), "no-key", None, "", 1)])
    brain.ledger.checkpoint(workspace.checkpoints_file)
    assert client("POST", "/v1/consents", consent("c-2", "email", "withdrawn"))[0] == 200
    assert client("DELETE", "/v1/customers/c-4")[0] < 300
    brain.ledger.erasures.remove_remains(brain.ledger.erasures.begin_pass(now_us()))
    brain.close()
    return workspace


def _let_sign_in(brain: Brain) -> None:
    """Have one person signed in, by a provider, and one who tried a password."""
    person = User("p-1", "https://login.example", "u-1", "Ann", "agent", "north", "Ghent", "https://login.example", 1)
    keep_signed_in(brain.ledger, person)
    SignIn(brain.workspace, brain.ledger).sessions.start(person)
    use_sign_in(brain.ledger, "a sign-in", now_us(), 0)
    count_try(brain.ledger, "a name", now_us(), lambda tries, last_us: 0)


def _hand_over(client: Client) -> None:
    """Have two handovers, one of which an agent takes; an agent who is stated; and words of a conversation."""
    for person in PEOPLE[:2]:
        about = {"customer_id": person, "conversation_id": f"chat-{person}", "channel": "chat", "reason": "a wish"}
        handover = client("POST", "/v1/handovers", {"request_id": f"h-{person}", **about})[1]["handover_id"]
    assert client("PUT", "/v1/agents/a-1", {"languages": ["nl"], "capacity": {"chat": 2}})[0] == 200
    accepted = {"state": "accepted", "agent_id": "a-1"}
    assert client("POST", f"/v1/handovers/{handover}/steps", accepted)[0] == 200
    about = {"specversion": "1.0", "id": "q-1", "source": "/telephony", "type": "queue.state", "subject": "queue"}
    queues = {"time": iso(now_us()), "data": {"queues": [{"channel": "chat", "waiting": 4}]}}
    assert client("POST", "/v1/agent-events", {**about, **queues})[0] == 200
    said = signal("message", "customer:c-2", text="When will it work again?", conversation_id="chat-c-2")
    assert client("POST", "/v1/signals", said)[0] == 200


def _let_customers_ask(client: Client) -> None:
    """Have a customer come to their own page and ask for a person."""
    link = client("POST", "/v1/customers/c-1/links", {})[1]
    rights = Entering(client.brain.ledger, SignIn(client.brain.workspace, client.brain.ledger).signer)
    rights.enter(parse_qs(urlsplit(link["url"]).query)["code"][0])
    asking.open_request(client.brain, "c-1", "person", "once-1")


class Cell(NamedTuple):
    """One value of a table: `row` counts from 0 in the order of SQLite's rows."""

    table: str
    column: str
    row: int


def columns(path: Path) -> dict[str, list[str]]:
    """Return the columns of each table that has rows."""
    with closing(sqlite3.connect(path)) as db:
        return {
            table: [c[1] for c in db.execute(f"PRAGMA table_info({table})")]
            for table in TABLES
            if db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        }


def flip(path: Path, cell: Cell, byte: int, bit: int) -> bool:
    """Flip a bit of a byte of a value, past the ledger; return whether there was one, and SQLite took it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.text_factory = bytes
        keys = [c[1].decode() for c in db.execute(f"PRAGMA table_info({cell.table})") if c[5]] or ["rowid"]
        rows = db.execute(f'SELECT {", ".join(keys)}, "{cell.column}" FROM {cell.table} ORDER BY 1').fetchall()
        *key, value = rows[cell.row % len(rows)]
        flipped = _flipped(value, byte, bit)
        if flipped == value:
            return False
        is_one = " AND ".join(f"{name} = ?" for name in keys)
        is_text = [_is_text(db, cell.table, name) for name in keys]
        marks = [k.decode() if text else k for k, text in zip(key, is_text, strict=True)]
        cast = "CAST(? AS TEXT)" if _is_text(db, cell.table, cell.column) else "?"
        try:
            statement = f'UPDATE {cell.table} SET "{cell.column}" = {cast} WHERE {is_one}'
            return bool(db.execute(statement, (flipped, *marks)).rowcount)
        except sqlite3.IntegrityError:
            return False


def _is_text(db: sqlite3.Connection, table: str, column: str) -> bool:
    kinds = db.execute(f'SELECT DISTINCT typeof("{column}") FROM {table}').fetchall()
    return kinds == [(b"text",)]


def _flipped(value: Any, byte: int, bit: int) -> Any:
    if isinstance(value, int):
        return value ^ (1 << (8 * (byte % 7) + bit % 8))  # the eighth byte holds the sign
    if not value:
        return value
    changed = bytearray(value)
    changed[byte % len(changed)] ^= 1 << bit % 8
    return bytes(changed)
