"""`python -m tests.benchmarks.reasons [N]`: reasons of N customers (20) of the generated company, before and after.

Before is the wording that releases had until reasons got directions. A row per offer and reader: `-` where the reader
gets no reason.
"""

import sys
from collections.abc import Iterator
from typing import Any

from decisioning.catalogue.release import Release
from decisioning.records.audiences import AUDIENCES, Audience, answer_for
from tests.promises.reasoned import Told, former_release, release, told

_LAST = 600
"""Customers to look through until enough have an offer."""


def texts(of: Told, audience: Audience) -> str:
    """Return the reasons of a decision's first offer as a reader gets them, with what only this reader gets."""
    offers = [o for p in answer_for(audience, of.decision.answer)["placements"] for o in p["offers"]]
    reasons = offers[0]["reasons"] if offers else []
    return " ".join(reason["text"] + _more(reason) for reason in reasons) or "-"


def _more(reason: dict[str, Any]) -> str:
    figure = reason.get("figure", reason.get("strength"))
    return "" if figure is None else f" ({figure})"


def rows(count: int) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield customer and locale, offer, reader, the text before and the text after, of so many customers."""
    customers = (n for n in range(_LAST) if _offer(n, former_release()) and _offer(n, release()))
    for n in (n for n, _ in zip(customers, range(count), strict=False)):
        before, after = told(n, former_release()), told(n)
        for audience in AUDIENCES:
            who = f"{n} {after.facts['locale']}"
            yield who, str(_offer(n, release())), audience, texts(before, audience), texts(after, audience)


def _offer(n: int, of: Release) -> str | None:
    placements = told(n, of).decision.answer["placements"]
    return next((offer["action"] for placement in placements for offer in placement["offers"]), None)


def main() -> None:
    """Print the table as Markdown."""
    sys.stdout.write("| customer | offer | reader | before | after |\n| --- | --- | --- | --- | --- |\n")
    for row in rows(int(sys.argv[1]) if len(sys.argv) > 1 else 20):
        sys.stdout.write(f"| {' | '.join(row)} |\n")


if __name__ == "__main__":
    main()
