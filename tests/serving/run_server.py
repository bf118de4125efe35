"""`brain serve` as a program, for any application: `run_server.py WORKSPACE [MODULE:BUILDER]`."""

import sys
from pathlib import Path

from decisioning.errors import BrainError
from serving.lifecycle import DEFAULT_APP, Running, serve_forever
from serving.settings import Workspace


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


def _ready(run: Running) -> None:
    sys.stdout.write(run.url + "\n")
    sys.stdout.flush()


def main() -> int:
    """Serve, and return the exit code of `brain serve`."""
    app = sys.argv[2] if len(sys.argv) > 2 else DEFAULT_APP
    try:
        return serve_forever(Workspace.open(Path(sys.argv[1])), app=app, on_ready=_ready, say=_say)
    except BrainError as error:
        _say(str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
