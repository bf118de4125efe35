"""An import of past signals into a new ledger by the files that PYTHONPATH names: those of now or of a commit before.

Arguments: the file of signals, and a new folder for the ledger. It writes one line of JSON: `seconds`, `accepted`,
`transactions`, and `peak_mb`, the sum of the most memory that the importing process and any of its children had.
"""

import gc
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any


def main() -> None:
    file, folder = map(Path, sys.argv[1:])
    gc.set_threshold(100_000, 50, 50)  # as every command does
    from features.importing.signals import import_signals
    from features.ledger import Ledger
    from tests.benchmarks import catalogue

    with Ledger.open(folder / "ledger.db", b"the secret of the benchmarks    ") as ledger:
        transactions, transact = [0], ledger.transact

        def counted(work: Any) -> Any:
            transactions[0] += 1
            return transact(work)

        ledger.transact = counted  # type: ignore[method-assign]
        start_s = time.perf_counter()
        result = import_signals(file, _packed(catalogue.files()), ledger, folder / "notes")
        seconds = time.perf_counter() - start_s
    own, child = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    figures = {"seconds": seconds, "accepted": result.accepted, "transactions": transactions[0]}
    sys.stdout.write(json.dumps({**figures, "peak_mb": (own + child) / 1024}) + "\n")


def _packed(files: dict[str, str]) -> bytes:
    try:
        from decisioning.catalogue.files import pack
    except ImportError:
        from decisioning.catalogue import pack  # type: ignore[attr-defined,no-redef]  # its place at that time
    return pack(files)


if __name__ == "__main__":
    main()
