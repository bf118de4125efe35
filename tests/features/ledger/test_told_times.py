"""Times that lie ahead of their recording: what the ledger keeps of them now, and what becomes of those it has."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from decisioning.catalogue.files import pack
from decisioning.deciding.case import DecisionContext
from decisioning.deciding.engine import decide
from decisioning.errors import RequestError
from decisioning.facts.forms import Ask, Known, PlacementAsk
from decisioning.facts.standing_rules import HistoryRule, StandingRules
from decisioning.records.formats import NEWEST, format_of
from decisioning.review.replaying import replay
from decisioning.times import AS_STATED, DAY_US, HOUR_US, TOLERANCE_US
from features.ledger import Entry, Ledger, PackedBody
from features.ledger.as_of_decision import known_at_decision
from features.ledger.reading.in_time import StandingsInTime
from features.ledger.records import PreparedEntry
from tests import strategies as world
from tests.features.ledger.builders import NOW_US, consent, contact, decision, outcome
from tests.features.ledger.earlier_tables import put_back

FOR_GOOD = StandingRules(histories=(HistoryRule("tv", "accepted", None, 1),))


class Clock:
    """A clock that is set by hand."""

    now_us = NOW_US

    def __call__(self) -> int:
        return self.now_us


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def clocked(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.db", b"secret", clock) as opened:
        yield opened


@pytest.fixture
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Append times as they are stated, as earlier versions did, up to a day ahead."""
    with monkeypatch.context() as patch:
        patch.setattr(PreparedEntry, "recorded", lambda entry, now_us, recorded_us: entry)
        yield


def undated(entry: Entry) -> Entry:
    return Entry(entry.stream, entry.kind, entry.body, None)


@pytest.mark.promise("time.ahead")
def test_what_lies_ahead_counts_as_of_its_recording_and_further_ahead_is_refused(clocked: Ledger) -> None:
    person = clocked.stream_of("person", "a")
    clocked.append([consent(person, occurred_us=NOW_US + TOLERANCE_US)])
    assert [(r.occurred_us, r.at_us) for r in clocked.records(person)] == [(NOW_US, NOW_US)]
    with pytest.raises(RequestError, match="occurred_at: lies more than 5 seconds ahead"):
        clocked.append([consent(person, occurred_us=NOW_US + TOLERANCE_US + 1)])
    assert clocked.read(person)[0].version == 1
    assert list(clocked.verify()) == []


@pytest.mark.promise("time.ahead")
@pytest.mark.parametrize("dated", [False, True])
def test_a_withdrawal_after_the_clock_was_ahead_once_is_not_lost(clocked: Ledger, clock: Clock, dated: bool) -> None:
    person = clocked.stream_of("person", "a")
    clock.now_us = NOW_US + 2 * HOUR_US
    clocked.append([undated(consent(person))])
    clock.now_us = NOW_US + HOUR_US
    withdrawal = consent(person, "withdrawn", NOW_US + HOUR_US - 1)
    clocked.append([withdrawal if dated else undated(withdrawal)])
    (held,) = clocked.read(person)[0].consents
    assert (held.status, held.occurred_us) == ("withdrawn", NOW_US + 2 * HOUR_US)
    assert list(clocked.verify()) == []


@pytest.mark.promise("time.for-good")
def test_an_outcome_is_read_for_good_whatever_comes_after_it(clocked: Ledger, clock: Clock) -> None:
    person = clocked.stream_of("person", "a")
    clocked.keep_for(FOR_GOOD)
    clocked.append([outcome(person, occurred_us=NOW_US - 5000 * DAY_US)])
    for years in range(1, 4):
        clock.now_us = NOW_US + years * 366 * DAY_US
        clocked.append([consent(person, occurred_us=clock.now_us), outcome(person, "declined", clock.now_us)])
        (standing,) = clocked.read(person, rules=FOR_GOOD, now_us=clock.now_us)
        assert [o.outcome for o in standing.outcomes["tv"]] == ["accepted"]
    assert list(clocked.verify()) == []


