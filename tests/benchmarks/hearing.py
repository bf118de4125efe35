"""How well messages are heard: `python -m tests.benchmarks.hearing [SET...] [--misses]`.

Prints for each set of phrasings, kind and language how many of the kind are heard and in how many ordinary messages it
is heard falsely, and what a message costs. By default the sets that the built-in model was not made with are judged.
"""

import sys
import time
from collections.abc import Iterator, Sequence

from rich.console import Console

from features.messages.hearing.model import KINDS
from tests.features.messages.hearing import DEVELOPMENT, UNSEEN, phrasings
from tests.features.messages.hearing.judging import Judged, is_of, judgement, table


def misses(judged: Sequence[Judged]) -> Iterator[str]:
    """Yield each phrasing that is not heard, and each ordinary one in which something is heard."""
    for phrasing, heard in judged:
        for kind in KINDS:
            if is_of(phrasing, kind) and kind not in heard:
                yield f"missed {kind} ({phrasing.language}): {phrasing.text}"
            elif phrasing.kind == "ordinary" and kind in heard:
                yield f"false {kind} ({phrasing.language}): {phrasing.text}"


def main(sets: Sequence[str], with_misses: bool) -> None:
    """Print the tables of some sets."""
    console = Console(soft_wrap=True, markup=False, highlight=False)
    for name in sets:
        said = phrasings((name,))
        start = time.process_time()
        judged = judgement(said)
        cost_ms = (time.process_time() - start) * 1e3 / len(said)
        console.print(f"{name}: {len(said)} phrasings, {cost_ms:.2f} ms of processor time a message\n{table(judged)}\n")
        if with_misses:
            console.print("\n".join(misses(judged)))


if __name__ == "__main__":
    main([name for name in sys.argv[1:] if name != "--misses"] or (*DEVELOPMENT, *UNSEEN), "--misses" in sys.argv[1:])
