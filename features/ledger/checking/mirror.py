"""A copy of the last checkpoint in another place, which tells of a database and a file that were put back together."""

from collections.abc import Iterator
from pathlib import Path

from decisioning.errors import Unavailable
from features.files import replace_file
from features.ledger.checking.checkpoints import (
    Checkpoint,
    Signer,
    checkpoints_after,
    newest_checkpoint,
    parse_line,
)
from features.ledger.checking.verification import Flaw
from features.ledger.database import Database


class Mirror:
    """The file at `path` with one line: the last checkpoint of one ledger."""

    def __init__(self, path: Path, database: Database, signer: Signer) -> None:
        self._path, self._database, self._signer = path, database, signer

    def keep(self) -> None:
        """Write the newest checkpoint, if it follows the one that is there; `flaws` tells why it does not.

        :raises Unavailable: the file cannot be written
        """
        newest = newest_checkpoint(self._database)
        try:
            kept = self._kept()
            if newest is None or kept == newest or (kept is not None and not self._is_in_database(kept)):
                return
            replace_file(self._path, lambda half: half.write_bytes(newest.line), durable=True, contended=True)
        except OSError as error:
            raise Unavailable(f"the copy of the last checkpoint cannot be written: {error.strerror}") from error

    def flaws(self) -> Iterator[Flaw]:
        """Yield why the database is not the one whose checkpoint is kept, if it is not."""
        try:
            kept = self._kept()
        except OSError as error:
            yield Flaw("checkpoints", 0, f"the copy of the last one cannot be read: {error.strerror}")
            return
        if kept is None and newest_checkpoint(self._database) is not None:
            yield Flaw("checkpoints", 0, "there is no copy of the last one where `checkpoints.mirror` says")
        elif kept is not None and not self._signer.verifies(kept):
            yield Flaw("checkpoints", 0, "the copy of the last one is not as it was signed")
        elif kept is not None and not self._is_in_database(kept):
            why = "the copy kept elsewhere saw it, and the database has none or another: it was put back or cut off"
            yield Flaw("checkpoints", kept.number, why)

    def _kept(self) -> Checkpoint | None:
        """Return the checkpoint in the file, None if there is no file; one that nobody signed if it is damaged."""
        try:
            return parse_line(self._path.read_bytes())
        except FileNotFoundError:
            return None

    def _is_in_database(self, checkpoint: Checkpoint) -> bool:
        following = checkpoints_after(self._database, checkpoint.number - 1)
        return checkpoint == next((one for one, _ in following), None)
