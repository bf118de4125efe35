"""A workspace's ledger, and which release serves an environment. Imports little, as Ray's controller asks it too."""

from collections.abc import Iterator
from contextlib import contextmanager

from decisioning.errors import Refused
from decisioning.review.approval import PROD
from features.approvals.door import is_let_serve
from features.ledger import KnownLedger, Ledger
from serving.settings import Workspace


def known_of(workspace: Workspace) -> KnownLedger:
    """Return what the workspace knows of its ledger, outside the database."""
    return KnownLedger(workspace.identity_file, workspace.checkpoints_file)


def open_own_ledger(workspace: Workspace) -> Ledger:
    """Open the workspace's ledger. Raises Refused if what is there is not the ledger that the workspace had."""
    return Ledger.open(workspace.database_url, workspace.secret(), known=known_of(workspace))


@contextmanager
def open_ledger(workspace: Workspace) -> Iterator[Ledger]:
    """Open the workspace's ledger, and close it at the end."""
    workspace.data.mkdir(mode=0o700, exist_ok=True)
    with open_own_ledger(workspace) as ledger:
        yield ledger


def active_release(ledger: Ledger, environment: str) -> str:
    """Return the hash of the release that serves `environment`.

    Raises Refused if nothing has been released yet, or if the ledger has served `prod`, whose customers it holds, and
    nobody approved what serves under another name of the environment.
    """
    name = ledger.active(environment)
    if name is None:
        raise Refused(f"nothing is released in {environment} yet: run `brain release`")
    if environment != PROD and ledger.served.is_guarded(environment) and not is_let_serve(ledger, environment, name):
        raise Refused(
            f"this ledger has served {PROD}, and nobody approved what it serves in {environment}: set `environment: "
            f"{PROD}` in brain.yaml again, or run `brain release`, which asks for approval"
        )
    return name
