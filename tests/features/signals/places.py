"""A ledger and an online store for several processes, senders of random events, and checks of what is read."""

import itertools
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from decisioning.catalogue.release import Release
from features.ledger import Ledger, now_us
from features.profile.store import Store
from features.signals import Event
from features.signals.intake import Intake
from features.signals.log import EventResult, events_of
from features.signals.store import Signals
from tests.features.signals.recomputed import point_in_time
from tests.features.signals.signal_help import HOUR_US, NOW_US, S_US, assert_same, by_the_book, release

FASTER = 600
"""Event time runs this much faster: ten minutes pass in a second, so that windows empty during a test."""
PAGES = ("home", "tv", "film", "help", "ÅÄÖ 🎬")
Json = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """What a process needs to open ledger and store. `began_ns`: on the monotonic clock, which processes share."""

    url: str
    secret: bytes
    data: Path
    began_ns: int = field(default_factory=time.monotonic_ns)

    def now_us(self) -> int:
        """Return the time of events. It stops after ten hours: what is sent again is then not too old to be taken."""
        passed_us = (time.monotonic_ns() - self.began_ns) // 1000 * FASTER
        return NOW_US + min(passed_us, 10 * HOUR_US)

    def clock(self) -> int:
        """Return the ledger's time: that of this machine, which is later than that of events."""
        return now_us()

    @contextmanager
    def opened(self, under: Release | None = None) -> "Iterator[OpenPlace]":
        """Open ledger, store and signals; when the block ends, what was submitted has been recorded and copied."""
        with Ledger.open(self.url, self.secret, self.clock) as ledger:
            store = Store(self.data)
            known = under or release()
            signals = Signals(ledger, store, known)
            try:
                yield OpenPlace(self, ledger, store, signals, Intake(known, ledger.names), known)
            finally:
                signals.close()


@dataclass(frozen=True)
class StillPlace(Place):
    """A place whose clock shows one time."""

    at_us: int = NOW_US

    def now_us(self) -> int:
        return self.at_us

    def clock(self) -> int:
        return self.at_us


@dataclass(frozen=True)
class OpenPlace:
    """A place as one process has opened it."""

    place: Place
    ledger: Ledger
    store: Store
    signals: Signals
    intake: Intake
    release: Release

    def stream(self, subject: str) -> str:
        return self.intake.subject(subject).stream

    def events(self, raws: Sequence[Json]) -> list[Event]:
        return [self.intake.event(raw, self.place.now_us()) for raw in raws]

    def record(self, raws: Sequence[Json]) -> list[EventResult]:
        return self.signals.record(self.events(raws))

    def log(self, subject: str) -> list[Event]:
        return list(events_of(self.ledger.select_hot, self.stream(subject)))

    def check(self, streams: Sequence[str], at_us: int) -> dict[str, int]:
        """Check that reads from the store and from SQL equal a recomputation from the log; return SQL's versions."""
        _, versions = self.ledger.read_with_signals(*streams)
        recomputed: dict[tuple[int, ...], Json] = {}
        for stored in (self.store.read_signals(streams), None):
            seen = self.signals.evaluate(streams, versions, stored, at_us)
            assert all(got >= least for got, least in zip(seen.versions, versions, strict=True))
            if seen.versions not in recomputed:
                at_versions = dict(zip(streams, seen.versions, strict=True))
                recomputed[seen.versions] = point_in_time(self.ledger, at_versions, self.release, at_us)
            assert_same(seen.facts, recomputed[seen.versions])
        return dict(zip(streams, versions, strict=True))


