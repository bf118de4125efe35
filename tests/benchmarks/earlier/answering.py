"""Answers of a brain in process over the files that PYTHONPATH names, for `tests.benchmarks.handovers`.

For every line `[round, count]` on standard input it answers `count` requests of one customer, and writes the CPU of
each in milliseconds as one line of JSON. All that it imports exists under the same names in both trees.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    with os.fdopen(os.dup(1), "w", buffering=1) as output, tempfile.TemporaryDirectory() as folder:
        os.dup2(2, 1)  # what libraries print goes to the log
        from decisioning.facts.forms import Ask
        from serving.brain.runtime import Brain
        from tests.serving.workspaces import Client, ask, small_workspace, welcome

        brain = Brain(small_workspace(Path(folder) / "workspace"))
        welcome(Client(brain), "c-1")

        async def answer(n: int, count: int) -> None:
            for i in range(count):
                await brain.answer(Ask.model_validate_json(json.dumps(ask(f"r-{n}-{i}", "c-1"))))

        for line in sys.stdin:
            n, count = json.loads(line)
            start_ns = time.process_time_ns()
            asyncio.run(answer(n, count))
            output.write(json.dumps({"cpu_ms": (time.process_time_ns() - start_ns) / 1e6 / count}) + "\n")


if __name__ == "__main__":
    main()
