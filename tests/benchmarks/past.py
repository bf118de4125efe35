"""What a long past costs: CPU of a decision, and of an outcome, after 10, 1,000 and 10,000 decisions of one customer.

Each earlier decision made three offers. They are spread over 400 days, with outcomes, corrections, five linked visitors
and 100 suppressions for good, under caps of 20 in 30 days and a rule over a year of outcomes. All 100 candidates still
pass, and a trained model scores them. The same is measured for accounts whose 20 people did as much together.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import yaml
from pydantic_core import from_json
from sqlalchemy import bindparam, select

from decisioning.deciding.screening import screened_for
from decisioning.facts.forms import Ask, PlacementAsk
from features.ledger import Entry, now_us
from features.ledger.snapshot import decode, encode
from features.ledger.tables import STANDINGS
from serving.brain import releasing
from serving.brain.runtime import Brain
from serving.contract import OutcomeIn
from serving.customers.outcomes import record_outcome
from serving.settings import Workspace
from tests.benchmarks import catalogue, models
from tests.benchmarks.cases import MODEL, score_by
from tests.benchmarks.measures import Figures, Line, Measure, Suite

SIZES = (10, 1_000, 10_000)
"""Earlier decisions of one customer."""
REPEATS, WARM = 9, 2
PEOPLE = 20
"""People of an account."""
VISITORS, SUPPRESSED, DAYS = 5, 100, 400
FEW = "few"
"""The channel of the actions that are suppressed for good."""
DAY_US = 86_400_000_000
WITHIN_HOUR = 10_000
FOR_GOOD = "accepted"
"""The outcome that suppresses an action for good."""
MOST_BYTES = 4096
"""What a decision may read beside what is promised for good."""
_HEAD = select(STANDINGS).where(STANDINGS.c.stream == bindparam("stream"))


@dataclass
class PastWorld:
    """A served workspace; `brain` decides in this process."""

    brain: Brain
    figures: Figures


@contextmanager
def open_past() -> Iterator[PastWorld]:
    """Yield a released workspace in a temporary folder, which is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-past-") as folder:
        root = Path(folder) / "brain"
        releasing.new(root, _files())
        workspace = Workspace.open(root)
        releasing.release(workspace, "bench")
        brain = Brain(workspace)
        score_by(brain, models.copied(models.small_model(), catalogue.N_ACTIONS))
        try:
            yield PastWorld(brain, {})
        finally:
            brain.close()


def _files() -> dict[str, str]:
    """Return the catalogue of the other measures with tight caps, a rule over a year, and 100 more actions."""
    files = {name: yaml.safe_load(text) for name, text in catalogue.files().items()}
    settings, actions, policies = files["settings.yaml"], files["actions.yaml"]["actions"], files["policies.yaml"]
    settings["channels"][0]["counts_on"] = "seen"
    settings["channels"].append({**settings["channels"][0], "id": FEW, "placements": ["note"]})
    for cap in policies["caps"]:
        cap.update(limit=20, window_days=30)
    next(p for p in policies["policies"] if p["id"] == "tired-of-it")["attach"] = "all"
    for action in actions[::10]:
        action["scope"] = "account"
    for action in actions:
        action["outcomes"] = {"positive": ["accepted", "clicked"]}
    note = {"id": FEW, "channel": FEW, "placements": ["note"]}
    actions += [
        {**action, "id": _suppressed(n), "scope": "person", "treatments": [{**action["treatments"][0], **note}]}
        for n, action in enumerate(actions[:SUPPRESSED])
    ]
    return {name: json.dumps(section) for name, section in files.items()}


def _suppressed(n: int) -> str:
    return f"bought-{n:03d}"


