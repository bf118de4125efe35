"""Two deciders and one withdrawer: every order of their steps, with a crash before any of them, on the real ledger.

A scheduler chooses which actor takes the next step, or crashes. From every state it tries every choice. A state is what
each actor has seen so far and what the stream holds; orders that no actor could tell apart are explored once, and all
of them are counted.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from decisioning.errors import Conflict
from decisioning.facts.standing import Standing
from features.ledger import Duplicate, Entry, Ledger
from tests.features.ledger.builders import NOW_US, consent, decision

ATTEMPTS = 5
NUMBERS = count()
Steps = Iterator[str]
Choices = tuple[tuple[str, int], ...]
"""The choices so far: a step or a crash, and of which actor."""


def allowed(standing: Standing) -> bool:
    return any(c.status == "granted" for c in standing.consents)


@dataclass
class Actor:
    """One of the three actors; `seen` is everything it knows, `over` says that it has finished or crashed."""

    steps: Steps
    seen: list[object] = field(default_factory=list)
    over: bool = False


class World:
    """One run, on a new stream.

    :param one_request: both deciders have the same request, sent twice
    :param brief: fewer steps: deciding is not a step, since no other actor can notice it; the withdrawal is sent once;
        a crash equals taking no step until all others have finished, as every state on the way is checked
    """

    def __init__(self, ledger: Ledger, *, one_request: bool, brief: bool) -> None:
        self.ledger, self.number, self.brief = ledger, next(NUMBERS), brief
        self.crashes = 0 if brief else 3
        self.stream = ledger.stream_of("person", f"c-{self.number}")
        self.withdrawn = False
        ledger.append([consent(self.stream)])
        names = ("r", "r") if one_request else ("r", "s")
        self.actors = [Actor(iter(())) for _ in range(3)]
        for n, name in enumerate(names):
            self.actors[n].steps = self.decider(self.actors[n], f"{self.number}.{name}", n)
        self.actors[2].steps = self.withdrawer(self.actors[2])
        for actor in self.actors:
            next(actor.steps)

    def decider(self, me: Actor, request: str, replica: int) -> Steps:
        """Answer a request as a replica does: read, decide, append at that version; repeat if another came first."""
        yield "read"
        me.seen.append(f"withdrawn {self.withdrawn}")
        for _ in range(ATTEMPTS):
            standing = self.ledger.read(self.stream)[0]
            me.seen.append(standing.version)
            if not self.brief:
                yield "decide"
            entry = self.decided(standing, request, replica)
            yield "append"
            try:
                self.ledger.append([entry])
            except Duplicate as duplicate:
                me.seen.append("known")
                recorded = duplicate.record.body or {}
                if not recorded["contacts"] or allowed(standing):
                    yield from self.answer(me, uses=bool(recorded["contacts"]))
                    return
                request += "#"
            except Conflict:
                me.seen.append("conflict")
            else:
                me.seen.append("appended")
                yield from self.answer(me, uses=allowed(standing))
                return
            yield "read"

    def decided(self, standing: Standing, request: str, replica: int) -> Entry:
        offers = (f"{request}.{replica}",) if allowed(standing) else ()
        return decision(self.stream, *offers, expected=standing.version, key=request)

    def answer(self, me: Actor, *, uses: bool) -> Steps:
        yield "answer"
        me.seen.append(f"answered {uses}")

    def withdrawer(self, me: Actor) -> Steps:
        """Read, withdraw, and withdraw again as if the first answer was lost; then the withdrawal is acknowledged."""
        if not self.brief:
            yield "read"
            me.seen.append(self.ledger.read(self.stream)[0].version)
            yield "append"
            self.ledger.append([consent(self.stream, "withdrawn", NOW_US + 1)])
        yield "append"
        self.ledger.append([consent(self.stream, "withdrawn", NOW_US + 1)])
        yield "acknowledge"
        self.withdrawn = True

    def do(self, what: str, who: int) -> None:
        actor = self.actors[who]
        if what == "crash":
            actor.steps.close()  # type: ignore[attr-defined]
            actor.seen.append("crash")
            actor.over = True
            self.crashes -= 1
            return
        actor.seen.append(what)
        actor.over = next(actor.steps, None) is None

    def choices(self) -> list[tuple[str, int]]:
        alive = [n for n, actor in enumerate(self.actors) if not actor.over]
        return [(what, n) for what in ("step", "crash")[: 1 + bool(self.crashes)] for n in alive]

    def state(self) -> tuple[object, ...]:
        records = tuple((r.kind, bool((r.body or {}).get("contacts"))) for r in self.ledger.records(self.stream))
        return records, *(tuple(actor.seen) for actor in self.actors), tuple(a.over for a in self.actors)

    def check(self) -> None:
        """Check that no decision after a withdrawal, and no answer to a later request, uses the withdrawn consent."""
        withdrawn = False
        for record in self.ledger.records(self.stream):
            body = record.body or {}
            withdrawn |= body.get("status") == "withdrawn"
            assert not (withdrawn and body.get("contacts")), "decided with a consent that was withdrawn"
        for actor in self.actors[:2]:
            late = "withdrawn True" in actor.seen
            assert not (late and "answered True" in actor.seen), "answered with a consent that was withdrawn"


class Explorer:
    """Explores every order of steps and crashes."""

    def __init__(self, new_world: Callable[[], World]) -> None:
        self._new_world = new_world
        self.orders_from: dict[tuple[object, ...], int] = {}

    def orders(self, path: Choices = (), world: World | None = None) -> int:
        """Return how many orders continue `path`, and check each state on the way."""
        world = world or self._replayed(path)
        state = world.state()
        if state not in self.orders_from:
            world.check()
            choices = world.choices()
            self.orders_from[state] = 0 if choices else 1
            for n, choice in enumerate(choices):
                following = self._replayed(path) if n else world
                following.do(*choice)
                self.orders_from[state] += self.orders((*path, choice), following)
        return self.orders_from[state]

    def _replayed(self, path: Choices) -> World:
        world = self._new_world()
        for choice in path:
            world.do(*choice)
        return world


@pytest.fixture
def ledger(migrated_sqlite: Path, tmp_path: Path, secret: bytes) -> Iterator[Ledger]:
    """A real ledger, without syncing to disk."""
    with Ledger.open(shutil.copy(migrated_sqlite, tmp_path / "ledger.db"), secret) as opened:
        with opened._database._writer.connect() as connection:
            connection.exec_driver_sql("ROLLBACK")
            connection.exec_driver_sql("PRAGMA synchronous=OFF")
        yield opened


CASES = pytest.mark.parametrize("one_request", [False, True], ids=["two requests", "one request told twice"])


@pytest.mark.promise("consent.withdrawal-in-every-order")
@CASES
def test_two_deciders_and_a_withdrawer_in_every_order(ledger: Ledger, one_request: bool) -> None:
    explored(Explorer(lambda: World(ledger, one_request=one_request, brief=True)), 500)


@pytest.mark.promise("consent.withdrawal-in-every-order")
@pytest.mark.long
@CASES
def test_two_deciders_and_a_withdrawer_in_every_order_with_every_crash(ledger: Ledger, one_request: bool) -> None:
    """More than a billion orders."""
    explored(Explorer(lambda: World(ledger, one_request=one_request, brief=False)), 100_000_000)


def explored(explorer: Explorer, at_least: int) -> None:
    assert explorer.orders() > at_least
    seen = [seen for state in explorer.orders_from for seen in state[1:3]]
    assert any("answered True" in one for one in seen)  # type: ignore[operator]
    assert any("answered False" in one for one in seen)  # type: ignore[operator]
    assert any("conflict" in one for one in seen)  # type: ignore[operator]


def test_a_ledger_that_did_not_compare_versions_would_be_caught(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("features.ledger.plan.AppendPlan._check_versions", lambda *_: None)
    with pytest.raises(AssertionError, match="withdrawn"):
        Explorer(lambda: World(ledger, one_request=False, brief=True)).orders()
