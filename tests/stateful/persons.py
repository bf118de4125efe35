"""The steps of a case: what people, visitors, accounts and operators do in any order, and what is asked after each."""

import functools
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.stateful.case import PEOPLE, Case
from tests.stateful.company import HERE, By, Company
from tests.stateful.files import import_files
from tests.stateful.leaving import leave, send
from tests.stateful.looks import gone, look
from tests.stateful.questions import compare

PERSONS = st.sampled_from(PEOPLE)
VISITORS = st.sampled_from(["visitor:1", "visitor:2"])
ACCOUNTS = st.sampled_from(["account:1", None])
ANYONE = st.one_of(PERSONS, VISITORS)
AGO_S = st.sampled_from([None, None, 0.0, -3.0, 2.0, 7.0, 3600.0])
STEPS, WHOLE = 50, 4
"""How many steps a case takes, and after how many of them everything is asked of those whom the step concerns."""


def step(**drawn: Any) -> Callable[[Callable[..., None]], Any]:
    """Make a rule of a method; the company keeps what it is called with."""

    def kept(work: Callable[..., None]) -> Any:
        @functools.wraps(work)
        def call(self: "Persons", **arguments: Any) -> None:
            self.company.cases[-1].append((work.__name__, arguments))
            self.company.steps += 1
            self.company.agrees = False
            with self.company.failing():
                work(self, **arguments)

        return rule(**drawn)(call)

    return kept


