"""Contacts and outcomes in their tables, and standings of bounded size, on both databases: equal to the whole fold."""

from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest
from pydantic_core import to_json

from decisioning.facts.standing import Standing
from decisioning.facts.standing_rules import NO_PAST, CapRule, HistoryRule, StandingRules, united
from features.ledger import Entry, Ledger
from features.ledger.past.rules_book import KEPT_PARTS
from features.ledger.past.selection import CLOCK_SLACK_US
from features.ledger.reading.in_time import StandingsInTime
from features.ledger.snapshot import number_in
from tests.features.ledger.builders import DAY_US, NOW_US, consent, contact, decision, offered, outcome, past_the_ledger
from tests.oracle.full_fold import Fold as WholeFold
from tests.oracle.full_fold import apply as apply_whole

ACTIONS, CHANNELS, NAMES = ("tv", "sim", "fiber"), ("web", "mail"), ("accepted", "declined")


class Clock:
    """The time of the ledger, which a test moves on."""

    def __init__(self) -> None:
        self.now_us = NOW_US

    def __call__(self) -> int:
        return self.now_us


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(url: str, secret: bytes, clock: Clock) -> Iterator[Ledger]:
    with Ledger.open(url, secret, clock=clock) as opened:
        yield opened


def random_rules(random: Random) -> StandingRules:
    """Return some caps and some questions about outcomes."""
    caps = [
        CapRule(
            count=random.choice(("action", "group", "issue", "channel", "customer")),
            limit=random.choice((0, 1, 2, 3)),
            window_us=random.choice((1, 7, 30)) * DAY_US,
            channels=random.choice(((), (), ("web",))),
            groups=random.choice(((), (), ("tv", "sim"))),
            exempt=random.choice(((), (), ("fiber",))),
        )
        for _ in range(random.randrange(4))
    ]
    histories = [
        HistoryRule(
            action=random.choice((None, *ACTIONS)),
            outcome=random.choice(NAMES),
            window_us=random.choice((None, DAY_US, 30 * DAY_US)),
            most=random.choice((1, 2, None)),
        )
        for _ in range(random.randrange(4))
    ]
    return StandingRules(tuple(dict.fromkeys(caps)), tuple(dict.fromkeys(histories)))


