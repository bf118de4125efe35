"""Labels, lift and contrasts value the same sales alike."""

from pathlib import Path

import pytest

from decisioning.catalogue.files import pack
from features.decisions.log import DecisionLog
from features.ledger import Entry, Ledger
from serving.pages.report.page import write_page
from tests.pages.sections import whole
from tests.training.decided import DAY_US, THEN_US, decision, entry, outcome, reached
from tests.training.test_lift import FILES, NOW_US, RELEASE, decided
from training.evaluation.lift import lift
from training.reporting.monitoring import untold_looks, watch
from training.rows.contrasts import contrasts


@pytest.mark.promise("claims.one-worth")
def test_lift_labels_and_contrasts_count_one_sale_at_the_same_euros(tmp_path: Path) -> None:
    """Everybody buys: `bought` without a value, `tried` three days later; each third was told 25 euros, then 20."""
    entries: list[Entry] = []
    with Ledger.open(tmp_path / "ledger.db", b"x" * 32, clock=lambda: NOW_US) as ledger:
        ledger.put_release(pack(FILES))
        for n in range(60):
            record, stream = decided(ledger, n), ledger.stream_of("person", f"p{n}")
            offer = next((c["offer_id"] for c in record["contacts"] if c["action"] == "tea"), None)
            entries.append(Entry(stream, "decision", record, THEN_US + n))
            for days, name, eur in ((1, "bought", 25.0), (4, "tried", 20.0)):
                value = {} if n % 3 else {"value_eur": eur}
                body = {"action": "tea", "outcome": name, "offer_id": offer, **value}
                entries.append(Entry(stream, "outcome", body, THEN_US + n + days * DAY_US))
        ledger.append_many(iter(entries))
        log = DecisionLog(tmp_path / "log")
        log.update(ledger, RELEASE, NOW_US)
        arms = {row["arm"]: row for row in lift(log, RELEASE, NOW_US)}
        labelled = log.query("SELECT _earned_eur AS eur FROM log WHERE _succeeded", RELEASE)["eur"].to_pylist()
        choices = contrasts(log, RELEASE, None, lambda _: RELEASE, NOW_US)  # type: ignore[arg-type]
    expected = (20 * 20.0 + 40 * 10.0) / 60
    total = sum(row["mean_eur"] * row["customers"] for row in arms.values())
    assert total / 60 == pytest.approx(expected)
    assert {row["mean_sales"] for row in arms.values()} == {1.0}
    assert set(labelled) == {20.0, 10.0}
    assert set(choices.rows.value_eur.tolist()) == {20.0, 10.0}


@pytest.mark.promise("claims.told-looks")
def test_the_report_and_the_cards_tell_the_share_of_successes_whose_look_was_never_told(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.db", b"x" * 32, clock=lambda: NOW_US) as ledger:
        ledger.put_release(pack(FILES))
        for n in range(20):
            ledger.append([entry(ledger, decision(ledger, n, "agent"))])
            if n < 12:
                ledger.append([reached(ledger, n, "seen")])
            if n >= 10:
                ledger.append([outcome(ledger, n, action="tea")])
        log = DecisionLog(tmp_path / "log")
        log.update(ledger, RELEASE, NOW_US)
    assert untold_looks(log, RELEASE) == {"tea": 0.8}
    sections = whole(watch(log, RELEASE, NOW_US))
    assert [(a["succeeded"], a["succeeded_untold"], a["positive"]) for a in sections["actions"]] == [(10, 8, 2)]
    page = write_page(tmp_path / "report.html", sections).read_text()
    assert "Nobody told that 8 of 10 offers that succeeded were looked at" in page