class Persons(RuleBasedStateMachine):
    """One case of a company that other cases share, and after each step the questions that it may have changed."""

    company: Company

    def __init__(self) -> None:
        super().__init__()
        if self.company.failed is not None:
            raise self.company.failed  # Hypothesis begins the case again, which may end otherwise
        self.company.cases.append([])
        with self.company.failing():
            self.company.release(1)
        self.case = Case(self.company)
        self.asked: list[tuple[str, str | None]] = []
        self.steps = 0

    @step(by=st.sampled_from([HERE, HERE, By(0.0), By(2.0), By(3600.0)]))
    def turn(self, by: By) -> None:
        """Let this process or the second one do the next steps."""
        self.case.by = by

    @step(kill_s=st.sampled_from([0.0, 0.001, 0.002, 0.004, 0.008]))
    def kill(self, kill_s: float) -> None:
        """Let the second process begin the next step, and die."""
        self.case.by = By(None, kill_s)

    def usable(self, subject: str) -> bool:
        return subject not in self.case.retired

    @step(who=ANYONE, purpose=st.sampled_from(["marketing", "marketing", "push", "service"]),
          channel=st.sampled_from(["*", "*", "web", "push"]),
          status=st.sampled_from(["granted", "granted", "withdrawn", "refused"]), ago_s=AGO_S)  # fmt: skip
    def consent(self, who: str, purpose: str, channel: str, status: str, ago_s: float | None) -> None:
        if self.usable(who):
            self.case.consent(who, purpose, channel, status, ago_s)
            self.asked = [(who, None)]

    @step(who=PERSONS, name=st.sampled_from(["nickname", "fee", "hardship", "size"]), ago_s=AGO_S)
    def know(self, who: str, name: str, ago_s: float | None) -> None:
        self.case.know(who, name, ago_s)
        self.asked = [(who, None)]

    @step(who=st.one_of(PERSONS, st.just("account:1")), restricted=st.sampled_from([True, False, False]))
    def restrict(self, who: str, restricted: bool) -> None:
        self.case.restrict(who, restricted=restricted)
        self.asked = [("person:1" if who == "account:1" else who, "account:1")]

    @step(who=PERSONS, granted=st.sampled_from("YN"), ago_s=st.sampled_from([0.0, 2.0, 7.0, 3600.0]))
    def bring_in(self, who: str, granted: str, ago_s: float) -> None:
        """Import files about a person, some milliseconds after the last step."""
        self.company.clock.advance(0.01)
        import_files(self.case, who, granted, ago_s)
        self.asked = [(who, "account:1")]

    @step(who=ANYONE, ago_s=AGO_S)
    def search(self, who: str, ago_s: float | None) -> None:
        if self.usable(who):
            self.case.search(who, ago_s)
            self.asked = [(who, None)]

    @step(who=PERSONS, visitor=VISITORS, linked=st.sampled_from([True, True, False]))
    def link(self, who: str, visitor: str, linked: bool) -> None:
        if self.usable(visitor):
            self.case.link(who, visitor, linked=linked)
            self.asked = [(who, None), (visitor, None)]

    @step(who=PERSONS, visitor=VISITORS)
    def log_in(self, who: str, visitor: str) -> None:
        """Take over a device, from whoever used it before."""
        before = self.case.model.holder(visitor)
        if self.usable(visitor):
            if before is not None:
                self.case.link(before, visitor, linked=False)
            self.case.link(who, visitor, linked=True)
            self.asked = [(one, None) for one in (who, before, visitor) if one]

    @step(who=PERSONS, other=PERSONS, joined=st.sampled_from([True, True, False]))
    def join(self, who: str, other: str, joined: bool) -> None:
        """Say that two ids are one person's, or are not."""
        if who != other:
            self.case.join(who, other, joined=joined)
            self.asked = [(who, None), (other, None)]

    @step(ago=st.integers(0, 8))
    def send_again(self, ago: int) -> None:
        """Repeat an event."""
        if who := self.case.send_again(ago):
            self.asked = [(one, None) for one in (who, self.case.model.holder(who)) if one]

    @step(visitor=VISITORS, ago_s=AGO_S)
    def browse(self, visitor: str, ago_s: float | None) -> None:
        if self.usable(visitor):
            self.case.search(visitor, ago_s)
            self.asked = [(one, None) for one in (visitor, self.case.model.holder(visitor)) if one]

    @step(who=ANYONE, account=ACCOUNTS, channel=st.sampled_from(["web", "web", "push"]))
    def decide(self, who: str, account: str | None, channel: str) -> None:
        if self.usable(who):
            self.case.decide(who, account, channel)
            self.asked = [(who, account)]

    @step(ago=st.integers(0, 4))
    def ask_again(self, ago: int) -> None:
        """Repeat a request."""
        if who := self.case.ask_again(ago):
            self.asked = [(who, None)]

    @step(ago=st.integers(0, 4), name=st.sampled_from(["delivered", "seen", "not_delivered"]))
    def reach(self, ago: int, name: str) -> None:
        if word := self.case.offer(ago):
            self.case.reach(word, name)
            self.asked = [(word.subject, "account:1")]

    @step(number=st.integers(0, 3), name=st.sampled_from(["accepted", "declined", "declined", "retracted"]))
    def act(self, number: int, name: str) -> None:
        if word := self.case.act(number, name):
            self.asked = [(word.subject, "account:1")]

    @step(who=PERSONS)
    def erase(self, who: str) -> None:
        people = self.case.model.ids(who)
        self.case.erase(who)
        for one in people:
            gone(self.case, one)
        self.asked = [(who, None)]

    @step(visitor=VISITORS, rarely=st.integers(0, 2))
    def erase_visitor(self, visitor: str, rarely: int) -> None:
        holder = self.case.model.holder(visitor)
        if rarely == 0 and self.usable(visitor):
            self.case.erase_visitor(visitor)
            self.asked = [] if holder is None else [(holder, None)]

    @step(rarely=st.integers(0, 3))
    def erase_account(self, rarely: int) -> None:
        if rarely == 0:
            self.case.erase_account("account:1")
            self.asked = [("person:1", "account:1"), ("person:2", "account:1")]

    @step(seconds=st.sampled_from([0.0, 40.0, 40.0, 3700.0]))
    def look(self, seconds: float) -> None:
        """Let a process decide the moments that are due by then."""
        self.company.wait(seconds)
        look(self.case)
        self.asked = [("person:1", None), ("person:2", None), ("visitor:1", None)]

    @step()
    def leave(self) -> None:
        """Let deliveries leave to screens."""
        leave(self.case)
        self.asked = [("person:1", None), ("person:2", None)]

    @step(accepted=st.sampled_from([True, True, False]))
    def send(self, accepted: bool) -> None:
        """Let a process call the webhook."""
        send(self.case, accepted=accepted)
        self.asked = [("person:1", None), ("person:2", None), ("visitor:1", None)]

    @step(number=st.sampled_from([1, 2]), back=st.booleans())
    def release(self, number: int, back: bool) -> None:
        """Serve another release, or the one before."""
        self.company.release(number, back=back)
        self.asked = [("person:1", None), ("person:2", None), ("visitor:1", None)]

    @step(seconds=st.sampled_from([1.0, 6.0, 700.0, 86_400.0, 8 * 86_400.0]))
    def wait(self, seconds: float) -> None:
        self.company.wait(seconds, self.case.by)
        self.asked = [("person:1", "account:1"), ("person:2", None), ("visitor:1", None)]

    @invariant()
    def agrees(self) -> None:
        self.steps += 1
        with self.company.failing():
            for who, account in self.asked:
                compare(self.case, who, account, whole=self.steps % WHOLE == 0)
        if self.asked and self.case.by.kill_s is not None:
            self.case.by = HERE
        self.asked, self.company.agrees = [], True

    def teardown(self) -> None:
        """Compare everybody once more, unless a step failed, and let the time of erasures pass."""
        if self.company.agrees:
            with self.company.failing():
                for person in PEOPLE:
                    compare(self.case, person, "account:1")
                self.company.wait(130)


def run(company: Company, steps: int, number: int) -> None:
    """Take so many steps with a company, in cases of STEPS; the steps are always the same for one number."""
    checks = (HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large)
    how = settings(
        max_examples=max(1, steps // STEPS),
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        suppress_health_check=checks,
        phases=(Phase.generate,),  # the search for a smaller example takes many minutes
    )
    machine = seed(number)(type("Persons", (Persons,), {"company": company}))
    run_state_machine_as_test(machine, settings=how)
    company.verify()
