"""The part of the comparison that runs over the files of commit b29a19b, which PYTHONPATH names.

It writes the figures of the steps within the process, then the port of its server, each as one line of JSON, and stops
when its standard input ends. All that it imports is the earlier commit's, under the names of then.
"""

import gc
import json
import os
import sys
from typing import Any


def main() -> None:
    with os.fdopen(os.dup(1), "w", buffering=1) as output:
        os.dup2(2, 1)  # what libraries print goes to the log
        _serve(output)


def _serve(output: Any) -> None:
    from tests.benchmarks import speed
    from tests.benchmarks import world as worlds

    with worlds.world() as world:  # type: ignore[attr-defined]
        gc.collect()
        gc.freeze()  # as the run of the present tree does
        _write(output, {"figures": speed._in_process(world)})
        world.server.start()
        try:
            _write(output, {"port": world.server.port})
            sys.stdin.read()
        finally:
            world.server.stop()


def _write(output: Any, message: dict[str, Any]) -> None:
    output.write(json.dumps(message) + "\n")


if __name__ == "__main__":
    main()