class History:
    """Random records of one stream, in any order of the world's time."""

    def __init__(self, stream: str, random: Random) -> None:
        self.stream, self.random = stream, random
        self.offers: list[str] = []
        self.outcomes: list[dict[str, object]] = []
        self.marks: list[dict[str, object]] = []

    def next(self, now_us: int) -> Entry:
        about = (self._contact, self._contact, self._taken_back, self._outcome, self._correction)
        make = self.random.choice((self._decision, self._decision, self._decision, *about))
        return make(now_us - self.random.choice((0, 1, DAY_US // 24, DAY_US, 8 * DAY_US, 40 * DAY_US, 900 * DAY_US)))

    def _decision(self, at_us: int) -> Entry:
        contacts = []
        for _ in range(self.random.randrange(1, 4)):
            action = self.random.choice(ACTIONS)
            self.offers.append(self._next_id())
            about = {"action": action, "group": action, "channel": self.random.choice(CHANNELS)}
            lives_us = self.random.choice((0, DAY_US // 24, 3 * DAY_US))
            counts_on = self.random.choice(("decided", "delivered", "seen"))
            more = {"reserved_until_us": at_us + lives_us, "counts_on": counts_on}
            contacts.append(offered(self.offers[-1], at_us, **about, **more))
        return Entry(self.stream, "decision", {"contacts": contacts}, at_us)

    def _next_id(self) -> str:
        """Return an id of a decision's offer, in some cases for a decision that has offers of other times, or any."""
        n = len(self.offers)
        return f"o{n}" if n % 3 == 0 else f"d-{n // 4:032x}.{n % 4}"

    def _contact(self, at_us: int) -> Entry:
        """Of a known offer, or of one that is decided later."""
        offer_id = self.random.choice([*self.offers, self._next_id()])
        states = ("expired", "not_delivered", "not_delivered", "delivered", "seen", "pitched")
        told = contact(self.stream, offer_id, self.random.choice(states), at_us)
        self.marks.append({**told.folded, "occurred_us": at_us})
        return told

    def _taken_back(self, at_us: int) -> Entry:
        """Of what was told of an offer, or of what never was; another state takes its place, or none does."""
        unknown = {"offer_id": self._next_id(), "state": "seen", "occurred_us": at_us}
        wrong = self.random.choice([*self.marks, unknown])
        told = contact(
            self.stream, str(wrong["offer_id"]), self.random.choice(("retracted", "delivered", "seen")), at_us
        )
        return Entry(self.stream, "contact", {**told.folded, "corrects": wrong}, at_us)

    def _outcome(self, at_us: int) -> Entry:
        values = (None, 5, 5.0, 0.0)
        about = {"action": self.random.choice(ACTIONS), "outcome": self.random.choice(NAMES)}
        body = {**about, "offer_id": self.random.choice((None, "o1")), "value_eur": self.random.choice(values)}
        self.outcomes.append({**body, "occurred_us": at_us})
        return Entry(self.stream, "outcome", body, at_us)

    def _correction(self, at_us: int) -> Entry:
        """Of a recorded outcome, or of one that is recorded later or never."""
        unknown = {"action": "tv", "outcome": "declined", "offer_id": None, "value_eur": None, "occurred_us": at_us}
        wrong = self.random.choice([*self.outcomes, unknown])
        right = {**wrong, "outcome": self.random.choice(("retracted", *NAMES)), "corrects": wrong}
        return Entry(self.stream, "outcome", right, at_us)


def assert_same_decisions(bounded: Standing, whole: Standing, rules: StandingRules, now_us: int) -> None:
    """Check that caps and questions by these rules find the same in both standings."""
    for cap in rules.caps:
        counted = [Counter(cap.key(c) for c in s.contacts if counts(c, cap, now_us)) for s in (bounded, whole)]
        keys = {key for counter in counted for key in counter if key is not None}
        assert {k: min(counted[0][k], cap.limit) for k in keys} == {k: min(counted[1][k], cap.limit) for k in keys}
    for asked in rules.histories:
        since_us = 0 if asked.window_us is None else now_us - asked.window_us
        for action in ACTIONS if asked.action is None else (asked.action,):
            counted = [s.history(action, asked.outcome, since_us) for s in (bounded, whole)]
            most = 10**9 if asked.most is None else asked.most
            assert min(counted[0], most) == min(counted[1], most)


def counts(contact: object, cap: CapRule, now_us: int) -> bool:
    return contact.at_us > now_us - cap.window_us and contact.counts_at(now_us)  # type: ignore[attr-defined]


@pytest.mark.parametrize("seed", range(8))
def test_a_bounded_standing_is_exact_whatever_came_in_whatever_order(ledger: Ledger, clock: Clock, seed: int) -> None:
    random = Random(seed)
    stream = ledger.stream_of("person", f"p{seed}")
    history, whole, rules = History(stream, random), WholeFold(stream), [random_rules(random)]
    for _ in range(40):
        if random.random() < 0.15:
            rules.append(random_rules(random))
            ledger.keep_for(rules[-1])
        clock.now_us += random.choice((0, 1, DAY_US // 24, DAY_US, 5 * DAY_US))
        entries = [history.next(clock.now_us) for _ in range(random.choice((1, 1, 1, 4)))]
        ledger.append(entries)
        for entry in entries:
            whole = apply_whole(whole, entry.kind, entry.body, whole.version + 1, entry.occurred_us)
        assert_is_whole(ledger.read(stream)[0], whole)
        now_us = clock.now_us + random.choice((-DAY_US, -CLOCK_SLACK_US, 0, 1, DAY_US, 10 * DAY_US))
        for asked in rules[-KEPT_PARTS:]:
            (bounded,) = ledger.read(stream, rules=asked, now_us=now_us)
            assert_same_decisions(bounded, whole, asked, now_us)
    assert list(ledger.verify()) == []
    assert_the_same_in_time(ledger, stream, united(rules), clock.now_us)


def assert_is_whole(standing: Standing, whole: WholeFold) -> None:
    for name in ("version", "consents", "contacts", "outcomes", "links", "holder", "erased", "restricted", "latest_us"):
        assert getattr(standing, name) == getattr(whole, name), name


def assert_the_same_in_time(ledger: Ledger, stream: str, rules: StandingRules, now_us: int) -> None:
    """Check standings at every version, read in one pass, against the whole fold."""
    whole, passing = WholeFold(stream), StandingsInTime(ledger.records)
    for record in ledger.records(stream):
        whole = apply_whole(whole, record.kind, record.body or {}, record.version, record.occurred_us)
        assert_is_whole(passing.at(stream, record.version), whole)
        bounded = passing.at(stream, record.version, rules, now_us)
        assert_same_decisions(bounded, whole, rules, now_us)


@pytest.mark.promise("ledger.outcome-ids")
def test_a_contact_that_is_no_longer_seen_uncovers_the_one_that_it_hid(ledger: Ledger, clock: Clock) -> None:
    person = ledger.stream_of("person", "a")
    rules = StandingRules((CapRule("customer", 1, 30 * DAY_US),))
    ledger.keep_for(rules)
    fleeting = offered("o2", NOW_US + 1, counts_on="seen", reserved_until_us=NOW_US + 2)
    clock.now_us += 1  # else the seeing counts as of its recording, and the correction below names another time
    ledger.append([decision(person, "o1"), Entry(person, "decision", {"contacts": [fleeting]}, NOW_US + 1)])
    seen = contact(person, "o2", "seen", NOW_US + 1)
    ledger.append([seen])
    clock.now_us += DAY_US
    ledger.append([consent(person)])
    assert [c.offer_id for c in ledger.read(person, rules=rules, now_us=clock.now_us)[0].contacts] == ["o2"]
    wrong = {**seen.folded, "occurred_us": seen.occurred_us}
    ledger.append([Entry(person, "contact", {**seen.folded, "state": "retracted", "corrects": wrong}, clock.now_us)])
    assert [c.offer_id for c in ledger.read(person, rules=rules, now_us=clock.now_us)[0].contacts] == ["o1"]
    assert list(ledger.verify()) == []


def test_reading_a_bounded_standing_reads_no_more_than_its_row(ledger: Ledger, clock: Clock) -> None:
    person = ledger.stream_of("person", "a")
    rules = StandingRules((CapRule("customer", 2, 30 * DAY_US),), (HistoryRule("tv", "declined", None, 1),))
    ledger.keep_for(rules)
    for n in range(20):
        clock.now_us += 1
        ledger.append([decision(person, f"o{n}", occurred_us=clock.now_us), outcome(person, "declined", clock.now_us)])
    (bounded,) = ledger.read(person, rules=rules, now_us=clock.now_us)
    assert [c.offer_id for c in bounded.contacts] == ["o18", "o19"]
    assert [h.at_us for h in bounded.outcomes["tv"]] == [clock.now_us]
    assert len(ledger.read(person)[0].contacts) == 20


def test_a_release_that_asks_for_more_is_answered_from_the_tables_until_the_next_record(ledger: Ledger) -> None:
    person = ledger.stream_of("person", "a")
    ledger.append([decision(person, f"o{n}") for n in range(5)] + [decision(person, "x", "y")])
    small, large = (StandingRules((CapRule("customer", n, 30 * DAY_US),)) for n in (1, 3))
    for rules, more in ((small, 1), (large, 3), (small, 3)):
        ledger.keep_for(rules)
        assert len(ledger.read(person, rules=rules, now_us=NOW_US)[0].contacts) >= rules.caps[0].limit
        ledger.append([consent(person)])
        assert len(ledger.read(person, rules=rules, now_us=NOW_US)[0].contacts) == more
        assert list(ledger.verify()) == []


def test_two_replicas_of_different_releases_do_not_undo_each_other(url: str, secret: bytes) -> None:
    one_rules, two_rules = (StandingRules((CapRule(count, 2, 9999 * DAY_US),)) for count in ("action", "customer"))
    with Ledger.open(url, secret) as one, Ledger.open(url, secret) as two:
        person = one.stream_of("person", "a")
        one.keep_for(one_rules)
        two.keep_for(two_rules)
        for writer in (two, one):
            writer.append([decision(person, writer.key_of(str(id(writer))))])
            body = past_the_ledger(url, "SELECT body FROM ledger_standings")[0].body
            assert number_in(bytes(body)) == 2
        for reader, rules in ((one, one_rules), (two, two_rules)):
            assert len(reader.read(person, rules=rules)[0].contacts) == 2
        assert list(one.verify()) == list(two.verify()) == []


def test_an_erasure_deletes_contacts_and_outcomes(ledger: Ledger, url: str) -> None:
    person, other = (ledger.stream_of("person", name) for name in "ab")
    for stream in (person, other):
        ledger.append([decision(stream, "o1"), outcome(stream), contact(stream, "o2", "seen")])
    ledger.erase(person)
    ledger.append([decision(person, "o3")])
    assert ledger.append_many([outcome(person), contact(person, "o3", "seen")]) == 0
    for table, remaining in (("ledger_contacts", 2), ("ledger_outcomes", 1)):
        rows = past_the_ledger(url, f"SELECT stream FROM {table}")
        assert [bytes(row.stream).hex() for row in rows] == [other] * remaining
    assert list(ledger.verify()) == []
    assert ledger.read(person, rules=NO_PAST)[0].erased


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE ledger_contacts SET at_us = at_us - 1",
        "DELETE FROM ledger_contacts",
        "UPDATE ledger_outcomes SET times = 2",
        "DELETE FROM ledger_outcomes",
    ],
)
def test_a_changed_row_is_found(ledger: Ledger, url: str, change: str) -> None:
    person = ledger.stream_of("person", "a")
    ledger.append([decision(person, "o1"), outcome(person)])
    assert list(ledger.verify()) == []
    past_the_ledger(url, change)
    assert [f.message for f in ledger.verify()] == ["the contacts and outcomes are not what the records fold to"]


def test_a_changed_state_is_found(ledger: Ledger, url: str) -> None:
    ledger.append([decision(ledger.stream_of("person", "a"), "o1")])
    (row,) = past_the_ledger(url, "SELECT body FROM ledger_contacts")
    past_the_ledger(url, "UPDATE ledger_contacts SET body = :body", body=bytes(row.body)[:-1] + b"\1")
    assert [f.message for f in ledger.verify()] == ["the contacts and outcomes are not what the records fold to"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("UPDATE contact_kinds SET body = :body", "the contacts and outcomes are not what the records fold to"),
        ("DELETE FROM contact_kinds WHERE body != :body", "the contacts and outcomes cannot be read"),
        ("UPDATE ledger_contacts SET body = :body", "the contacts and outcomes cannot be read"),
    ],
)
def test_a_kind_of_contacts_that_changed_or_went_is_found(
    ledger: Ledger, url: str, secret: bytes, change: str, message: str
) -> None:
    ledger.append([decision(ledger.stream_of("person", "a"), "o1")])
    past_the_ledger(url, change, body=to_json(["sim", "tv.web-hero", "tv", "grow", "web", "decided"]))
    with Ledger.open(url, secret) as other:
        assert message in [f.message for f in other.verify()]


def test_replicas_learn_the_kinds_of_contacts_that_others_numbered(url: str, secret: bytes) -> None:
    rules = StandingRules((CapRule("customer", 9, 9999 * DAY_US),))
    with Ledger.open(url, secret) as one, Ledger.open(url, secret) as two:
        person = one.stream_of("person", "a")
        one.keep_for(rules)
        two.keep_for(rules)
        for n, writer in enumerate((one, two, one, two)):
            contacts = [offered(f"o{n}.{m}", NOW_US + n, action=f"action-{n}-{m}") for m in range(2)]
            writer.append([Entry(person, "decision", {"contacts": contacts}, NOW_US)])
        for reader in (one, two):
            (standing,) = reader.read(person, rules=rules)
            assert [c.action for c in standing.contacts] == [f"action-{n}-{m}" for n in range(4) for m in range(2)]
            assert list(reader.verify()) == []
        assert len(past_the_ledger(url, "SELECT number FROM contact_kinds")) == 8
