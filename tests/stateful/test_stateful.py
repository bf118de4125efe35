"""Persons, visitors on shared devices and accounts in any order, against a model of what must hold of each."""

import os
import shutil
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.features.processes import child
from tests.stateful.case import PEOPLE, Case
from tests.stateful.catalogue import WITHIN_S
from tests.stateful.company import EXCLUDED, HERE, By, Company
from tests.stateful.files import import_files
from tests.stateful.looks import gone, leave, look
from tests.stateful.questions import compare

PERSONS = st.sampled_from(PEOPLE)
VISITORS = st.sampled_from(["visitor:1", "visitor:2"])
ACCOUNTS = st.sampled_from(["account:1", None])
ANYONE = st.one_of(PERSONS, VISITORS)
AGO_S = st.sampled_from([None, None, 0.0, -3.0, 2.0, 7.0, 3600.0])
STEPS, COMPANY, WITNESS, WHOLE = 50, 2_000, 200, 4
"""How many steps a case takes, a company sees in the long run, `make test` takes, and from one step to the next after
which everything is asked of those whom it concerns."""


class Persons(RuleBasedStateMachine):
    """One case of a company that other cases share, and after each step the questions that it may have changed."""

    company: Company

    def __init__(self) -> None:
        super().__init__()
        self.company.release(1)
        self.case = Case(self.company)
        self.asked: list[tuple[str, str | None]] = []
        self.steps = 0

    @rule(by=st.sampled_from([HERE, HERE, By(0.0), By(2.0), By(3600.0)]))
    def turn(self, by: By) -> None:
        """Let this process or the second one do the next steps."""
        self.case.by = by

    @rule(kill_s=st.sampled_from([0.0, 0.001, 0.002, 0.004, 0.008]))
    def kill(self, kill_s: float) -> None:
        """Let the second process begin the next step, and die."""
        self.case.by = By(None, kill_s)

    def usable(self, subject: str) -> bool:
        return subject not in self.case.retired

    @rule(who=ANYONE, purpose=st.sampled_from(["marketing", "marketing", "push", "service"]),
          channel=st.sampled_from(["*", "*", "web", "push"]),
          status=st.sampled_from(["granted", "granted", "withdrawn", "refused"]), ago_s=AGO_S)  # fmt: skip
    def consent(self, who: str, purpose: str, channel: str, status: str, ago_s: float | None) -> None:
        if self.usable(who):
            self.case.consent(who, purpose, channel, status, ago_s)
            self.asked = [(who, None)]

    @rule(who=PERSONS, name=st.sampled_from(["nickname", "fee", "hardship", "size"]), ago_s=AGO_S)
    def know(self, who: str, name: str, ago_s: float | None) -> None:
        self.case.know(who, name, ago_s)
        self.asked = [(who, None)]

    @rule(who=st.one_of(PERSONS, st.just("account:1")), restricted=st.sampled_from([True, False, False]))
    def restrict(self, who: str, restricted: bool) -> None:
        self.case.restrict(who, restricted=restricted)
        self.asked = [("person:1" if who == "account:1" else who, "account:1")]

    @rule(who=PERSONS, granted=st.sampled_from("YN"), ago_s=st.sampled_from([0.0, 2.0, 7.0, 3600.0]))
    def bring_in(self, who: str, granted: str, ago_s: float) -> None:
        """Import files about a person, some milliseconds after the last step."""
        self.company.clock.advance(0.01)
        import_files(self.case, who, granted, ago_s)
        self.asked = [(who, "account:1")]

    @rule(who=ANYONE, ago_s=AGO_S)
    def search(self, who: str, ago_s: float | None) -> None:
        if self.usable(who):
            self.case.search(who, ago_s)
            self.asked = [(who, None)]

    @rule(who=PERSONS, visitor=VISITORS, linked=st.sampled_from([True, True, False]))
    def link(self, who: str, visitor: str, linked: bool) -> None:
        if self.usable(visitor):
            self.case.link(who, visitor, linked=linked)
            self.asked = [(who, None), (visitor, None)]

    @rule(who=PERSONS, visitor=VISITORS)
    def log_in(self, who: str, visitor: str) -> None:
        """Take over a device, from whoever used it before."""
        before = self.case.model.holder(visitor)
        if self.usable(visitor):
            if before is not None:
                self.case.link(before, visitor, linked=False)
            self.case.link(who, visitor, linked=True)
            self.asked = [(one, None) for one in (who, before, visitor) if one]

    @rule(ago=st.integers(0, 8))
    def send_again(self, ago: int) -> None:
        """Repeat an event."""
        if who := self.case.send_again(ago):
            self.asked = [(one, None) for one in (who, self.case.model.holder(who)) if one]

    @rule(visitor=VISITORS, ago_s=AGO_S)
    def browse(self, visitor: str, ago_s: float | None) -> None:
        if self.usable(visitor):
            self.case.search(visitor, ago_s)
            self.asked = [(one, None) for one in (visitor, self.case.model.holder(visitor)) if one]

    @rule(who=ANYONE, account=ACCOUNTS, channel=st.sampled_from(["web", "web", "push"]))
    def decide(self, who: str, account: str | None, channel: str) -> None:
        if self.usable(who):
            self.case.decide(who, account, channel)
            self.asked = [(who, account)]

    @rule(ago=st.integers(0, 4))
    def ask_again(self, ago: int) -> None:
        """Repeat a request."""
        if who := self.case.ask_again(ago):
            self.asked = [(who, None)]

    @rule(ago=st.integers(0, 4), name=st.sampled_from(["delivered", "seen", "not_delivered"]))
    def reach(self, ago: int, name: str) -> None:
        if word := self.case.offer(ago):
            self.case.reach(word, name)
            self.asked = [(word.subject, "account:1")]

    @rule(number=st.integers(0, 3), name=st.sampled_from(["accepted", "declined", "declined", "retracted"]))
    def act(self, number: int, name: str) -> None:
        if word := self.case.act(number, name):
            self.asked = [(word.subject, "account:1")]

    @rule(who=PERSONS)
    def erase(self, who: str) -> None:
        self.case.erase(who)
        gone(self.case, who)
        self.asked = [(who, None)]

    @rule(visitor=VISITORS, rarely=st.integers(0, 2))
    def erase_visitor(self, visitor: str, rarely: int) -> None:
        holder = self.case.model.holder(visitor)
        if rarely == 0 and self.usable(visitor):
            self.case.erase_visitor(visitor)
            self.asked = [] if holder is None else [(holder, None)]

    @rule(seconds=st.sampled_from([0.0, 40.0, 40.0, 3700.0]))
    def look(self, seconds: float) -> None:
        """Let a process decide the moments that are due by then."""
        self.company.wait(seconds)
        look(self.case)
        self.asked = [("person:1", None), ("person:2", None), ("visitor:1", None)]

    @rule()
    def leave(self) -> None:
        """Let deliveries leave to screens."""
        leave(self.case)
        self.asked = [("person:1", None), ("person:2", None)]

    @rule(number=st.sampled_from([1, 2]), back=st.booleans())
    def release(self, number: int, back: bool) -> None:
        """Serve another release, or the one before."""
        self.company.release(number, back=back)
        self.asked = [("person:1", None), ("person:2", None), ("visitor:1", None)]

    @rule(seconds=st.sampled_from([1.0, 6.0, 700.0, 86_400.0, 8 * 86_400.0]))
    def wait(self, seconds: float) -> None:
        self.company.wait(seconds, self.case.by)
        self.asked = [("person:1", "account:1"), ("person:2", None), ("visitor:1", None)]

    @invariant()
    def agrees(self) -> None:
        self.steps += 1
        for who, account in self.asked:
            compare(self.case, who, account, whole=self.steps % WHOLE == 0)
        if self.asked and self.case.by.kill_s is not None:
            self.case.by = HERE
        self.asked, self.company.agrees = [], True

    def teardown(self) -> None:
        """Compare everybody once more, unless a step failed, and let the time of erasures pass."""
        if self.company.agrees:
            for person in PEOPLE:
                compare(self.case, person, "account:1")
            self.company.wait(130)


