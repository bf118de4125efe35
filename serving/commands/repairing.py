"""`brain repair`: make anew what other files of the workspace tell, and say what cannot be."""

from dataclasses import asdict
from typing import Any

from decisioning.errors import BrainError
from serving.brain.active import active_release, open_own_ledger
from serving.commands.progress import phases
from serving.lifecycle.files.repair import RepairReport
from serving.lifecycle.files.repair import repair as repair_files
from serving.settings import Workspace


def repair(workspace: Workspace) -> dict[str, Any]:
    """Repair the workspace; return what was made anew, and what cannot be. Raises Refused while it is served."""
    try:
        ledger = open_own_ledger(workspace)
    except BrainError as error:
        return asdict(RepairReport(cannot=[f"the ledger or the secret, without which nothing is repaired: {error}"]))
    with ledger, phases() as progress:
        release = ledger.release(active_release(ledger, workspace.settings.environment))
        return asdict(repair_files(workspace, ledger, release, progress))
