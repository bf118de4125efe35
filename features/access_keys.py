"""Access keys of callers over HTTP, what was refused to them, and when secrets were rotated: tables of the ledger.

Of a key only its salted hash is kept. Secrets are derived from the workspace's own by name and generation, and none is
kept; the first generation of a secret has no row.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from sqlalchemy import Connection, delete, func, insert, select, update

from features.ledger import Ledger
from features.ledger.tables import ACCESS_KEYS, SECRET_ROTATIONS, SECURITY_EVENTS

MAX_EVENTS: Final = 100_000
"""How many security events are kept, the newest."""
FIRST_GENERATION: Final = 1


@dataclass(frozen=True, slots=True)
class AccessKey:
    """What is kept of a key. Times are int microseconds since 1970 UTC; None: never.

    `id` is a part of the key that is no secret. `owner` is who had it made: an operating-system user. `issues` and
    `channels` are what its decisions may be about, with commas between them; empty: all.
    """

    id: str
    scope: str
    name: str
    owner: str
    salt: bytes
    hash: bytes
    created_us: int
    expires_us: int | None = None
    revoked_us: int | None = None
    last_used_us: int | None = None
    issues: str = ""
    channels: str = ""

    def is_valid(self, now_us: int) -> bool:
        """Tell whether the key has neither expired nor been revoked."""
        return self.revoked_us is None and (self.expires_us is None or now_us < self.expires_us)


def read_keys(ledger: Ledger) -> list[AccessKey]:
    """Return every key that was ever made, the oldest first."""
    newest_last = select(ACCESS_KEYS).order_by(ACCESS_KEYS.c.created_us, ACCESS_KEYS.c.id)
    return [AccessKey(**row._mapping) for row in ledger.select(newest_last)]


def any_key(ledger: Ledger) -> bool:
    """Tell whether the workspace has ever had a key."""
    return bool(ledger.select(select(ACCESS_KEYS.c.id).limit(1)))


def add_key(ledger: Ledger, key: AccessKey) -> None:
    """Keep a new key."""
    ledger.transact(lambda connection: connection.execute(insert(ACCESS_KEYS), asdict(key))).result()


def add_first_keys(ledger: Ledger, keys: Iterable[AccessKey]) -> bool:
    """Keep these keys if the workspace has never had one; return whether they were kept."""
    rows = [asdict(key) for key in keys]

    def add(connection: Connection) -> bool:
        if connection.execute(select(ACCESS_KEYS.c.id).limit(1)).first() is not None:
            return False
        connection.execute(insert(ACCESS_KEYS), rows)
        return True

    return ledger.transact(add).result()


def revoke_key(ledger: Ledger, key_id: str, at_us: int) -> bool:
    """Revoke a key for good; return whether there is one of this id that was not revoked before."""
    of_key = (ACCESS_KEYS.c.id == key_id) & ACCESS_KEYS.c.revoked_us.is_(None)
    statement = update(ACCESS_KEYS).where(of_key).values(revoked_us=at_us)
    return bool(ledger.transact(lambda connection: connection.execute(statement).rowcount).result())


def note_uses(ledger: Ledger, used_us: Mapping[str, int]) -> None:
    """Note when keys were used last, by id; a later time that another process noted stays."""

    def write(connection: Connection) -> None:
        for key_id, at_us in used_us.items():
            earlier = ACCESS_KEYS.c.last_used_us.is_(None) | (ACCESS_KEYS.c.last_used_us < at_us)
            of_key = (ACCESS_KEYS.c.id == key_id) & earlier
            connection.execute(update(ACCESS_KEYS).where(of_key).values(last_used_us=at_us))

    ledger.transact(write).result()


@dataclass(frozen=True, slots=True)
class SecurityEvent:
    """That `n` requests were refused for one reason, by int microseconds `at_us`.

    `key_id` is the id of the key or person, None if none was valid; `route` is a method and a template of a path, and
    empty for no route.
    """

    at_us: int
    kind: str
    key_id: str | None
    route: str
    n: int


def add_events(ledger: Ledger, events: Iterable[SecurityEvent], keep: int = MAX_EVENTS) -> None:
    """Append security events, and remove all but the newest `keep`."""
    rows = [asdict(event) for event in events]

    def write(connection: Connection) -> None:
        connection.execute(insert(SECURITY_EVENTS), rows)
        newest = connection.execute(select(func.max(SECURITY_EVENTS.c.id))).scalar_one()
        connection.execute(delete(SECURITY_EVENTS).where(SECURITY_EVENTS.c.id <= newest - keep))

    ledger.transact(write).result()


def read_events(ledger: Ledger, after: int, limit: int) -> list[tuple[int, SecurityEvent]]:
    """Return the security events whose number is above `after`, with their numbers, in order."""
    newer = select(SECURITY_EVENTS).where(SECURITY_EVENTS.c.id > after).order_by(SECURITY_EVENTS.c.id).limit(limit)
    return [(row.id, SecurityEvent(row.at_us, row.kind, row.key_id, row.route, row.n)) for row in ledger.select(newer)]


@dataclass(frozen=True, slots=True)
class Rotation:
    """The beginning of a generation of a secret, at int microseconds `at_us`; those before it hold `overlap_us` more.

    With an overlap of 0 every earlier generation ends at once, also one that an earlier rotation gave more time.
    """

    name: str
    generation: int
    at_us: int
    overlap_us: int


@dataclass(frozen=True, slots=True)
class Generation:
    """A generation of a secret that counts now; `until_us` is None for the newest, which has no end yet."""

    number: int
    until_us: int | None


def read_rotations(ledger: Ledger, name: str) -> list[Rotation]:
    """Return the rotations of a secret, the oldest first."""
    oldest_first = select(SECRET_ROTATIONS).where(SECRET_ROTATIONS.c.name == name)
    rows = ledger.select(oldest_first.order_by(SECRET_ROTATIONS.c.generation))
    return [Rotation(**row._mapping) for row in rows]


def add_rotation(ledger: Ledger, name: str, at_us: int, overlap_us: int) -> Rotation:
    """Begin the next generation of a secret, and return its beginning."""

    def write(connection: Connection) -> Rotation:
        numbers = select(SECRET_ROTATIONS.c.generation).where(SECRET_ROTATIONS.c.name == name)
        newest = max(connection.execute(numbers).scalars(), default=FIRST_GENERATION)
        begun = Rotation(name, newest + 1, at_us, overlap_us)
        connection.execute(insert(SECRET_ROTATIONS), asdict(begun))
        return begun

    return ledger.transact(write).result()


def generations(rotations: Sequence[Rotation], now_us: int) -> list[Generation]:
    """Return the generations that count now, the newest first."""
    newest = rotations[-1].generation if rotations else FIRST_GENERATION
    counting: list[Generation] = [Generation(newest, None)]
    ends_us: int | None = None
    for rotation in reversed(rotations):
        end_us = rotation.at_us + rotation.overlap_us
        ends_us = end_us if ends_us is None else min(ends_us, end_us)
        if now_us < ends_us:
            counting.append(Generation(rotation.generation - 1, ends_us))
    return counting
