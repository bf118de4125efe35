"""`brain verify`: everything in a workspace that is not as it was written, and decisions that come out differently."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from decisioning.errors import BrainError, Refused, Unavailable
from features.approvals.door import gone_round, unapproved
from features.conversations.words import overdue
from features.ledger import Ledger, now_us
from features.ledger.checking.checkpoints import Signer
from features.ledger.checking.damaged import DamagedDatabase, survive
from features.ledger.checking.opening import check_checkpoints, check_file, check_secret
from features.profile.archive import Archive
from features.profile.store import Store
from features.profile.stores.sqlite import SqliteOnline
from features.views import read_views
from serving.brain.active import active_release, known_of, open_own_ledger
from serving.brain.runtime import Brain
from serving.commands.failures import failure_of
from serving.commands.offline import open_brain
from serving.commands.recomputing import recompute
from serving.lifecycle.files.inspection import inspect
from serving.settings import Workspace

PAGE = 500


def verify(workspace: Workspace, sample: int | None) -> dict[str, Any]:
    """Check every file of the workspace, the ledger's checkpoints and chains, and recompute decisions.

    What is wrong is named by file, by stream and version, or by decision id, never by customer. Damage of one part
    hides nothing of the others.

    :param sample: how many decisions to recompute, by default all
    """
    result: dict[str, Any] = {"flaws": [], "checkpoints": 0, "decisions": 0}
    result |= {"recomputed": 0, "erased": 0, "different": []}
    flaws = result["flaws"]
    result["checkpoints"] = add_ledger_flaws(workspace, flaws)
    flaws += inspect(workspace)
    try:
        result |= _recomputed(workspace, sample)
    except Exception as error:  # noqa: BLE001 (what is damaged may be anything, and the flaws above are to be told)
        flaws.append(f"decisions: they cannot be recomputed: {failure_of(error)}")
    return result


def add_ledger_flaws(workspace: Workspace, flaws: list[str]) -> int:
    """Add every flaw of the ledger, and return how many checkpoints could be used."""
    try:
        with _opened(workspace, workspace.secret(), flaws) as ledger:
            audit = ledger.audit(workspace.checkpoints_file, workspace.checkpoints_mirror)
            flaws += map(str, audit.flaws())
            flaws += survive(unapproved(ledger), flaws)
            flaws += survive(_overdue_words(workspace, ledger), flaws)
            return audit.checkpoints
    except BrainError as error:
        flaws.append(f"ledger: {error}")
        return 0


def _overdue_words(workspace: Workspace, ledger: Ledger) -> Iterator[str]:
    """Yield a line if words of conversations are held longer than the release says."""
    if (name := ledger.active(workspace.settings.environment)) is not None:
        yield from overdue(ledger, ledger.release(name).catalogue.settings.handover.text_hours)


@contextmanager
def _opened(workspace: Workspace, secret: bytes, flaws: list[str]) -> Iterator[Ledger]:
    """Open the ledger whatever its state is, as far as there is one; what speaks against it is added to `flaws`."""
    known, url, signer = known_of(workspace), workspace.database_url, Signer(secret)
    if workspace.settings.database.url is None:
        check_file(workspace.ledger_file, signer, known)
    database = DamagedDatabase(url)
    ledger = Ledger(database, secret, now_us)
    try:
        for check in (check_secret, check_checkpoints):
            try:
                check(database, signer, known)
            except (Refused, Unavailable) as error:
                flaws.append(f"ledger: {error}")
        yield ledger
    finally:
        ledger.close()


def _recomputed(workspace: Workspace, sample: int | None) -> dict[str, Any]:
    with open_brain(workspace) as brain:
        decisions = list(located_decisions(brain))
        step = 1 if sample is None else max(1, len(decisions) // sample)
        rounds = gone_round(brain.ledger, brain.environment)
        more = {"without_approval": rounds} if rounds else {}
        return {"decisions": len(decisions), **recompute(brain, set(decisions[::step][:sample])), **more}


def located_decisions(brain: Brain) -> Iterator[tuple[str, int]]:
    """Yield stream and version of every decision, in the order of the ledger."""
    after = 0
    while page := brain.ledger.scan_rows(("decision",), after, PAGE):
        yield from ((row.stream, row.version) for row in page)
        after = page[-1].seq


def folded(lines: list[str], most: int = 5) -> list[str]:
    """Return lines for a terminal: what repeats is shown once, with how often it came, and long lists are cut."""
    shapes: dict[str, list[str]] = {}
    for line in lines:
        shapes.setdefault(line.partition(": ")[2] or line, []).append(line)
    shown = [own[0] if len(own) == 1 else f"{own[0]} (and {len(own) - 1:,} more like this)" for own in shapes.values()]
    return shown if len(shown) <= most else [*shown[:most], f"and {len(shown) - most:,} other kinds of flaws"]


def check_start(workspace: Workspace) -> None:
    """Check ledger, secret and the files of the profile, in some milliseconds whatever their size.

    Raises Refused or Unavailable with one line that says what to do.
    """
    with open_own_ledger(workspace) as ledger:
        active_release(ledger, workspace.settings.environment)
    store = Store(workspace.data)
    if isinstance(online := store.online, SqliteOnline):
        online.close()
    archive = Archive(store.layout, read_views(store.layout.repo / "schema.json"))
    for view in archive.views:
        archive.holds(view)
    archive.spool.close()
