"""A company that two processes serve on a clock that the test moves."""

import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from multiprocessing.connection import Listener
from pathlib import Path
from typing import Any, NamedTuple

from serving.brain import releasing
from serving.brain.runtime import Brain
from serving.commands.verifying import verify
from serving.settings import Workspace
from tests.serving.test_webhooks import Receiver
from tests.stateful.catalogue import RELEASES, WITHIN_S, stateful_workspace
from tests.stateful.clock import Clock
from tests.stateful.replicas import Nursery, Replica, Step, live_in
from tests.stateful.searching import traces
from tests.stateful.serving_steps import Steps

START_US = 1_796_040_000_000_000
NUMBERS = itertools.count(1)
"""Numbers for names and values that nothing else has."""


class By(NamedTuple):
    """Which process does a step: this one, or the second one on a clock that is so far ahead.

    `kill_s`: the second one begins it and is killed so long after.
    """

    ahead_s: float | None = None
    kill_s: float | None = None


HERE = By()
Call = tuple[str, dict[str, Any]]
"""A step of a case: the name of a method of its machine, and what it is called with."""


class Company:
    """One workspace, which this process and a second one serve, in a folder that is also the current one.

    :param database: the url of an empty PostgreSQL database for the ledger, instead of a file
    """

    def __init__(self, root: Path, database: str | None = None) -> None:
        self.root = root
        self.clock = Clock(START_US)
        self.receiver = Receiver([204])
        """Whom the webhook calls."""
        self.workspace: Workspace = stateful_workspace(root / "workspace", self.receiver.url, database)
        self.brain = Brain(self.workspace)
        self.here = Steps(self.brain)
        self.client = self.here.client
        self.released = 1
        """Which of the catalogues serves; `releases` are their hashes."""
        self.releases = {1: self.brain.snapshot.release.hash}
        self.agrees = True
        """Whether everything that was asked after the last request was as it should be."""
        self.steps = 0
        """How many steps were taken; `cases` are the steps of each case, and the last one runs now."""
        self.cases: list[list[Call]] = []
        self.failed: Exception | None = None
        """The first difference."""
        self.overdue: list[tuple[int, set[str], set[float]]] = []
        """Erasures whose time is not over: until when (us), the texts, and the numbers that must be gone by then."""

    @contextmanager
    def open(self) -> Iterator["Company"]:
        """Serve until the block ends."""
        with ExitStack() as stack:
            stack.callback(self.receiver.close)
            for name in ("here", "temporary"):
                (self.root / name).mkdir()
            self.nursery = stack.enter_context(closing(Nursery()))
            self.nursery.begin()  # in the folders of this process, which outlive the company
            stack.enter_context(_as_before())
            live_in(self.root)
            listener = stack.enter_context(Listener(str(self.root / "replica")))
            self.there = Replica(self.workspace.root, self.nursery, listener)
            stack.callback(self.there.close)
            stack.enter_context(self.clock.set())
            stack.callback(self.brain.close)
            stack.callback(self.client.close)
            stack.callback(self.here.watcher.close)
            yield self

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Keep the error that the block raises."""
        try:
            yield
        except Exception as error:
            self.failed = error
            raise

    def do(self, step: Step, by: By = HERE) -> Any:
        """Return what a step answers, some milliseconds after the last one.

        A process that is killed may have done it or not; then it is done again here, as whoever got no answer would.
        """
        self.clock.advance(0.01)
        self.agrees = False
        if by.kill_s is not None:
            self.there.kill_in(self.clock.now_us, step, by.kill_s)
        if by.ahead_s is not None:
            return self.there.ask(self.clock.now_us + round(by.ahead_s * 1_000_000), step)
        return self.here(step)

    def wait(self, seconds: float, by: "By" = HERE) -> None:
        """Let time pass. While erasures are not finished, the cleaning that any process does runs as it falls due."""
        while self.overdue and seconds > 0:
            part = min(seconds, WITHIN_S / 8)
            self.clock.advance(part)
            seconds -= part
            self.tend(by)
        self.clock.advance(seconds)

    def tend(self, by: "By") -> None:
        """Do what every replica does now and then; then search for what has to be gone by now."""
        self.do(("do", "tend", None), by)
        over = [erasure for erasure in self.overdue if erasure[0] <= self.clock.now_us]
        self.overdue = [erasure for erasure in self.overdue if erasure not in over]
        if over:
            texts, numbers = (set().union(*(erasure[n] for erasure in over)) for n in (1, 2))
            found = traces([self.root], texts, numbers)
            assert found == [], found
            assert self.overdue or self.brain.ledger.erasures.listed() == []

    def verify(self) -> None:
        """Assert that every chain and checkpoint verifies, and that every decision recomputes."""
        answer = verify(self.workspace, None)
        assert (answer["flaws"], answer["different"]) == ([], []), answer

    def release(self, number: int, *, back: bool = False) -> None:
        """Release a catalogue, or go back to it; both processes take it up.

        The first one is only gone back to: a release may not give a fact a narrower type than its values have.
        """
        if number == self.released:
            return
        (self.workspace.catalogue / "company.yaml").write_text(RELEASES[number])
        if number in self.releases and (back or number == 1):
            releasing.rollback(self.workspace, "test", self.releases[number])
        else:
            self.releases[number] = releasing.release(self.workspace, "test")["release"]
        self.released = number
        self.do(("do", "refresh", None))
        self.do(("do", "refresh", None), By(0.0))


@contextmanager
def _as_before() -> Iterator[None]:
    """Let the folders be again what they were, once the block ends."""
    current, temporary, named = Path.cwd(), tempfile.tempdir, os.environ.get("TMPDIR")
    try:
        yield
    finally:
        os.chdir(current)
        tempfile.tempdir = temporary
        os.environ.pop("TMPDIR", None)
        os.environ.update({} if named is None else {"TMPDIR": named})
