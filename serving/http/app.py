"""The Ray Serve application. The driver and Ray's controller import this module, so it imports little at the top."""

import gc
import getpass
from collections.abc import Awaitable, Callable
from pathlib import Path

from ray import serve

from serving.access.files import ensure_keys
from serving.brain.active import active_release, open_own_ledger
from serving.lifecycle.options import deployment_options
from serving.settings import Workspace


@serve.ingress()
class BrainReplica:
    """One replica: a brain and the HTTP routes over it."""

    def __init__(self, root: str) -> None:
        gc.disable()  # a collection walks every library: a third of the start, and later one slow request
        from serving.brain.runtime import Brain  # noqa: PLC0415  Feast and LightGBM take seconds to import

        self._brain = Brain(Workspace.open(Path(root)))
        gc.freeze()
        gc.enable()

    def __serve_build_asgi_app__(self) -> Callable[..., Awaitable[None]]:
        from serving.http.routes import build_app  # noqa: PLC0415

        app = build_app(self._brain)
        gc.freeze()  # what the routes need stays for good, too: a collection that walks it is a gap of the event loop
        return app


def build(args: dict[str, str]) -> serve.Application:
    """Return the Serve application of the workspace `args["workspace"]`; raises Refused if nothing is released yet.

    The first start makes the workspace's keys.
    """
    workspace = Workspace.open(Path(args["workspace"]))
    with open_own_ledger(workspace) as ledger:
        active_release(ledger, workspace.settings.environment)
        ensure_keys(workspace, ledger, getpass.getuser())
    return serve.deployment(BrainReplica, **deployment_options(workspace)).bind(str(workspace.root))
