"""What a long past costs: CPU of a decision, and of an outcome, after 10, 1,000 and 10,000 decisions of one customer.

Each earlier decision made three offers. They are spread over 400 days, with outcomes, corrections, five linked visitors
and 100 suppressions for good, under caps of 20 in 30 days and a rule over a year of outcomes. All 100 candidates still
pass. The same is measured for accounts whose 20 people did as much together.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import yaml
from pydantic_core import from_json
from sqlalchemy import bindparam, select

from decisioning.facts.forms import Ask, PlacementAsk
from features.ledger import Entry, now_us
from features.ledger.tables import STANDINGS
from serving.brain import releasing
from serving.brain.runtime import Brain
from serving.contract import OutcomeIn
from serving.customers.recording import record_outcomes
from serving.settings import Workspace
from tests.benchmarks import catalogue
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
_BODY = select(STANDINGS.c.body).where(STANDINGS.c.stream == bindparam("stream"))


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
            body = {"action": _suppressed(n), "outcome": "accepted", "offer_id": None, "value_eur": 9.0}
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
            offers = _checked(from_json(answer), asker)
            _, spent_s = _timed(record_outcomes(brain, [_outcome(offers[0], "clicked")]))
            recording[asker.name].append(spent_s)
            asyncio.run(record_outcomes(brain, [_outcome(o, "not_delivered") for o in offers[1:]]))
    decisions = {f"{name}_decision_ms": 1e3 * median(spent[WARM:]) for name, spent in deciding.items()}
    return decisions | {f"{name}_outcome_ms": 1e3 * median(spent[WARM:]) for name, spent in recording.items()}


def _timed(work: Coroutine[Any, Any, Any]) -> tuple[Any, float]:
    """Return what the work returns, and the CPU seconds that it took in all threads."""
    start_s = time.process_time()
    result = asyncio.run(work)
    return result, time.process_time() - start_s


def _checked(answer: dict[str, Any], asker: _Asker) -> list[str]:
    """Return the ids of the offers, after checking that all candidates passed every filter."""
    offers = [o["offer_id"] for p in answer["placements"] for o in p["offers"]]
    without_account = 0 if asker.account_id else catalogue.N_ACTIONS // 10
    assert answer["withheld"] == without_account, answer
    assert offers, "a slot may be left empty by chance, all three not"
    return offers


def _outcome(offer_id: str, outcome: str) -> OutcomeIn:
    return OutcomeIn(outcome_id=f"{offer_id}-{outcome}", offer_id=offer_id, outcome=outcome)


def _read_bytes(brain: Brain, stream: str) -> float:
    """Return the bytes of a stream's standing, which every decision reads."""
    return float(len(brain.ledger.select(_BODY, {"stream": stream})[0].body))


def _customers(world: PastWorld) -> Figures:
    brain, askers = world.brain, [_Asker(f"customer_{n}", _customer(world.brain, n)) for n in SIZES]
    figures = _measured(brain, askers)
    bytes_of = {f"{a.name}_bytes": _read_bytes(brain, brain.subject_stream(a.customer_id)) for a in askers}
    return figures | bytes_of


def _accounts(world: PastWorld) -> Figures:
    return _measured(world.brain, [_Asker(f"account_{n}", *_account(world.brain, n)) for n in SIZES])


def _within_an_hour(world: PastWorld) -> Figures:
    """Make all decisions of a customer within an hour, and return the bytes of the standing."""
    stream = _introduce(world.brain, "c-hour", 0)
    past = Past(stream, 1, now_us() + 3 * 3_600_000_000)
    decided = (e for e in past.entries(WITHIN_HOUR, days=1 / 24) if e.kind == "decision")
    world.brain.ledger.append_many(decided)
    rules = world.brain.snapshot.release.standing_rules
    (standing,) = world.brain.ledger.read(stream, rules=rules, now_us=now_us())
    assert sum(c.counts_at(now_us()) for c in standing.contacts) >= 20, "the cap is full"
    return {"hour_bytes": _read_bytes(world.brain, stream)}


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
    *(Line(f"bytes of the standing after {n:,} decisions", f"customer_{n}_bytes") for n in SIZES),
    Line(f"bytes of the standing after {WITHIN_HOUR:,} decisions within an hour", "hour_bytes"),
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
