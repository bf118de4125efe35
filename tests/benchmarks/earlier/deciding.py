"""The `decide()` of commit b29a19b, whose files PYTHONPATH names, for the cases of `tests.benchmarks.deciding`.

For every line `[first, count, other_work_s]` on standard input it decides `count` cases, each after so many seconds of
other work, and writes the CPU of each, alone and with the bytes of its record and answer, as one line of JSON. All that
it imports is the earlier commit's, under the names of then.
"""

import gc
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main() -> None:
    with os.fdopen(os.dup(1), "w", buffering=1) as output:
        os.dup2(2, 1)  # what libraries print goes to the log
        import lightgbm  # noqa: F401  # it takes seconds, and the model is not there yet

        sys.stdin.readline()
        decide = _prepared(Path.cwd())
        gc.collect()
        gc.freeze()  # as the run of the present tree does
        output.write("{}\n")
        for line in sys.stdin:
            first, count, other_work_s = json.loads(line)
            output.write(json.dumps({"cpu_ms": [decide(first + n, other_work_s) for n in range(count)]}) + "\n")


def _prepared(folder: Path) -> Callable[[int, float], tuple[float, float]]:
    """Return a function that decides the n-th case and returns the CPU that this took, twice, in milliseconds."""
    from decisioning.decision import Ask, Known, canonical
    from decisioning.engine import decide
    from decisioning.release import Release
    from decisioning.standing import Consent, Standing
    from serving.scoring import model_scorer

    from decisioning.catalogue import load, pack
    from serving.contract import parse
    from tests.benchmarks import catalogue
    from training.model import PropensityModel

    files = {f"catalogue/{name}": text for name, text in catalogue.files().items()}
    release = Release.of(load(files), pack(files))
    written: dict[str, Any] = json.loads((folder / "cases.json").read_text())
    score, at_us = model_scorer(release, PropensityModel.load(folder / "model")), written["at_us"]
    words = tuple(
        Consent(purpose, "*", "granted", "bench", "2026-01", at_us - 1, None, n)
        for n, purpose in enumerate(("marketing", "profiling"))
    )
    known = [Known(facts, Standing(f"s-{n}", 2, words)) for n, facts in enumerate(written["facts"])]
    asks = [parse(Ask, body.encode()) for body in written["asks"]]

    def decided(n: int, other_work_s: float) -> tuple[float, float]:
        i = n % len(asks)
        about = {"model": written["model"], "now_us": at_us, "decision_id": written["ids"][i]}
        until_s = time.perf_counter() + other_work_s
        while time.perf_counter() < until_s:
            pass
        start_ns = time.process_time_ns()
        decision = decide(asks[i], known[i], release, score, **about)
        decided_ns = time.process_time_ns()
        canonical(decision.record)
        canonical(decision.answer)
        spent_ms = (decided_ns - start_ns) / 1e6, (time.process_time_ns() - start_ns) / 1e6
        assert len(decision.record["scores"]["candidates"]) == len(release.view(written["channel"]).candidates)
        return spent_ms

    return decided


if __name__ == "__main__":
    main()
