"""`make structure`: the structure of the product as a table, and with `--check` whether it keeps its limits."""

import argparse
import sys
from pathlib import Path

from tests.structure.measures import Line, measure
from tests.structure.source import Source

ROOT = Path(__file__).parents[2]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.structure", description=__doc__)
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout to measure")
    parser.add_argument("--check", action="store_true", help="print what is over a limit, and fail if anything is")
    asked = parser.parse_args(arguments)
    lines = measure(Source.read(asked.root))
    if asked.check:
        return _check(lines)
    width = max(len(line.name) for line in lines)
    for line in lines:
        print(f"{line.name:{width}}  {line.value}{f'   ({line.limit})' if line.limit else ''}")
    return 0


def _check(lines: list[Line]) -> int:
    broken = [line for line in lines if line.over]
    for line in broken:
        for place in line.over:
            print(f"{line.name}, {line.limit}: {place}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