class Past:
    """The records of one stream of a customer, visitor or account.

    `declines`: whether half of the actions were declined once, more than 90 days ago.
    """

    def __init__(self, stream: str, seed: int, at_us: int, *, declines: bool = False) -> None:
        self.stream, self.random, self.at_us = stream, Random(seed), at_us
        self.declinable = set(range(0, catalogue.N_ACTIONS, 2)) if declines else set[int]()

    def entries(self, decisions: int, days: float = DAYS) -> Iterator[Entry]:
        """Yield the decisions, oldest first, with what became of their offers."""
        for n in range(decisions):
            then_us = self.at_us - round((1.0 - n / decisions) * days * DAY_US) - 3 * 3_600_000_000
            offers = [(f"{self.stream[:12]}-{n}.{m}", self.random.randrange(100)) for m in range(3)]
            contacts = [_contact(offer_id, action, then_us) for offer_id, action in offers]
            yield Entry(self.stream, "decision", {"contacts": contacts}, then_us)
            for offer_id, action in offers:
                yield from self._became(offer_id, action, then_us + 60_000_000)

    def _became(self, offer_id: str, action: int, then_us: int) -> Iterator[Entry]:
        """Yield what became of an offer: those of the last month were not seen, so that no cap is full."""
        if then_us > self.at_us - 31 * DAY_US:
            yield Entry(self.stream, "contact", {"offer_id": offer_id, "state": "not_delivered"}, then_us)
            return
        yield Entry(self.stream, "contact", {"offer_id": offer_id, "state": "seen"}, then_us)
        first = {"action": catalogue.action_id(action), "outcome": "clicked", "offer_id": offer_id, "value_eur": None}
        yield Entry(self.stream, "outcome", first, then_us)
        if self.random.random() < 0.1:
            right = {**first, "value_eur": 1.0, "corrects": {**first, "occurred_us": then_us}}
            yield Entry(self.stream, "outcome", right, then_us + 1)
        if then_us < self.at_us - 91 * DAY_US and action in self.declinable:
            self.declinable.remove(action)
            yield Entry(self.stream, "outcome", {**first, "outcome": "declined"}, then_us + 2)

    def bought(self) -> Iterator[Entry]:
        """Yield the outcomes that suppress 100 actions for good."""
        for n in range(SUPPRESSED):
            body = {"action": _suppressed(n), "outcome": FOR_GOOD, "offer_id": None, "value_eur": 9.0}
            yield Entry(self.stream, "outcome", body, self.at_us - DAYS * DAY_US)


def _contact(offer_id: str, action: int, at_us: int) -> dict[str, Any]:
    return {
        "offer_id": offer_id,
        "action": catalogue.action_id(action),
        "treatment": f"{catalogue.action_id(action)}.{catalogue.CHANNEL}",
        "group": catalogue.group_of(action),
        "issue": ("grow", "grow", "retain", "nurture")[action % 4],
        "channel": catalogue.CHANNEL,
        "at_us": at_us,
        "reserved_until_us": at_us + 3_600_000_000,
        "counts_on": "seen",
        "state": "reserved",
    }


def _introduce(brain: Brain, customer_id: str, visitors: int) -> str:
    """Write a profile, consents and links; return the customer's stream."""
    stream, at_us = brain.subject_stream(customer_id), now_us()
    row = dict.fromkeys(catalogue.LEARNED, 1.0) | dict.fromkeys(catalogue.FLAGS, False) | {"age": 40}
    brain.snapshot.profiles.write(stream, row, at_us, now_us=at_us)
    about = {"channel": "*", "status": "granted", "source": "bench", "notice_version": "2026-01"}
    consents = [Entry(stream, "consent", {"purpose": p, **about}, at_us) for p in ("marketing", "profiling")]
    for n in range(visitors):
        visitor = brain.subject_stream(None, f"{customer_id}-v{n}")
        link = {"visitor": visitor, "kind": "visitor", "source": "login"}
        consents.append(Entry(stream, "link", link, at_us))
        consents.append(Entry(visitor, "linked_to", {"person": stream, "linked": True}, at_us))
    brain.ledger.append_many(consents)
    return stream


