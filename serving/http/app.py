"""The Ray Serve application. The driver and Ray's controller import this module, so it imports little by itself."""

import gc
from collections.abc import Awaitable, Callable
from pathlib import Path

from ray import serve

from decisioning.errors import Refused
from features.ledger import Ledger
from serving.lifecycle.options import deployment_options
from serving.settings import Workspace


@serve.ingress()
class BrainReplica:
    """One replica: a brain, and the routes that ask it."""

    def __init__(self, root: str) -> None:
        gc.disable()  # a collection walks every library: a third of the start, and then somebody's slow request
        from serving.brain.runtime import Brain  # noqa: PLC0415  Feast and LightGBM, seconds to import: here alone

        self._brain = Brain(Workspace.open(Path(root)))
        gc.freeze()
        gc.enable()

    def __serve_build_asgi_app__(self) -> Callable[..., Awaitable[None]]:
        from serving.http.routes import build_app  # noqa: PLC0415

        return build_app(self._brain)


def build(args: dict[str, str]) -> serve.Application:
    """The Serve application of the workspace named in `args["workspace"]`; raises Refused before its first release."""
    workspace = Workspace.open(Path(args["workspace"]))
    with Ledger.open(workspace.database_url, workspace.secret()) as ledger:
        if ledger.active(workspace.settings.environment) is None:
            raise Refused(f"nothing is released in {workspace.settings.environment} yet: run `brain release`")
    return serve.deployment(BrainReplica, **deployment_options(workspace)).bind(str(workspace.root))
