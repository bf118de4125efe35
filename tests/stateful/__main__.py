"""`python -m tests.stateful --steps 100000 --seed 20`: many steps of persons, devices and accounts against their model.

It prints how far it is, and ends at the first difference between the product and the model, with the steps to it.
"""

import argparse
import sys
from contextlib import nullcontext

from tests.postgres_server import postgres_at
from tests.stateful.long_run import Difference, take


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.stateful", description=__doc__)
    parser.add_argument("--steps", type=int, default=100_000, help="how many steps to take (100000)")
    parser.add_argument("--seed", type=int, default=20, help="the same number takes the same steps again (20)")
    parser.add_argument("--postgresql", action="store_true", help="keep the ledger in a PostgreSQL server of this run")
    asked = parser.parse_args(arguments)
    try:
        with postgres_at() if asked.postgresql else nullcontext() as server:
            take(asked.steps, asked.seed, say, server)
    except Difference as difference:
        say(f"the shortest steps to a difference:\n{difference}")
        return 1
    return 0


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
