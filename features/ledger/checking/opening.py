"""Before a ledger is used: whether it is the one that is known here, whole, and written under this secret.

A ledger in the place of another one knows nobody, and so do the right ledger and another secret: every customer would
be a stranger, and every withdrawal forgotten. All of this costs some milliseconds, however large the ledger is.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import select, text

from decisioning.errors import Refused
from features.files import replace_file
from features.ledger.checking.checkpoints import Checkpoint, CheckpointFile, Signer, newest_checkpoint
from features.ledger.connecting.engines import database_url
from features.ledger.database import Database, upsert
from features.ledger.tables import CHECKPOINTS, CLAIMS, RECORDS
from features.sqlite_errors import check_owner_of_file, check_whole, mark_of, size_of

BACKUP: Final = "put it back from your backup"
_CLAIM: Final = "secret"
"""The claim that holds the check value of the secret."""
_CHECK_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class KnownLedger:
    """What a workspace knows of its ledger, outside the database: two files, which need not exist.

    `identity`: the check value of the secret, written when a ledger was first opened. `checkpoints`: signed summaries.
    """

    identity: Path
    checkpoints: Path

    @property
    def had_ledger(self) -> bool:
        """Tell whether there was a ledger."""
        return bool(size_of(self.identity) or size_of(self.checkpoints))


def open_checked(url_or_path: str | Path, signer: Signer, known: KnownLedger | None) -> Database:
    """Open the database of a ledger.

    :raises Refused: it is not the ledger that is known, or it was written with another secret
    :raises Unavailable: it cannot be opened
    """
    url = database_url(url_or_path)
    if known is not None and url.get_backend_name() == "sqlite":
        check_file(Path(str(url.database)), signer, known)
    database = Database(url_or_path)
    try:
        check_secret(database, signer, known)
        if known is not None:
            check_checkpoints(database, signer, known)
            _mark(database, known)
    except BaseException:
        database.close()
        raise
    return database


def check_file(path: Path, signer: Signer, known: KnownLedger) -> None:
    """Check the file of a SQLite ledger before it is opened, which would make an empty one where there is none.

    :raises Refused: it is missing or empty though there was one, or it is damaged or another workspace's
    :raises OSError: it cannot be read
    """
    size = size_of(path)
    if size:
        if path.is_file() and _in_file(known.identity) == _number(signer):
            check_owner_of_file(path, known.identity, BACKUP)
        check_whole(path, BACKUP)
    elif known.had_ledger:
        state = "empty" if path.exists() else "missing"
        raise Refused(
            f"{path} is {state}, and this workspace had a ledger: {BACKUP}, with the folder that it is in; a new one "
            "would know no customer and no withdrawal"
        )


def check_secret(database: Database, signer: Signer, known: KnownLedger | None) -> None:
    """Check that the ledger was written with this secret, which is noted in a ledger that has no note of it yet.

    :raises Refused: it was written with another one
    """
    own = _number(signer)
    rows = database.fetch(select(CLAIMS.c.until_us).where(CLAIMS.c.name == _CLAIM))
    noted = rows[0].until_us if rows else None
    if noted is None:
        last = newest_checkpoint(database)
        if last is None or signer.verifies(last):
            database.transact(lambda c: upsert(c, CLAIMS, {"name": _CLAIM}, {"until_us": own}))
            noted = own
    if noted != own:
        raise Refused(_mismatch(own, noted, known))
    if known is not None and _in_file(known.identity) != own:
        replace_file(known.identity, lambda half: half.write_text(f"{own:016x}\n"), durable=True, contended=True)


def _mark(database: Database, known: KnownLedger) -> None:
    """Mark the file of a ledger that has no mark yet as this workspace's, outside its log (see `check_file`)."""
    if database.sqlite and not database.fetch(text("PRAGMA application_id"))[0][0]:
        mark = text(f"PRAGMA application_id={mark_of(known.identity)}")
        database.transact(lambda connection: connection.execute(mark) and None)
        database.truncate_log()


def _mismatch(own: int, noted: int | None, known: KnownLedger | None) -> str:
    """Return which of secret and ledger is another workspace's, as far as can be told."""
    in_file = None if known is None else _in_file(known.identity)
    if in_file is not None and in_file == own:
        return f"the ledger was written with another secret: it is another workspace's; {BACKUP}"
    if in_file is not None and in_file == noted:
        return f"the secret is not the one that this workspace's ledger was written with; {BACKUP}"
    return "the ledger was written with another secret: put both back from one backup of this workspace"


def check_checkpoints(database: Database, signer: Signer, known: KnownLedger) -> None:
    """Check that the ledger has the last checkpoint of the file, and the last record that it signs.

    A file that cannot be read, or that was signed with another secret, says nothing here; `brain verify` tells of it.

    :raises Refused: the ledger is older than the file, or another one
    """
    last = CheckpointFile(known.checkpoints).last()
    if last is not None and signer.verifies(last) and not _has_last(database, last):
        raise Refused(
            f"the ledger lacks records that {known.checkpoints} signed: an older one was put back; put back ledger and "
            f"{known.checkpoints.name} from the newest backup, or use what is left: move {known.checkpoints.name} away"
        )


def _has_last(database: Database, last: Checkpoint) -> bool:
    """Tell whether the ledger has a checkpoint of the file, and the last record that it signs.

    A checkpoint that was made for an activation alone signs no record.
    """
    stored = database.fetch(select(CHECKPOINTS.c.signature).where(CHECKPOINTS.c.number == last.number))
    if not stored or bytes(stored[0].signature) != last.signature:
        return False
    rows = database.fetch(select(RECORDS.c.hash).where(RECORDS.c.seq == last.content["upto"]))
    heads = {digest for _, _, digest in last.content["heads"]}
    return not heads or (bool(rows) and rows[0].hash.hex() in heads)


def _number(signer: Signer) -> int:
    """Return the check value of the secret: 63 bits that tell nothing of it."""
    return int.from_bytes(signer.sign(b"identity")[:_CHECK_BYTES], "big") >> 1


def _in_file(identity: Path) -> int | None:
    try:
        return int(identity.read_text().strip(), 16)
    except (OSError, ValueError):
        return None
