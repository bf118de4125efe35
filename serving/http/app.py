"""The Ray Serve application. The driver and Ray's controller import this module, so it imports little at the top."""

import gc
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ray import serve

from decisioning.errors import Unavailable
from serving.access.files import ensure_keys
from serving.access.people.sign_in import SignIn
from serving.access.users import operating_system_user
from serving.brain.active import active_release, open_own_ledger
from serving.customers.rights.company_sign_in import CompanySignIn
from serving.lifecycle.options import deployment_options
from serving.settings import Workspace

if TYPE_CHECKING:
    from serving.brain.runtime import Brain

_LOOK_S = 0.25


@serve.ingress()
class BrainReplica:
    """One replica: a brain and the HTTP routes over it."""

    def __init__(self, root: str) -> None:
        gc.disable()  # a collection walks every library: a third of the start, and later one slow request
        import serving.brain.runtime  # noqa: F401, PLC0415  Feast and LightGBM take seconds to import

        self._brain = brain_when_writable(Workspace.open(Path(root)))
        gc.freeze()
        gc.enable()

    def __serve_build_asgi_app__(self) -> Callable[..., Awaitable[None]]:
        from serving.http.routes import build_app  # noqa: PLC0415

        app = build_app(self._brain)
        gc.freeze()  # what the routes need stays for good, too: a collection that walks it is a gap of the event loop
        return app


def brain_when_writable(workspace: Workspace) -> "Brain":
    """Return the brain of a workspace. While its ledger can only be read, wait: it then serves soon afterwards."""
    from serving.brain.runtime import Brain  # noqa: PLC0415  as above

    while True:
        try:
            return Brain(workspace)
        except Unavailable:
            if workspace.settings.database.url is not None or os.access(workspace.ledger_file, os.W_OK):
                raise
        time.sleep(_LOOK_S)


def build(args: dict[str, str]) -> serve.Application:
    """Return the Serve application of the workspace `args["workspace"]`.

    Raises Refused if nothing is released yet, or nobody could sign in as `brain.yaml` says. The first start makes the
    workspace's keys.
    """
    workspace = Workspace.open(Path(args["workspace"]))
    with open_own_ledger(workspace) as ledger:
        active_release(ledger, workspace.settings.environment)
        ensure_keys(workspace, ledger, operating_system_user().name)
        signer = SignIn(workspace, ledger).signer  # refuses settings that cannot be followed, as does the next line
        CompanySignIn(workspace, ledger, signer)
    return serve.deployment(BrainReplica, **deployment_options(workspace)).bind(str(workspace.root))