def run(company: Company, steps: int, *, by_chance: bool) -> None:
    """Take so many steps with a company, in cases of STEPS; without chance always the same ones."""
    checks = (HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large)
    how = settings(
        max_examples=max(1, steps // STEPS),
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        derandomize=not by_chance,
        suppress_health_check=checks,
        phases=(Phase.generate,),  # the search for a smaller example takes many minutes
    )
    run_state_machine_as_test(type("Persons", (Persons,), {"company": company}), settings=how)
    company.verify()


def test_an_export_after_an_erasure_has_nothing_of_what_the_history_files_still_hold(company: Company) -> None:
    case = Case(company)
    case.know("person:1", "nickname", None)
    company.brain.compact()
    case.erase("person:1")
    compare(case, "person:1", None)
    company.wait(WITHIN_S)


def test_an_erasure_by_a_process_whose_clock_is_ahead_is_finished_in_time_by_another(company: Company) -> None:
    case = Case(company)
    case.know("person:1", "nickname", None)
    case.know("person:1", "fee", None)
    company.brain.compact()
    case.by = By(3600.0)
    case.erase("person:1")
    company.wait(WITHIN_S)
    assert company.overdue == []


def test_a_fact_told_of_now_holds_against_one_that_a_clock_ahead_recorded(company: Company) -> None:
    case = Case(company)
    case.by = By(3600.0)
    case.know("person:1", "nickname", None)
    case.by = HERE
    case.know("person:1", "nickname", 0.0)
    compare(case, "person:1", None)


def test_who_logs_in_after_a_clock_ahead_recorded_that_somebody_left_is_linked(company: Company) -> None:
    case = Case(company)
    case.by = By(3600.0)
    case.link("person:2", "visitor:1", linked=True)
    company.wait(10)
    case.link("person:2", "visitor:1", linked=False)
    case.by = HERE
    company.wait(700)
    case.link("person:1", "visitor:1", linked=True)
    compare(case, "person:1", None)
    compare(case, "visitor:1", None)


def test_consents_that_a_clock_ahead_recorded_keep_nobody_from_a_device(company: Company) -> None:
    case = Case(company)
    case.by = By(3600.0)
    case.consent("visitor:1", "marketing", "web", "granted", None)
    case.by = HERE
    company.wait(10)
    case.link("person:2", "visitor:1", linked=True)
    case.link("person:2", "visitor:1", linked=False)
    company.wait(10)
    case.link("person:1", "visitor:1", linked=True)
    compare(case, "person:1", None)


def test_what_an_unlinked_visitor_refused_binds_on_without_the_words_of_whoever_is_erased(company: Company) -> None:
    case = Case(company)
    case.consent("visitor:1", "marketing", "*", "withdrawn", None)
    company.wait(10)
    case.link("person:1", "visitor:1", linked=True)
    case.link("person:1", "visitor:1", linked=False)
    case.erase("person:1")
    company.wait(WITHIN_S)
    assert company.overdue == []


def test_a_whole_number_that_a_release_makes_a_float_is_the_same_in_history_and_store(company: Company) -> None:
    case = Case(company)
    case.know("person:1", "size", None)
    company.release(2)
    company.verify()
    compare(case, "person:1", None)
    company.release(1)
    company.verify()


def test_a_second_process_is_forked_after_its_nursery_was_killed_which_is_told(company: Company) -> None:
    case = Case(company)
    case.by = By(0.0)
    case.know("person:1", "nickname", None)
    company.there.close()
    company.nursery.kill()
    with pytest.warns(UserWarning, match="begun again: exit code -9"):
        case.know("person:1", "fee", None)
    compare(case, "person:1", None)


def test_what_a_forked_process_ends_of_is_told() -> None:
    with pytest.raises(AssertionError, match=r"(?s)exit code 1 .*ZeroDivisionError"), child(divide) as one:
        one.pipe.recv()


def divide(_: Connection) -> None:
    """Fail, as the program of a child process."""
    raise ZeroDivisionError


def test_a_request_that_was_decided_again_for_nobody_stays_when_whoever_asked_first_is_erased(company: Company) -> None:
    case = Case(company)
    case.decide("visitor:2", None, "push")
    case.link("person:3", "visitor:2", linked=True)
    case.link("person:3", "visitor:2", linked=False)
    case.ask_again(0)
    case.erase("person:3")
    company.wait(WITHIN_S)
    assert company.overdue == []


def test_what_a_persons_decisions_read_of_an_erased_visitor_goes_with_the_person(company: Company) -> None:
    case = Case(company)
    case.search("visitor:2", None)
    case.link("person:3", "visitor:2", linked=True)
    case.decide("person:3", None, "web")
    case.erase_visitor("visitor:2")
    company.wait(WITHIN_S)
    assert case.read_by
    case.erase("person:3")
    company.wait(WITHIN_S)
    assert company.overdue == []


def say(capsys: pytest.CaptureFixture[str], text: str) -> None:
    with capsys.disabled():
        sys.stdout.write(f"{text}\n")


def test_what_holds_of_each_person_holds_after_every_step(company: Company, capsys: pytest.CaptureFixture[str]) -> None:
    run(company, WITNESS, by_chance=False)
    for what in EXCLUDED.values():
        say(capsys, f"not tried by the stateful tests yet: {what}")


@pytest.mark.long
def test_what_holds_of_each_person_holds_in_a_long_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Take `STATEFUL_STEPS` steps, with a new company after every COMPANY of them."""
    steps, began_s = int(os.environ.get("STATEFUL_STEPS", "100000")), time.monotonic()
    for done in range(0, steps, COMPANY):
        root = tmp_path / str(done)
        root.mkdir()
        with Company(root).open() as company:
            run(company, min(COMPANY, steps - done), by_chance=True)
        shutil.rmtree(root)
        taken = min(done + COMPANY, steps)
        say(capsys, f"{taken} steps, {taken / (time.monotonic() - began_s) * 60:.0f} a minute")
