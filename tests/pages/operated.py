"""The report on a generated operator: twelve weeks of decisions beside a control group, with a last-hour rush."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from decisioning.catalogue.release import Release
from decisioning.times import iso
from features.decisions.log import DecisionLog
from features.ledger import Entry, Ledger
from tests.pages.sections import whole
from tests.pages.world import NOW_US, Operator, catalogue_files, release_of
from training.learning.fairness import fairness_guards
from training.reporting.monitoring import watch
from training.simulator import telecom


class Operated(NamedTuple):
    """A report, the log and release that it is of, and the entries that it counts."""

    report: dict[str, Any]
    log: DecisionLog
    release: Release
    entries: list[Entry]


@contextmanager
def operated(folder: Path, customers: int) -> Iterator[Operated]:
    """Decide for the customers of a generated operator, and yield the report on it; the same at each call."""
    world, release = telecom.generate(3, customers, NOW_US), release_of(catalogue_files(NOW_US))
    with Ledger.open(folder / "ledger.db", b"x" * 32, clock=lambda: NOW_US) as ledger:
        operator = Operator(world, release, ledger, NOW_US)
        entries = [*operator.entries(), *operator.rush(20, "fault")]
        ledger.append_many(entries)
        log = DecisionLog(folder / "log")
        log.update(ledger, release, NOW_US)
        yield Operated(_report(log, release), log, release, entries)


def _report(log: DecisionLog, release: Release) -> dict[str, Any]:
    """Return the sections of `brain report` that need no model."""
    guards = [asdict(g) for g in fairness_guards(log, release, NOW_US)]
    about = {"at": iso(NOW_US), "model": "prior@0", "release": release.hash}
    return whole({**watch(log, release, NOW_US), **about, "fairness": guards})