def written(at_us: int) -> str:
    """Return a time in the form that senders use."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us)).isoformat()


def cloud_event(id_: str, subject: str, at_us: int, type_: str = "view", **data: Any) -> Json:
    about = {"specversion": "1.0", "id": id_, "source": "/test", "type": type_, "subject": subject}
    return {**about, "time": written(at_us), "data": data}


def subjects(count: int) -> list[str]:
    """Return subjects of all kinds: customers, visitors, accounts and cookies."""
    kinds = itertools.cycle(["customer", "visitor", "account", "cookie"])
    return [f"{kind}:{n}" for kind, n in zip(kinds, range(count), strict=False)]


class Sender:
    """Sends `count` random events in random arrays: some late, one in ten twice, some that other senders send too."""

    def __init__(self, opened: OpenPlace, seed: int, count: int, whom: Sequence[str]) -> None:
        self._opened, self._left, self._whom, self._seed = opened, count, whom, seed
        self._rng = random.Random(seed)
        self._sent: list[Json] = []
        self.ids: set[str] = set()

    def run(self) -> None:
        while self._left > 0:
            size = min(self._left, self._rng.choice([1, 1, 2, 5, 20, 60]))
            self._left -= size
            raws = [self._one() for _ in range(size)]
            self._seen_by_the_next_read(raws, self._opened.record(raws))

    def _seen_by_the_next_read(self, raws: Sequence[Json], results: Sequence[EventResult]) -> None:
        """Check that the store's copies have at least the versions of what was added here.

        What another process added a moment ago is a duplicate here. That process copies it; until then reads go to SQL.
        """
        streams = [self._opened.stream(raw["subject"]) for raw in raws]
        copies = self._opened.store.read_signals(streams)
        assert all(r.version > 0 for r in results)
        added = [(copy, r) for copy, r in zip(copies, results, strict=True) if r.status != "duplicate"]
        assert all(copy and copy.version >= r.version for copy, r in added)

    def _one(self) -> Json:
        rng, n = self._rng, len(self._sent)
        if self._sent and rng.random() < 0.1:
            return rng.choice(self._sent)
        if rng.random() < 0.02:
            return self._common(rng.randrange(50))
        id_ = f"{self._seed}-{n}"
        late_us = rng.choice([0, 0, 0, 0, 0, 0, 0, 0, rng.randrange(60 * S_US), rng.randrange(12 * HOUR_US)])
        ahead_us = rng.choice([0, 0, 0, rng.randrange(4 * S_US)])
        at_us = self._opened.place.now_us() - late_us + ahead_us
        type_ = rng.choice(["view", "view", "login"])
        raw = cloud_event(id_, rng.choice(self._whom), at_us, type_, **(self._fields() if type_ == "view" else {}))
        self._sent.append(raw)
        self.ids.add(id_)
        return raw

    def _common(self, n: int) -> Json:
        """An event that every sender sends alike."""
        at_us = NOW_US - n * S_US
        self.ids.add(f"common-{n}")
        return cloud_event(f"common-{n}", self._whom[n % 7], at_us, "view", page=PAGES[n % len(PAGES)], items=n % 5)

    def _fields(self) -> Json:
        rng = self._rng
        fields = {
            "page": rng.choice([*PAGES, f"page {rng.randrange(300)}"]),
            "seconds": rng.choice([rng.uniform(0, 90), rng.randrange(100), -0.0]),
            "items": rng.randrange(-5, 6),
            "paid": rng.random() < 0.5,
            "step": rng.choice(["added", "removed", "bought"]),
        }
        return {name: value for name, value in fields.items() if rng.random() < 0.8}


def send(pipe: Connection, place: Place, seeds: Sequence[int], count: int, whom: Sequence[str]) -> None:
    """Run senders in a process, one thread each, and put the ids that they sent into the pipe."""
    with place.opened() as opened:
        pipe.send(set().union(*(s.ids for s in send_at_once(opened, seeds, count, whom))))


def send_at_once(opened: OpenPlace, seeds: Sequence[int], count: int, whom: Sequence[str]) -> list[Sender]:
    """Run senders, one thread each, until each has sent `count` events; raise what any of them raised."""
    senders = [Sender(opened, seed, count, whom) for seed in seeds]
    with ThreadPoolExecutor(len(senders)) as pool:
        list(pool.map(Sender.run, senders))
    return senders


def check_all(opened: OpenPlace, whom: Sequence[str]) -> int:
    """Check every subject against `by_the_book`, now and later, and return the number of events."""
    count = 0
    for subject in whom:
        events, stream = opened.log(subject), opened.stream(subject)
        for later_us in (0, 2 * HOUR_US):
            at_us = max([opened.place.now_us(), *(e.recorded_us for e in events)]) + later_us
            opened.check([stream], at_us)
            assert_same(opened.signals.read([stream], at_us).facts, by_the_book(events, at_us))
        count += len(events)
    return count
