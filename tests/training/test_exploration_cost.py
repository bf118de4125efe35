"""The budget of extra exploration: the report agrees with the records, and no more is spent than stated."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from decisioning.catalogue.files import pack
from decisioning.catalogue.release import Release
from decisioning.deciding.record import Decision
from decisioning.facts.forms import Ask, PlacementAsk, Scores
from features.decisions.log import DecisionLog
from features.ledger import Entry, Ledger
from serving.pages.report.page import write_page
from tests import strategies as world
from tests.pages.sections import whole
from training.reporting.exploration_cost import exploration_costs

BUDGET = 0.08
FILES = {
    n: t.replace("    optimism: 0.8\n", f"    optimism: 0.8\n    immature: {{budget: {BUDGET}}}\n")
    for n, t in world.SMALL_FILES.items()
}
RELEASE = Release.from_bytes(pack(FILES))
HELP = frozenset(a.id for a in RELEASE.actions.values() if a.tier != "commercial")
N = 120


def decided(n: int) -> Decision:
    """Return a decision about customer n: every other one has little evidence, every sixth is for an agent."""
    channel, place = ("agent", "suggestion") if n % 6 == 0 else ("web", "hero")

    def score(_: object, candidates: np.ndarray) -> Scores:
        k = len(candidates)
        return Scores(np.linspace(0.05, 0.3, k), np.full(k, 10.0 if n % 2 else 5000.0), ((),) * k)

    ask = Ask(request_id=f"r{n}", customer_id="c", channel=channel, placements=(PlacementAsk(name=place),))
    return world.run(ask, world.permissive(), RELEASE, seed=f"d{n}", score=score, paused=HELP)


@pytest.fixture(scope="module")
def decisions() -> list[Decision]:
    return [decided(n) for n in range(N)]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory, decisions: list[Decision]) -> Iterator[DecisionLog]:
    folder = tmp_path_factory.mktemp("explored")
    with Ledger.open(folder / "ledger.db", b"x" * 32, clock=lambda: world.NOW_US) as ledger:
        streams = [ledger.stream_of("person", f"p{n}") for n in range(N)]
        ledger.append_many(
            Entry(s, "decision", d.record, world.NOW_US) for s, d in zip(streams, decisions, strict=True)
        )
        decision_log = DecisionLog(folder / "log")
        decision_log.update(ledger, RELEASE, world.NOW_US)
        yield decision_log


def on_web(log: DecisionLog, release: Release) -> dict[str, Any]:
    return next(row for row in exploration_costs(log, release, 0) if row["channel"] == "web")


@pytest.mark.promise("exploration.cost-is-recorded")
def test_the_share_and_its_cost_are_those_of_the_records(log: DecisionLog, decisions: list[Decision]) -> None:
    row = on_web(log, RELEASE)
    picks = [p for d in decisions if d.record["request"]["channel"] == "web" for p in d.record["picks"]]
    extra = [p["immature"] for p in picks if "immature" in p]
    assert 0 < len(extra) < len(picks)
    assert (row["channel"], row["budget"], row["slots"]) == ("web", BUDGET, len(picks))
    assert row["spent"] == pytest.approx(sum(e["share"] for e in extra) / len(picks), rel=1e-12)
    assert row["given_up_eur"] == pytest.approx(sum(e["given_up_eur"] for e in extra), rel=1e-12)
    assert row["spent"] <= BUDGET


def test_a_budget_that_was_taken_back_is_told_as_long_as_it_shows(log: DecisionLog) -> None:
    row = on_web(log, world.SMALL)
    assert row["budget"] is None
    assert row["spent"] > 0
    assert [(r["channel"], r["spent"]) for r in exploration_costs(log, world.SMALL, world.NOW_US + 1)] == [
        ("email", 0.0)
    ]


def test_the_page_of_the_report_has_it(log: DecisionLog, tmp_path: Path) -> None:
    report = whole({"exploration": exploration_costs(log, RELEASE, 0)})
    page = write_page(tmp_path / "r.html", report).read_text()
    assert "What exploring the little known cost" in page
    assert f">{BUDGET:.1%}</td>" in page