def test_what_was_stored_ahead_counts_as_of_its_recording_after_the_migration(empty_url: str, as_before: None) -> None:
    """Also an outcome that was dated ahead and then corrected: both are gone."""
    clock = Clock()
    with Ledger.open(empty_url, b"secret", clock) as ledger:
        person, visitor = ledger.stream_of("person", "a"), ledger.stream_of("visitor", "v")
        late_us = NOW_US + 20 * HOUR_US
        wrong = {"action": "tv", "outcome": "declined", "offer_id": None, "occurred_us": late_us}
        link = {"visitor": visitor, "kind": "cookie", "source": "login"}
        ledger.append([consent(person, occurred_us=late_us), consent(person, "objected", late_us, channel="web")])
        ledger.append([outcome(person, "declined", late_us), contact(person, "later", "seen", late_us)])
        ledger.append([Entry(person, "link", link, late_us), outcome(person, occurred_us=NOW_US - 900 * DAY_US)])
        clock.now_us += HOUR_US
        ledger.append([consent(person, "withdrawn", clock.now_us), Entry(person, "unlink", link, clock.now_us)])
        ledger.append([Entry(person, "outcome", {**wrong, "outcome": "retracted", "corrects": wrong}, clock.now_us)])
        ledger.append([decision(person, "later", occurred_us=clock.now_us)])
    put_back(empty_url, "ledger_0005")
    with Ledger.open(empty_url, b"secret", clock) as ledger:
        assert list(ledger.verify()) == []
        (standing,) = ledger.read(person)
        held = {c.channel: (c.status, c.occurred_us) for c in standing.consents}
        assert held == {"*": ("withdrawn", NOW_US + HOUR_US), "web": ("objected", NOW_US)}
        assert [(x.linked, x.occurred_us) for x in standing.links] == [(False, NOW_US + HOUR_US)]
        assert [o.outcome for o in standing.outcomes["tv"]] == ["accepted"]
        assert {c.offer_id: c.state for c in standing.contacts} == {"later": "seen"}


@pytest.mark.promise("replay.earlier-versions")
def test_a_decision_made_before_replays_by_the_rule_of_its_format(
    clocked: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was made while a grant dated ahead held against a withdrawal; the next is made by today's rule."""
    clocked.put_release(pack(world.SMALL_FILES))
    person = clocked.stream_of("person", "c")
    with monkeypatch.context() as patch:
        patch.setattr(PreparedEntry, "recorded", lambda entry, now_us, recorded_us: entry)
        for purpose in ("marketing", "profiling", "email"):
            clocked.append([consent(person, occurred_us=NOW_US - 1, purpose=purpose, notice_version="2026-01")])
        clocked.append([consent(person, occurred_us=NOW_US + HOUR_US, notice_version="2026-01")])
        clocked.append([consent(person, "withdrawn", NOW_US)])
    records = []
    for number, rule in ((2, AS_STATED), (NEWEST, None)):
        at_us = NOW_US + 2 * HOUR_US
        fold = StandingsInTime(clocked.records, *([rule] if rule else [])).at(person, 5)
        context = DecisionContext("prior@0", at_us, f"d-{number:032x}", record_format=number)
        made = decide(
            Ask(request_id=f"r-{number}", customer_id="c", channel="web", placements=(PlacementAsk(name="hero"),)),
            Known(world.permissive().facts, fold),
            world.SMALL,
            world.CountingScorer(),
            context,
        )
        records.append((made, made.record))
    assert [format_of(record) for _, record in records] == [2, NEWEST]
    assert ["marketing" in record["permissions"] for _, record in records] == [True, False]
    for made, _ in records:
        body = PackedBody(made.to_bytes(), made.contacts)
        (version,) = clocked.append([Entry(person, "decision", body, NOW_US)])
        stored = next(r for r in clocked.records(person) if r.version == version)
        assert stored.body is not None
        known = known_at_decision(clocked, person, stored.body)
        assert replay(stored.body, known, world.SMALL).to_bytes() == made.to_bytes()