def _customer(brain: Brain, decisions: int) -> str:
    """Make a customer with so many earlier decisions, a tenth of them by each of five visitors; return the id."""
    customer_id, at_us = f"c-{decisions}", now_us()
    stream = _introduce(brain, customer_id, VISITORS)
    brain.ledger.append_many(Past(stream, 1, at_us).bought())
    brain.ledger.append_many(Past(stream, 2, at_us, declines=True).entries(decisions // 2))
    for n in range(VISITORS):
        visitor = brain.subject_stream(None, f"{customer_id}-v{n}")
        brain.ledger.append_many(Past(visitor, 3 + n, at_us).entries(decisions // 10))
    return customer_id


def _account(brain: Brain, decisions: int) -> tuple[str, str]:
    """Make an account whose people had so many decisions together; return the id of one of them, and its own."""
    account_id, at_us = f"a-{decisions}", now_us()
    for n in range(PEOPLE):
        stream = _introduce(brain, f"{account_id}-p{n}", 0)
        brain.ledger.append_many(Past(stream, n, at_us).entries(max(decisions // PEOPLE, 1)))
    account = brain.ledger.stream_of("account", account_id)
    brain.ledger.append_many(Past(account, PEOPLE, at_us, declines=True).entries(decisions))
    return f"{account_id}-p0", account_id


@dataclass(frozen=True)
class _Asker:
    """One customer to decide for, perhaps with an account; `name` is that of the figures."""

    name: str
    customer_id: str
    account_id: str | None = None

    def ask(self, n: int) -> Ask:
        """Return the request of round `n`."""
        return Ask(
            request_id=f"{self.name}-{n}",
            customer_id=self.customer_id,
            account_id=self.account_id,
            channel=catalogue.CHANNEL,
            locale="en",
            placements=tuple(PlacementAsk(**p) for p in catalogue.PLACEMENTS),
            context={"page": "paid-tv"},
        )


def _measured(brain: Brain, askers: list[_Asker]) -> Figures:
    """Return the CPU of a decision and of an outcome of its first offer, for each the median of rounds over all."""
    deciding: dict[str, list[float]] = {a.name: [] for a in askers}
    recording: dict[str, list[float]] = {a.name: [] for a in askers}
    for n in range(WARM + REPEATS):
        for asker in askers:
            answer, spent_s = _timed(brain.answer(asker.ask(n)))
            deciding[asker.name].append(spent_s)
            offers = _checked(brain, from_json(answer), asker)
            _, spent_s = _timed(record_outcome(brain, _outcome(offers[0], "clicked")))
            recording[asker.name].append(spent_s)
            for offer in offers[1:]:
                asyncio.run(record_outcome(brain, _outcome(offer, "not_delivered")))
    decisions = {f"{name}_decision_ms": 1e3 * median(spent[WARM:]) for name, spent in deciding.items()}
    return decisions | {f"{name}_outcome_ms": 1e3 * median(spent[WARM:]) for name, spent in recording.items()}


def _timed(work: Coroutine[Any, Any, Any]) -> tuple[Any, float]:
    """Return what the work returns, and the CPU seconds that it took in all threads."""
    start_s = time.process_time()
    result = asyncio.run(work)
    return result, time.process_time() - start_s


def _checked(brain: Brain, answer: dict[str, Any], asker: _Asker) -> list[str]:
    """Return the ids of the offers, after checking that all candidates passed every filter and were scored."""
    offers = [o["offer_id"] for p in answer["placements"] for o in p["offers"]]
    without_account = 0 if asker.account_id else catalogue.N_ACTIONS // 10
    assert (answer["model"], answer["withheld"]) == (MODEL, without_account), answer
    record = brain.ledger.lookup(f"decision:{answer['decision_id']}")
    assert record is not None
    assert record.body is not None
    assert len(record.body["scores"]["candidates"]) == catalogue.N_ACTIONS - without_account
    assert min(record.body["scores"]["evidence"]) > 0, "the model knows all actions"
    assert offers, "a slot may be left empty by chance, all three not"
    return offers


def _outcome(offer_id: str, outcome: str) -> OutcomeIn:
    return OutcomeIn(outcome_id=f"{offer_id}-{outcome}", offer_id=offer_id, outcome=outcome)


def _bytes_read(brain: Brain, asker: _Asker) -> Figures:
    """Return the bytes of all standings that a decision reads, and those of them that are not promised for good.

    It also asserts that screening by them is what screening by the whole past is.
    """
    ask, snapshot, at_us = asker.ask(0), brain.snapshot, now_us()
    known = brain.known(ask, snapshot, at_us)
    whole = brain.known(ask, snapshot, at_us, whole=True)
    read, everything = (screened_for(ask, k, snapshot.release, now_us=at_us) for k in (known, whole))
    assert (read.gates, read.permitted.tolist()) == (everything.gates, everything.permitted.tolist())
    sizes = [_standing_bytes(brain, stream) for stream in (*brain.streams(ask), *known.linked)]
    total, beside = (float(sum(part)) for part in zip(*sizes, strict=True))
    return {f"{asker.name}_bytes": total, f"{asker.name}_beside_bytes": beside}


def _standing_bytes(brain: Brain, stream: str) -> tuple[int, int]:
    """Return the bytes of a standing, without and with those of consents, links and suppressions for good taken off."""
    (head,) = brain.ledger.select(_HEAD, {"stream": stream})
    kinds = brain.ledger._rules.kinds
    fold, number = decode(stream, head.version, head.at_us, head.body, kinds)
    bare = replace(fold, contacts=(), times={}, consents=(), links=(), holder=None)
    suppressions = {pair: times for pair, times in fold.times.items() if pair[1] == FOR_GOOD}
    promised = replace(fold, contacts=(), times=suppressions)
    return len(head.body), len(head.body) - len(encode(promised, number, kinds)) + len(encode(bare, number, kinds))


def _customers(world: PastWorld) -> Figures:
    brain, askers = world.brain, [_Asker(f"customer_{n}", _customer(world.brain, n)) for n in SIZES]
    return _measured(brain, askers) | _bytes_of(brain, askers)


def _accounts(world: PastWorld) -> Figures:
    brain, askers = world.brain, [_Asker(f"account_{n}", *_account(world.brain, n)) for n in SIZES]
    return _measured(brain, askers) | _bytes_of(brain, askers)


def _bytes_of(brain: Brain, askers: list[_Asker]) -> Figures:
    return {name: value for asker in askers for name, value in _bytes_read(brain, asker).items()}


def _within_an_hour(world: PastWorld) -> Figures:
    """Make all decisions of a customer within an hour, and return the bytes of the standing."""
    asker = _Asker("hour", "c-hour")
    stream = _introduce(world.brain, asker.customer_id, 0)
    past = Past(stream, 1, now_us() + 3 * 3_600_000_000)
    decided = (e for e in past.entries(WITHIN_HOUR, days=1 / 24) if e.kind == "decision")
    world.brain.ledger.append_many(decided)
    rules = world.brain.snapshot.release.standing_rules
    (standing,) = world.brain.ledger.read(stream, rules=rules, now_us=now_us())
    assert sum(c.counts_at(now_us()) for c in standing.contacts) >= 20, "the cap is full"
    return _bytes_read(world.brain, asker)


def _verified(world: PastWorld) -> Figures:
    """Verify the stream of the customer with the longest past, twice per flaw that is looked for."""
    stream = world.brain.subject_stream(f"c-{SIZES[-1]}")
    start_s = time.perf_counter()
    assert list(world.brain.ledger.verify(stream)) == []
    return {"verify_longest_s": time.perf_counter() - start_s}


_GOAL = 1.3
_LINES = (
    *(
        Line(f"{what} after {n:,} decisions of {whom}", f"{whom}_{n}_{what}_ms", f"{whom}_{SIZES[0]}_{what}_ms", _GOAL)
        for whom in ("customer", "account")
        for what in ("decision", "outcome")
        for n in SIZES
    ),
    *(
        line
        for whom in ("customer", "account")
        for n in SIZES
        for line in (
            Line(f"bytes read after {n:,} decisions of {whom}", f"{whom}_{n}_bytes"),
            Line("  beside what is promised for good", f"{whom}_{n}_beside_bytes", None, MOST_BYTES),
        )
    ),
    Line(f"bytes read after {WITHIN_HOUR:,} decisions within an hour", "hour_bytes"),
    Line("  beside what is promised for good", "hour_beside_bytes"),
    Line(f"verify a stream of {SIZES[-1] // 2:,} decisions", "verify_longest_s"),
)

PAST = Suite(
    open_past,
    (
        Measure("customers with a long past", _customers),
        Measure("accounts of many people", _accounts),
        Measure("everything within an hour", _within_an_hour),
        Measure("verifying the longest stream", _verified),
    ),
    _LINES,
)
